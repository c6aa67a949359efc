"""What deliveries came to, counted as they become durable; calls are counted as they return."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.delivery.ports import Ended
from pipeline.domain.delivery import Answered, Divide, Judgement, ParkLane, Result, Retry
from pipeline.domain.envelope import Status
from pipeline.limits import METRIC_RECIPIENTS_MAX
from pipeline.metrics import AGE_BUCKETS_S, Spread, Tally, room

PARKED, DIRECT = "parked", "direct"


@dataclass(slots=True)
class DeliveryCounters:
    """Everything since the start of the process."""

    results: Counter[Status] = field(default_factory=Counter)
    parked: int = 0
    ages: dict[tuple[str, ...], Spread] = field(default_factory=dict)
    routed: Spread = field(default_factory=lambda: Spread(AGE_BUCKETS_S))
    attempts: Tally = field(default_factory=Tally)
    calls: Spread = field(default_factory=Spread)

    def settled(self, ended: Iterable[Ended], parked: int) -> None:
        """Count what one durable settlement says."""
        self.parked += parked
        for one in ended:
            self.results[one.result] += 1
            if one.age_s is not None:
                self._age(one.recipient, PARKED if one.parked else DIRECT, one.age_s)

    def _age(self, recipient: str, way: str, age_s: float) -> None:
        key = room(self.ages, (recipient, way), 2 * METRIC_RECIPIENTS_MAX)
        spread = self.ages.get(key)
        if spread is None:
            spread = self.ages[key] = Spread(AGE_BUCKETS_S)
        spread.note(age_s)

    def attempted(self, result: Result, judgement: Judgement) -> None:
        """Count a call that returned."""
        self.calls.note(result.duration_ms / 1000)
        match judgement:
            case Divide():
                outcome = "divided"
            case Retry():
                outcome = "retry"
            case ParkLane():
                outcome = "park"
            case _:
                outcome = "settled"
        error = f"{result.status // 100}xx" if isinstance(result, Answered) else result.error.value
        self.attempts.add(outcome, error)
