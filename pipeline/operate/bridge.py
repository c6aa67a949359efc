"""`dip bridge`: the HTTP entrance in this process."""

import click

from pipeline.adapters.logs import LEVELS, set_up_logs
from pipeline.settings import Settings


@click.command()
@click.option("--host", help="Address to listen on (DIP_BRIDGE_HOST).")
@click.option("--port", type=int, help="Port to listen on (DIP_BRIDGE_PORT); 0 picks a free one.")
@click.option("--health-port", type=int, help="Port of the health pages (DIP_BRIDGE_HEALTH_PORT).")
@click.option("--log-level", type=click.Choice(LEVELS), help="Least level of log lines (DIP_LOG_LEVEL).")
def bridge(host: str | None, port: int | None, health_port: int | None, log_level: str | None) -> None:
    """Run the HTTP entrance until SIGTERM or Ctrl-C: requests in work are finished first.

    It waits for Kafka and the schema registry at its start (DIP_START_WAIT_S), and answers 503 with Retry-After
    whenever messages cannot be stored safely.
    """
    from pipeline.ingress.__main__ import run

    settings = Settings.load(
        bridge_host=host, bridge_port=port, bridge_health_port=health_port, log_level=log_level
    )
    set_up_logs(settings, "bridge")
    run(settings)
