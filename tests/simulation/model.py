"""Who must get what, by two dictionaries: an independent model, which shares no rule with the router."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pipeline.domain.envelope import Holding, Registration
from pipeline.domain.identifiers import Mpan, ParticipantId, TransactionId
from tests.support.market_world import CENTRAL, CHANGE, DISTRIBUTOR, NEW_SUPPLIER, OLD_SUPPLIER, START

DAYS: Final = (CHANGE - timedelta(days=3), CHANGE, CHANGE + timedelta(days=9))


@dataclass
class Model:
    """Suppliers by MPAN, recipients by transaction."""

    expected: dict[TransactionId, frozenset[ParticipantId]] = field(default_factory=dict)
    refused: set[TransactionId] = field(default_factory=set)
    suppliers: dict[Mpan, list[tuple[datetime, ParticipantId]]] = field(default_factory=dict)

    def named(self, mpan: Mpan, day: datetime) -> frozenset[ParticipantId]:
        """Consumption of a day goes to the supplier of that day, the distributor and the central parties."""
        suppliers = self.suppliers.get(mpan, [(START, OLD_SUPPLIER), (CHANGE, NEW_SUPPLIER)])
        supplier = [who for since, who in suppliers if since <= day][-1]
        return frozenset({supplier, DISTRIBUTOR, *CENTRAL.values()})

    def accept(self, transaction: TransactionId, mpan: Mpan, day: datetime) -> None:
        """Note who must get a message."""
        self.expected[transaction] = self.named(mpan, day)

    def move(self, mpan: Mpan, supplier: ParticipantId, *, source: str, at: datetime) -> Registration:
        """Give an MPAN to one supplier for ever; return the record that says so."""
        self.suppliers[mpan] = [(START, supplier)]
        return Registration(
            mpan=mpan,
            source=source,
            recorded_at=at,
            holdings=(Holding(slot="SUP", holder=supplier, valid_from=START, replaces=True),),
        )
