"""How large and how troublesome a day is: everything a run can be asked for, with its defaults."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A day's load. Shares are of `messages`; what they leave is half-hourly consumption.

    `rate_per_s` 0 sends as fast as recipients receive. `seed` fixes everything but the run's own references.
    """

    meters: int = 20_000
    messages: int = 10_500
    rate_per_s: float = 0.0
    seed: int = 1
    invalid_share: float = 0.02
    repeat_share: float = 0.01
    remark_share: float = 0.005
    flow_share: float = 0.08
    week_share: float = 0.01
    slow_s: float = 1.0
    parcel_messages_max: int = 60
    misconduct: bool = True
