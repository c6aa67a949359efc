"""Every published message leaves as the specification wants it, and its body as the sender wrote it."""

import json
from datetime import UTC, datetime
from functools import cache
from random import Random

import pytest

from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.domain.addressing import A0
from pipeline.domain.egress import D0, egress
from pipeline.domain.identifiers import EventCode, InterfaceId, ParticipantId, TransactionId

LISTS = A0(
    primary=(),
    secondary=(ParticipantId("2300000001"), ParticipantId("2500000001")),
    always=(ParticipantId("1800000001"),),
)


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.mark.parametrize("pair", sorted(load_catalogue().pairs), ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_what_leaves_is_valid_and_its_body_untouched(pair: tuple[InterfaceId, EventCode]) -> None:
    """D0 and A0 are added, and nothing else differs, for every pair and several messages of it."""
    interface, event = pair
    publication = catalogue().channels[interface].publication
    for seed in range(3):
        sent = sample(catalogue(), interface, event, Random(seed))
        # Blanks and escapes that no encoder of ours would write: they must survive.
        body = json.dumps(sent, separators=(" , ", " : ")).encode()
        left = egress(
            body,
            d0=D0(
                transaction_id=TransactionId("T-x-20260105-1"),
                transaction_timestamp=datetime(2026, 1, 5, tzinfo=UTC),
                publication_id=publication,
                initial_correlation_id="CI-20260105-1",
            ),
            a0=LISTS,
        )
        received = json.loads(left)
        assert catalogue().check(received).problems == ()
        assert without(received) == without(sent)
        if "CustomBlock" in sent["payload"]:
            custom = json.dumps(sent["payload"]["CustomBlock"], separators=(" , ", " : ")).encode()
            assert left.endswith(b'"CustomBlock":' + custom + b"}}")


def without(message: dict[str, object]) -> object:
    """Return a message without the two blocks that the router writes."""
    copy = json.loads(json.dumps(message))
    for name in ("A0", "D0"):
        copy["payload"]["CommonBlock"].pop(name, None)
    return copy
