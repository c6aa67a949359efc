"""Finds, parses and names the Avro schemas under `avro/`.

In a wheel they are packaged as `pipeline/_avro`; in a checkout they are the folder `avro` beside this package.
"""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import fastavro

SUBJECTS: Final = {
    "envelope/message": ("dip.inbound-value", "dip.validated-value"),
    "envelope/copy": ("dip.outbound-value", "dip.status-value"),
    "envelope/registration": ("dip.registration-value",),
    "envelope/audit": ("dip.audit-value",),
    "reference/participant": ("dip.participants-value",),
    "reference/webhook_choice": ("dip.participants-opendip.reference.WebhookChoice",),
    "reference/company_row": ("dip.participants-opendip.reference.CompanyRow",),
    "reference/lane_order": ("dip.lanes-value",),
    "reference/told": ("dip.notices-value",),
    "reference/shard_owner": ("dip.shards-value",),
    "reference/endpoint_failing": ("dip.endpoint-health-value",),
    "reference/lane_limits": ("dip.lanes-opendip.reference.LaneLimits",),
    "table/appointments": ("dip-router-appointments-changelog-value",),
    "table/quarantine": ("dip-router-quarantine-changelog-value",),
    "table/seen": ("dip-router-seen-changelog-value",),
    "table/parked": ("dip-delivery-parked-changelog-value",),
    "table/gap": ("dip-delivery-parked-changelog-opendip.table.Gap",),
    "table/entry": ("dip-journal-entries-changelog-value",),
    "table/place": ("dip-journal-copies-changelog-value",),
    "table/requeue": ("dip-journal-requeues-changelog-value",),
    "table/consumption": ("dip-journal-consumption-changelog-value",),
}
"""Schema name -> subjects it is registered under (topic name strategy; for further kinds of records on a topic, topic
and record name: docs/adr/0100)."""


def folder() -> Path:
    """Return the folder that holds the `.avsc` files."""
    packaged = Path(str(files("pipeline") / "_avro"))
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "avro"


@cache
def text(name: str) -> str:
    """Return a schema as compact JSON, the form that is registered."""
    return json.dumps(
        json.loads((folder() / f"{name}.avsc").read_text(encoding="utf-8")), separators=(",", ":")
    )


@cache
def parsed(name: str) -> Any:
    """Return a schema as fastavro wants it."""
    return fastavro.parse_schema(json.loads(text(name)))
