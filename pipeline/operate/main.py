"""`dip`: finds the command's file, imports only that, and turns our own errors into one clear line."""

import importlib
import sys
from typing import Final

import click

from pipeline.errors import RouterError

COMMANDS: Final = {
    "appointments": (
        "pipeline.operate.appointments:appointments",
        "Load who holds which role for an MPAN.",
    ),
    "archive": (
        "pipeline.operate.archive:archive",
        "Archive the topics; verify, restore and prune archives.",
    ),
    "audit": ("pipeline.operate.audit:audit", "Verify, search and export the record of everything."),
    "asyncapi": (
        "pipeline.operate.asyncapi:asyncapi",
        "Write the AsyncAPI 3 document of the topics.",
    ),
    "bench": ("pipeline.operate.bench:bench", "Measure the engine and the whole path beside plain loops."),
    "bridge": ("pipeline.operate.bridge:bridge", "Run the HTTP entrance."),
    "console": ("pipeline.operate.console:console", "Serve the operators' pages in a browser."),
    "deadletter": (
        "pipeline.operate.deadletter:deadletter",
        "List what could not be processed, with its reason.",
    ),
    "demo": ("pipeline.operate.demo:demo", "Start everything, simulate a market day, close the ledger."),
    "doctor": ("pipeline.operate.doctor:doctor", "Find what keeps a worker waiting."),
    "example": ("pipeline.operate.example:example", "Print an example message of any interface and event."),
    "lane": ("pipeline.operate.lane:lane", "Pause, disable, resume and limit the delivery to recipients."),
    "explain": (
        "pipeline.operate.explain:explain_command",
        "Say who gets a message, or got one, and why.",
    ),
    "lint": (
        "pipeline.operate.lint:lint",
        "Say what is wrong with a message file, and mend what is certain.",
    ),
    "notices": (
        "pipeline.operate.notices:notices",
        "Show failing endpoints and what was told of them and of certificates.",
    ),
    "openapi": (
        "pipeline.operate.openapi:openapi",
        "Write the OpenAPI 3.1 document of every call and message.",
    ),
    "jwks": ("pipeline.operate.jwks:jwks", "Print the public keys of signing keys as a JWK set."),
    "metrics": ("pipeline.operate.metrics:metrics", "Show every metric of /metrics and what it means."),
    "participants": (
        "pipeline.operate.participants:participants",
        "Load and show who exists, their keys and webhooks.",
    ),
    "sandbox": ("pipeline.operate.sandbox:sandbox", "Issue and revoke certificates for a sandbox."),
    "replay": (
        "pipeline.operate.replay:replay",
        "Run messages of a time through the present rules, and put what is missing.",
    ),
    "report": ("pipeline.operate.report:report", "Report API activity and service levels."),
    "reset": (
        "pipeline.operate.reset:reset",
        "Have stopped workers go on elsewhere in their topics.",
    ),
    "rules": ("pipeline.operate.rules:rules", "Check, show and compare the routing rules."),
    "settings": ("pipeline.operate.settings:settings", "Show every setting, its value and what it is for."),
    "simulate": ("pipeline.operate.simulate:simulate", "Drive a simulated market against a running router."),
    "stack": (
        "pipeline.operate.stack:stack",
        "Look at, prepare or stop the local Kafka and schema registry.",
    ),
    "topics": ("pipeline.operate.topics:topics", "Create and check the topics."),
    "up": ("pipeline.operate.up:up", "Start the local stack and the router, and leave them running."),
    "validate": (
        "pipeline.operate.validate:validate",
        "Check messages against the interface facts; needs no broker.",
    ),
    "worker": ("pipeline.operate.worker:worker", "Run a Faust worker: router or delivery."),
}


class LazyGroup(click.Group):
    """Imports a command only when it is called, so that `dip validate` starts without Kafka or Faust."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="open-dip", prog_name="dip")
def dip() -> None:
    """Open DIP: the open event router for Great Britain's half-hourly electricity settlement."""


def main() -> None:
    """Run the command line; a RouterError is one line on standard error and exit code 1."""
    try:
        dip()
    except RouterError as error:
        click.echo(f"dip: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
