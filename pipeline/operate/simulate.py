"""`dip simulate`: a market against a router that runs already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.adapters.clock import SystemClock
from pipeline.catalogue import load_catalogue
from pipeline.localstack import find_running
from pipeline.localstack.waiting import monotonic_s
from pipeline.operate.market_day import conclude, day_options, profile_of, run_day
from pipeline.operate.simulate_faults import faults
from pipeline.operate.stack import located
from pipeline.settings import Settings, put
from pipeline.settings_text import variable
from pipeline.simulator.cast import assemble
from pipeline.simulator.channels import read_channels
from pipeline.simulator.introduction import load_appointments, load_participants
from pipeline.simulator.market import Market, open_market
from pipeline.simulator.profile import Profile
from pipeline.simulator.progress import Progress
from pipeline.simulator.run import Outside, run_market
from pipeline.simulator.sandbox import Sandbox, prepare_sandbox


@click.group(invoke_without_command=True)
@click.option(
    "--bridge",
    "bridge_url",
    help="URL of the bridge; default: that of `dip up`, else DIP_BRIDGE_HOST and DIP_BRIDGE_PORT.",
)
@click.option(
    "--sandbox",
    "sandbox_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the market's keys are; default: STATE_DIR/sandbox.",
)
@click.option(
    "--prepare",
    is_flag=True,
    help="Only make the sandbox, and print the settings that its router must run with.",
)
@day_options
@click.pass_context
def simulate(
    ctx: click.Context, /, bridge_url: str | None, sandbox_dir: Path | None, *, prepare: bool, **options: Any
) -> None:
    """Drive a simulated market against a running router, and close the ledger.

    Market and router must trust each other. `dip up` sees to it; another router has to run with the settings
    that --prepare prints. Participants and appointments are loaded before the day begins. Exit code 0 only if
    every copy is accounted for. `dip simulate faults` is something else: webhooks that go wrong on purpose.
    """
    if ctx.invoked_subcommand is not None:
        return
    settings = Settings.load()
    state = Path(settings.state_dir)
    sandbox = prepare_sandbox(sandbox_dir or state / "sandbox", assemble(read_channels()))
    if prepare:
        for name, value in sandbox.router_settings().items():
            click.echo(f"export {variable(name)}={value}")
        return
    settings = located(settings)
    put(kafka_bootstrap=settings.kafka_bootstrap, schema_registry_url=settings.schema_registry_url)
    url = bridge_url or _running_bridge(state) or f"https://{settings.bridge_host}:{settings.bridge_port}"
    content = _drive(
        profile_of(options),
        sandbox=sandbox,
        settings=settings,
        bridge_url=url.rstrip("/"),
        quiet=options["as_json"],
    )
    conclude(content, options["report_path"] or state / "simulate-report.json", as_json=options["as_json"])


simulate.add_command(faults)


def _running_bridge(state: Path) -> str | None:
    running = find_running(state)
    return running.urls.get("bridge") if running else None


def _drive(
    profile: Profile, *, sandbox: Sandbox, settings: Settings, bridge_url: str, quiet: bool
) -> dict[str, Any]:
    clock, catalogue = SystemClock(), load_catalogue()
    market = open_market(profile, sandbox=sandbox, catalogue=catalogue, now=clock.now())
    outside = Outside(
        bridge_url=bridge_url,
        kafka=settings.kafka(),
        now=clock.now,
        introduce=lambda urls: introduce(market, sandbox, urls),
        secure=bridge_url.startswith("https:"),
    )
    with Progress(now_s=monotonic_s, quiet=quiet) as progress:
        day = run_market(
            market, profile, sandbox=sandbox, catalogue=catalogue, outside=outside, progress=progress
        )
        return run_day(day)


def introduce(market: Market, sandbox: Sandbox, urls: Mapping[str, tuple[str, str]]) -> None:
    """Load the market's participants and appointments into the router."""
    load_participants(sandbox.write_participants(market.cast, urls))
    load_appointments(market.appointments)
