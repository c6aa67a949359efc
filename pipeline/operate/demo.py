"""`dip demo`: from nothing to a closed ledger. Starts everything, simulates a market day, stops everything."""

from pathlib import Path
from typing import Any

import click

from pipeline.localstack import BrokerProfile, StackOptions, options_from
from pipeline.localstack.waiting import monotonic_s
from pipeline.operate.market_day import conclude, day_options, profile_of, run_day
from pipeline.operate.scene import Scene
from pipeline.settings import Settings
from pipeline.simulator.errors import RunBroken
from pipeline.simulator.progress import Progress
from pipeline.simulator.run import run_market


@click.command()
@click.option(
    "--bench-broker",
    is_flag=True,
    help="Give the broker 1 GB and the full compiler, for figures rather than a show.",
)
@day_options
def demo(*, bench_broker: bool, **options: Any) -> None:
    """Start a broker, a registry and the whole router, and let a simulated market have a day.

    Ends with the ledger, STATE_DIR/demo-report.json, and exit code 0 only if every copy of every message is
    accounted for. Logs are under STATE_DIR/demo/logs, the processes' last metrics under STATE_DIR/demo/metrics. Nothing
    keeps running.
    """
    state = Path(Settings.load().state_dir).absolute()
    broker = BrokerProfile.BENCH if bench_broker else BrokerProfile.SMALL
    with Progress(now_s=monotonic_s, quiet=options["as_json"]) as progress:
        scene = Scene(state=state, profile=profile_of(options), progress=progress)
        try:
            content = _play(scene, options_from(scene.local_settings(), profile=broker))
        except RunBroken as error:
            raise RunBroken(f"{error}\nThe logs are in {scene.logs}") from None
    conclude(content, options["report_path"] or state / "demo-report.json", as_json=options["as_json"])


def _play(scene: Scene, options: StackOptions) -> dict[str, Any]:
    """Start everything, run the day, stop everything; return the report."""
    with scene.open(options) as stage:
        day = run_market(
            stage.market,
            scene.profile,
            sandbox=stage.sandbox,
            catalogue=stage.catalogue,
            outside=stage.outside,
            progress=scene.progress,
        )
        content = run_day(day)
        content["cpu_s"] = {name: round(used, 1) for name, used in stage.cpu_s().items()}
        return content
