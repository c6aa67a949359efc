"""`dip console`: the operators' pages in a browser, and who may open them."""

import json
import sys

import click

from pipeline.adapters.logs import LEVELS, set_up_logs
from pipeline.console.accounts import Role, account_of, change, path_of, read
from pipeline.errors import SettingsInvalid
from pipeline.operate.stack import located
from pipeline.settings import Settings


@click.group(invoke_without_command=True)
@click.option("--host", help="Address to listen on (DIP_CONSOLE_HOST).")
@click.option("--port", type=int, help="Port to listen on (DIP_CONSOLE_PORT); 0 picks a free one.")
@click.option("--log-level", type=click.Choice(LEVELS), help="Least level of log lines (DIP_LOG_LEVEL).")
@click.pass_context
def console(ctx: click.Context, *, host: str | None, port: int | None, log_level: str | None) -> None:
    """Serve the operators' pages until SIGTERM or Ctrl-C (docs/CONSOLE.md).

    Stages, lanes, messages, dead letters, meter points and participants, for people with an account. It may start
    and stop at any moment, and works on while Kafka, the registry or workers are away: its pages say what is.
    """
    if ctx.invoked_subcommand is not None:
        return
    from pipeline.operate.console_process import run

    settings = Settings.load(console_host=host, console_port=port, log_level=log_level)
    set_up_logs(settings, "console")
    run(located(settings))


@console.group()
def user() -> None:
    """Who may log in: add, remove and list accounts (the file DIP_CONSOLE_USERS)."""


@user.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([one.value for one in Role]),
    default=Role.VIEWER.value,
    show_default=True,
    help="viewer sees everything, operator gives orders, participant sees its own data.",
)
@click.option("--participant", help="With the role participant: its DIP ID.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, its first line.")
def add(name: str, role: str, participant: str | None, *, password_stdin: bool) -> None:
    """Add a user, or give one another password or role; its sessions end."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    change(path_of(Settings.load()), put=account_of(name, Role(role), password, participant=participant))
    click.echo(f"{name} may log in as {role}" + (f" of {participant}" if participant else ""))


@user.command()
@click.argument("name")
def remove(name: str) -> None:
    """Take a user away; its sessions end at once."""
    change(path_of(Settings.load()), remove=name)
    click.echo(f"{name} may no longer log in")


@user.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per user.")
def list_users(*, as_json: bool) -> None:
    """List who may log in."""
    path = path_of(Settings.load())
    try:
        accounts = [one for _, one in sorted(read(path).by_name.items())]
    except FileNotFoundError:
        accounts = []
    except OSError as error:
        raise SettingsInvalid(f"{path}: {error.strerror}") from None
    for one in accounts:
        row = {"name": one.name, "role": one.role.value, "participant": one.participant}
        click.echo(
            json.dumps(row) if as_json else f"{one.name}  {one.role}  {one.participant or ''}".rstrip()
        )
    if not accounts and not as_json:
        click.echo(f"nobody: `dip console user add NAME --role operator` makes a user in {path}")
