"""`dip worker router|delivery|journal`: one Faust worker in this process."""

import asyncio
import importlib
from typing import Final

import click
import uvloop

from pipeline.adapters.logs import LEVELS, set_up_logs
from pipeline.settings import Settings, put

MODULES: Final = {
    "router": "agents.worker_router",
    "delivery": "agents.worker_delivery",
    "journal": "agents.worker_journal",
}


@click.command()
@click.argument("kind", type=click.Choice(sorted(MODULES)))
@click.option(
    "--instance", help="Stable name of this worker among its kind (DIP_INSTANCE; the pod's ordinal)."
)
@click.option("--port", type=int, help="Port of its health pages (DIP_WORKER_PORT); 0 picks a free one.")
@click.option("--log-level", type=click.Choice(LEVELS), help="Least level of log lines (DIP_LOG_LEVEL).")
def worker(kind: str, instance: str | None, port: int | None, log_level: str | None) -> None:
    """Run a Faust worker until SIGTERM or Ctrl-C: it finishes its round, commits, and leaves the group.

    The same as `faust -A agents.worker_KIND worker`, with errors of configuration as one line.
    """
    put(instance=instance, worker_port=port, log_level=log_level)
    settings = Settings.load()
    set_up_logs(settings, kind)
    # Faust's own --loop is read from the command line when Faust is imported: for us that is too late.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    module = MODULES[kind]
    app = importlib.import_module(module).app  # a RouterError here becomes one line on standard error
    # Faust is reached by name: it belongs to other rooms, and `dip` must start without it.
    faust = importlib.import_module("faust.cli.faust")
    faust.cli(
        args=[
            *(["--quiet"] if settings.log_format == "json" else []),  # the banner is for people
            "-A",
            module,
            "worker",
            "--loglevel",
            settings.log_level,
            "--web-host",
            settings.worker_host,
            "--web-bind",
            settings.worker_host,
            "--web-port",
            str(app.conf.web_port),
        ]
    )
