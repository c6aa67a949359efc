"""What the bridge is given: everything that is not its own rules, so that tests can give it fakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from pipeline.adapters.producer import Outgoing, Publication
from pipeline.adapters.shard_client import Answer, TooBusy, Unanswered
from pipeline.catalogue import Catalogue
from pipeline.domain.envelope import AuditRecord, Copy, Message
from pipeline.domain.lane_orders import LaneOrder
from pipeline.domain.market import WebhookChoice
from pipeline.domain.notices import Told
from pipeline.domain.shards import Book
from pipeline.domain.standing_data import CompanyRow
from pipeline.ingress.allowances import AllowanceSource
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.trust import TrustSource
from pipeline.ports import Clock, NoticeSource, ParticipantSource, Traces
from pipeline.settings import Settings


class Publisher(Protocol):
    """Makes records durable."""

    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        """Return when all records are on the in-sync replicas, or when that cannot be said of one of them."""
        ...

    def answers(self) -> bool:
        """Tell whether a broker answers now; may block for some seconds."""
        ...


class Encoder(Protocol):
    """Writes what the bridge publishes, and reads what the journal finds (implemented by `pipeline.codec.Codec`)."""

    def encode_message(self, message: Message) -> bytes: ...

    def encode_copy(self, copy: Copy) -> bytes: ...

    def encode_audit(self, record: AuditRecord) -> bytes: ...

    def decode_audit(self, data: bytes) -> AuditRecord: ...

    def encode_webhook_choice(self, choice: WebhookChoice) -> bytes: ...

    def encode_told(self, told: Told) -> bytes: ...

    def encode_lane_order(self, order: LaneOrder) -> bytes: ...

    def encode_company_row(self, row: CompanyRow) -> bytes: ...


class Shards(Protocol):
    """Asks the workers that own partitions (implemented by `pipeline.adapters.shard_client.ShardClient`)."""

    partitions: int

    async def ask(self, book: Book, key: bytes, question: Mapping[str, Any]) -> Answer:
        """Ask the owner of a key's partition."""
        ...

    async def ask_partition(self, book: Book, partition: int, question: Mapping[str, Any]) -> Answer:
        """Ask the owner of a partition."""
        ...

    async def ask_all(self, book: Book, question: Mapping[str, Any]) -> list[Any] | Unanswered | TooBusy:
        """Ask the owners of all partitions; all answers, or none."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...


class Visit(Protocol):
    """One request that was let in, while it is worked on."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def charge(self, *, messages: int = 0, bytes_: int = 0) -> None:
        """Charge what is known only after reading."""
        ...


class Admission(Protocol):
    """Decides whether a known caller's request is worked on at all."""

    def enter(self, owner: str) -> Visit | Refusal:
        """Let a request in, or say why not and for how long."""
        ...


class NoLimits:
    """Lets everybody in; its own visit."""

    def enter(self, owner: str) -> Visit | Refusal:  # noqa: ARG002  # whoever it is
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Count nothing."""

    def charge(self, *, messages: int = 0, bytes_: int = 0) -> None:
        """Count nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The bridge's surroundings."""

    settings: Settings
    clock: Clock
    participants: ParticipantSource
    publisher: Publisher
    encoder: Encoder
    catalogue: Catalogue = field(repr=False)
    trust: TrustSource
    allowances: AllowanceSource | None = None
    """Limits at the door; None: those of the settings."""
    notices: NoticeSource | None = None
    """What was told of certificates; None: nothing is told."""
    shards: Shards | None = None
    """Whom to ask what workers know; None: nobody can be asked (no DIP_SHARD_SECRET)."""
    traces: Traces | None = None
    """Where spans go; None: nothing is traced."""
