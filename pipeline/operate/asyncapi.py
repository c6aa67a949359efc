"""`dip asyncapi`: writes the AsyncAPI 3 document of the topics; needs no broker."""

from pathlib import Path

import click

from pipeline.adapters.identity import version_of_product
from pipeline.openapi.asyncapi import asyncapi_document
from pipeline.operate.openapi import write_document
from pipeline.operate.topics import configured_specs
from pipeline.settings import Settings


@click.command()
@click.option("--json/--yaml", "as_json", default=True, help="Which form to write; default JSON.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a file instead of standard output."
)
def asyncapi(*, as_json: bool, out: Path | None) -> None:
    """Write the AsyncAPI 3 document: every topic, its records, and who reads and writes them.

    Partitions and replication are those of the settings.
    """
    settings = Settings.load()
    document = asyncapi_document(
        configured_specs(settings), version=version_of_product(), brokers=settings.kafka_bootstrap
    )
    write_document(document, as_json=as_json, out=out)
