"""A close look at some deliveries: the message that was sent, completed by the router, and nothing else."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from pipeline.simulator.channels import Channel
from pipeline.simulator.model import Reaches
from pipeline.simulator.plan import Draft

ONE_IN: Final = (
    25  # a look costs some 100 us; the deliveries that are not looked at are still checked for their ids
)

SchemaCheck = Callable[[Any], str | None]
"""Returns what is wrong with an egress message by the published schema."""


class Inspector:
    """Compares sampled deliveries with the drafts they came from."""

    def __init__(
        self,
        *,
        drafts: Mapping[str, Draft],
        channels: Mapping[str, Channel],
        write: Callable[[Draft], bytes],
        schema: SchemaCheck,
    ) -> None:
        self._drafts, self._channels, self._write, self._schema = drafts, channels, write, schema
        self._count = 0

    def wants_another(self) -> bool:
        """Tell whether the next delivery is to be looked at."""
        self._count += 1
        return self._count % ONE_IN == 0

    def complaint(self, recipient: str, egress: bytes) -> str | None:
        """Return what differs from the draft, or None."""
        received = orjson.loads(egress)
        common = received["payload"]["CommonBlock"]
        draft = self._drafts.get(common["S1"]["senderUniqueReference"])
        if draft is None:
            return "nobody sent it"
        sent = orjson.loads(self._write(draft))
        return (
            self._unlike(sent["payload"], received["payload"], egress)
            or self._addressing(draft, common, recipient)
            or self._completion(draft, common)
            or self._schema(received)
        )

    def _unlike(self, sent: dict[str, Any], received: dict[str, Any], egress: bytes) -> str | None:
        """Look for what the sender wrote; the CustomBlock must be there byte for byte."""
        common = {**received["CommonBlock"]}
        common.pop("D0", None)
        common["A0"] = sent["CommonBlock"]["A0"]
        if common != sent["CommonBlock"]:
            return "the CommonBlock is not the sender's"
        if "CustomBlock" in sent and orjson.dumps(sent["CustomBlock"]) not in egress:
            return "the CustomBlock is not the sender's, byte for byte"
        return None

    def _addressing(self, draft: Draft, common: dict[str, Any], recipient: str) -> str | None:
        """A0 must name exactly the recipients the market expects."""
        assert isinstance(draft.expectation, Reaches)
        a0 = common["A0"]
        named = {*a0["primaryRecipients"], *a0["secondaryRecipients"], *a0["always"]}
        if named != draft.expectation.recipients:
            return f"A0 names {sorted(named)}, expected {sorted(draft.expectation.recipients)}"
        if tuple(a0["primaryRecipients"]) != draft.primary:
            return "A0.primaryRecipients are not the sender's"
        return None if recipient in named else f"A0 does not name {recipient}"

    def _completion(self, draft: Draft, common: dict[str, Any]) -> str | None:
        d0 = common["D0"]
        publication = self._channels[draft.interface].publication
        if d0["publicationID"] != publication:
            return f"D0.publicationID is {d0['publicationID']}, expected {publication}"
        return None if d0["replayIndicator"] is False else "D0.replayIndicator is not false"
