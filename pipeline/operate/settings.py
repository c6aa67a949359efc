"""`dip settings`: every setting with its variable, its value now and its reason."""

import json
from dataclasses import fields

import click

from pipeline.settings import Settings
from pipeline.settings_text import variable


@click.command()
@click.option("--markdown", is_flag=True, help="Print docs/SETTINGS.md.")
@click.option("--json", "as_json", is_flag=True, help="Print name -> value as JSON, secrets masked.")
def settings(*, markdown: bool, as_json: bool) -> None:
    """Show every setting: its environment variable, the value in force, and what it is for.

    Values come from the environment, then from the TOML file that DIP_CONFIG names, then from the defaults.
    """
    if markdown:
        click.echo(page(), nl=False)
        return
    current = Settings.load()
    shown = {one.name: getattr(current, one.name) if one.repr else "***" for one in fields(Settings)}
    if as_json:
        click.echo(json.dumps(shown))
        return
    for one in fields(Settings):
        click.echo(f"{variable(one.name)}={shown[one.name]}\n    {one.metadata['help']}")


def page() -> str:
    """Return the documentation page; a test holds the committed one against it."""
    rows = []
    for one in fields(Settings):
        default = f"`{one.default}`" if one.default != "" else ""
        rows.append(f"| `{variable(one.name)}` | `{one.name}` | {default} | {one.metadata['help']} |")
    head = (
        "# Settings\n\nMade by `dip settings --markdown`."
        " The environment wins over the TOML file that `DIP_CONFIG` names.\n\n"
        "| variable | in the file | default | |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"
