"""`dip openapi`: writes the OpenAPI 3.1 document of the bridge; needs no broker."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import orjson

from pipeline.catalogue import load_catalogue
from pipeline.ingress.addresses import public_urls
from pipeline.ingress.openapi import openapi_document
from pipeline.openapi.yaml_text import yaml_text
from pipeline.settings import Settings


@click.command()
@click.option("--json/--yaml", "as_json", default=True, help="Which form to write; default JSON.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a file instead of standard output."
)
def openapi(*, as_json: bool, out: Path | None) -> None:
    """Write the OpenAPI 3.1 document: every call, every message, an example of each.

    It is the one that the bridge serves under /openapi.json with the same settings.
    """
    settings = Settings.load()
    versions = tuple(one.strip() for one in settings.schema_versions.split(",") if one.strip())
    catalogue = load_catalogue(versions_accepted=versions, rules=settings.rules_dir)
    document = openapi_document(catalogue, server=next(iter(public_urls(settings)), ""))
    write_document(document, as_json=as_json, out=out)


def write_document(document: Mapping[str, Any], *, as_json: bool, out: Path | None) -> None:
    """Write a document to a file, or to standard output."""
    indented = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"
    text = indented if as_json else yaml_text(document)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{out}: {error.strerror}") from None
    click.echo(f"written: {out}", err=True)
