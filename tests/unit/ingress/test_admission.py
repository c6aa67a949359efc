"""Who is let in: a caller's own limit is its own, everybody's is ours, and both say truthfully when to come again."""

from pathlib import Path

import pytest

from pipeline.domain.ratelimits import Allowance, Rate
from pipeline.errors import SettingsInvalid
from pipeline.ingress.admission import Door, Visit
from pipeline.ingress.allowances import AllowanceFile, Allowances, FixedAllowances, allowances_of
from pipeline.ingress.counters import DoorCounters
from pipeline.ingress.guesses import Attempt, KeyGuesses
from pipeline.ingress.refusals import Refusal
from pipeline.limits import ADDRESSES_WATCHED_MAX, KEY_GUESSES_BURST
from pipeline.settings import Settings


class Ticks:
    """A clock that goes when told to."""

    def __init__(self) -> None:
        self.s = 1_000.0

    def __call__(self) -> float:
        return self.s


def _door(
    *,
    clock: Ticks | None = None,
    counters: DoorCounters | None = None,
    exceptions: str = "",
    **settings: object,
) -> Door:
    chosen = Settings(**{"rate_burst_s": 2.0, **settings})  # type: ignore[arg-type]  # any setting, by name
    return Door(
        FixedAllowances(allowances=allowances_of(chosen, exceptions)),
        counters or DoorCounters(),
        now_s=clock or Ticks(),
    )


def _enters(door: Door, owner: str = "a") -> Visit | Refusal:
    outcome = door.enter(owner)
    if isinstance(outcome, Visit):
        with outcome:
            pass
    return outcome


def test_a_noisy_caller_gets_429_and_others_notice_nothing() -> None:
    clock = Ticks()
    door = _door(clock=clock, participant_requests_per_s=10)
    outcomes = [_enters(door) for _ in range(30)]
    assert [isinstance(one, Visit) for one in outcomes] == [True] * 20 + [False] * 10
    refusal = outcomes[-1]
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.slug, refusal.retry_after_s) == (429, "too-many-requests", 1)
    assert isinstance(_enters(door, "b"), Visit)


def test_messages_and_bytes_are_charged_when_known_and_paid_by_waiting() -> None:
    clock = Ticks()
    door = _door(clock=clock, participant_messages_per_s=100, participant_bytes_per_s=1_000)
    visit = door.enter("a")
    assert isinstance(visit, Visit)
    with visit:
        visit.charge(bytes_=12_000)
        visit.charge(messages=100)
    refusal = _enters(door)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.slug, refusal.retry_after_s) == (429, "too-many-bytes", 11)
    clock.s += 9.9
    assert isinstance(_enters(door), Refusal)
    clock.s += 1.1
    assert isinstance(_enters(door), Visit)


def test_the_limit_of_all_together_is_503() -> None:
    door = _door(total_requests_per_s=5, participant_requests_per_s=100)
    outcomes = [_enters(door, f"p{number}") for number in range(12)]
    refusal = outcomes[-1]
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.slug, bool(refusal.retry_after_s)) == (503, "over-capacity", True)
    assert sum(isinstance(one, Visit) for one in outcomes) == 10


def test_a_refused_request_costs_its_caller_nothing() -> None:
    """Otherwise a client that ignores Retry-After would never get in again."""
    clock = Ticks()
    door = _door(clock=clock, participant_requests_per_s=1)
    for _ in range(1_000):
        _enters(door)
    clock.s += 1
    assert isinstance(_enters(door), Visit)


def test_open_requests_are_bounded_for_one_and_for_all() -> None:
    counters = DoorCounters()
    door = _door(counters=counters, participant_requests_open_max=2, requests_open_max=3)
    first, second, third = door.enter("a"), door.enter("a"), door.enter("b")
    own, ours = door.enter("a"), door.enter("b")
    assert isinstance(own, Refusal)
    assert (own.status, own.slug, bool(own.retry_after_s)) == (429, "too-many-open-requests", True)
    assert isinstance(ours, Refusal)
    assert (ours.status, ours.slug, bool(ours.retry_after_s)) == (503, "busy", True)
    assert (counters.open, counters.open_peak) == (3, 3)
    for visit in (first, second, third):
        assert isinstance(visit, Visit)
        visit.__exit__()
    assert counters.open == 0
    assert isinstance(_enters(door), Visit)


def test_a_visit_ends_even_when_the_work_fails() -> None:
    counters = DoorCounters()
    door = _door(counters=counters)
    visit = door.enter("a")
    assert isinstance(visit, Visit)
    with pytest.raises(ZeroDivisionError), visit:
        raise ZeroDivisionError
    assert counters.open == 0


def test_an_honest_national_peak_passes_by_the_defaults() -> None:
    """2,000 messages/s of 4.6 kB, one to a request, from a single key: a provider that sends for a whole market."""
    clock = Ticks()
    door = Door(FixedAllowances(allowances=allowances_of(Settings())), DoorCounters(), now_s=clock)
    for _ in range(15 * 2_000):  # longer than the burst lasts
        clock.s += 1 / 2_000
        visit = door.enter("2000000000")
        assert isinstance(visit, Visit)
        with visit:
            visit.charge(messages=1, bytes_=4_600)


def test_an_exception_holds_for_whom_it_names() -> None:
    exceptions = '[participants."a"]\nrequests_per_s = 0\n[participants."b"]\nopen_max = 1\n'
    door = _door(participant_requests_per_s=1, exceptions=exceptions)
    assert all(isinstance(_enters(door, "a"), Visit) for _ in range(1_000))
    assert isinstance(door.enter("b"), Visit)
    assert isinstance(door.enter("b"), Refusal)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[", "not TOML"),
        ("[others]", "others"),
        ("participants = 3", "3"),
        ('[participants]\n"a" = 3', '"a" is 3'),
        ('[participants."a"]\nrequest_per_s = 3', "request_per_s is unknown"),
        ('[participants."a"]\nrequests_per_s = -1', "requests_per_s is -1"),
        ('[participants."a"]\nrequests_per_s = "many"', "requests_per_s is 'many'"),
        ('[participants."a"]\nrequests_per_s = inf', "requests_per_s is inf"),
        ('[participants."a"]\nrequests_per_s = nan', "requests_per_s is nan"),
        ('[participants."a"]\nopen_max = true', "open_max is True"),
    ],
)
def test_a_wrong_limits_file_is_told_by_its_place(text: str, named: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        allowances_of(Settings(limits_file="limits.toml"), text)
    assert "DIP_LIMITS_FILE=limits.toml" in str(caught.value)
    assert named in str(caught.value)


def test_a_changed_file_holds_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text('[participants."a"]\nopen_max = 1\n')
    source = AllowanceFile(Settings(limits_file=str(file)))
    assert source.current().of("a").open_max == 1
    assert not source.refresh()
    file.write_text('[participants."a"]\nopen_max = 2\n')
    assert source.refresh()
    assert source.current().of("a").open_max == 2
    for broken in (b"[", b"\xff"):
        file.write_bytes(broken)
        assert not source.refresh()
        assert source.current().of("a").open_max == 2
        assert "the limits read before stay" in source.warnings()[0]
    file.unlink()
    assert not source.refresh()
    file.write_text('[participants."a"]\nopen_max = 2\n')
    source.refresh()
    assert source.warnings() == []
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        AllowanceFile(Settings(limits_file=str(tmp_path / "missing.toml")))


def test_without_a_file_everybody_has_the_settings_limits() -> None:
    source = AllowanceFile(Settings(participant_requests_per_s=3, rate_burst_s=2))
    assert not source.refresh()
    assert source.current().of("anybody").requests == Rate(per_s=3, burst=6)


def test_limits_lowered_for_a_caller_that_is_in_count_at_its_next_request() -> None:
    def of(open_max: int) -> Allowances:
        none = Rate(per_s=0, burst=1)
        return Allowances(
            everybody=Allowance(requests=none, messages=none, bytes=none, open_max=0),
            each=Allowance(requests=none, messages=none, bytes=none, open_max=open_max),
        )

    class Changing:
        allowances = of(5)

        def current(self) -> Allowances:
            return self.allowances

    source = Changing()
    door = Door(source, DoorCounters(), now_s=Ticks())
    assert isinstance(door.enter("a"), Visit)
    source.allowances = of(1)
    assert isinstance(door.enter("a"), Refusal)


def test_an_address_that_tries_keys_is_slowed_down_right_keys_included() -> None:
    """If a right key were still looked up, trying would go on at full speed and only the answers would differ."""
    clock = Ticks()
    guesses = KeyGuesses(2.0, now_s=clock)
    for number in range(KEY_GUESSES_BURST):
        attempt = Attempt.of("192.0.2.1", f"guess {number}")
        assert guesses.refusal(attempt) is None
        guesses.was_wrong(attempt)
    refusal = guesses.refusal(Attempt.of("192.0.2.1", "the right one"))
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.slug, refusal.retry_after_s) == (429, "too-many-wrong-keys", 1)
    assert guesses.refusal(Attempt.of("192.0.2.2", "the right one")) is None
    clock.s += 1
    assert guesses.refusal(Attempt.of("192.0.2.1", "the right one")) is None


def test_a_key_that_was_good_from_there_goes_on_until_it_is_wrong() -> None:
    guesses = KeyGuesses(2.0, now_s=Ticks())
    good = Attempt.of("192.0.2.1", "good")
    guesses.was_good(good)
    for number in range(1_000):
        guesses.was_wrong(Attempt.of("192.0.2.1", f"guess {number}"))
    assert guesses.refusal(good) is None
    assert guesses.refusal(Attempt.of("192.0.2.1", "other")) is not None
    guesses.was_wrong(good)
    assert guesses.refusal(good) is not None


def test_the_addresses_of_one_ipv6_customer_are_one() -> None:
    guesses = KeyGuesses(2.0, now_s=Ticks())
    for number in range(KEY_GUESSES_BURST):
        guesses.was_wrong(Attempt.of(f"2001:db8::{number:x}", "guess"))
    assert guesses.refusal(Attempt.of("2001:db8::ffff", "x")) is not None
    assert guesses.refusal(Attempt.of("2001:db8:0:1::1", "x")) is None
    assert Attempt.of("::ffff:192.0.2.1", "x").address == "192.0.2.1"
    assert Attempt.of("fe80::1%eth0", "x").address == "fe80::/64"
    assert Attempt.of(None, "x").address == ""


def test_what_is_remembered_of_guesses_has_a_bound() -> None:
    guesses = KeyGuesses(2.0, now_s=Ticks())
    for number in range(ADDRESSES_WATCHED_MAX + 50):
        attempt = Attempt.of(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "x")
        guesses.was_wrong(attempt)
        guesses.was_good(attempt)
    assert len(guesses._wrong) == len(guesses._good) == ADDRESSES_WATCHED_MAX


def test_a_rate_of_zero_switches_the_slowing_off() -> None:
    guesses = KeyGuesses(0, now_s=Ticks())
    for number in range(1_000):
        guesses.was_wrong(Attempt.of("192.0.2.1", f"guess {number}"))
    assert guesses.refusal(Attempt.of("192.0.2.1", "x")) is None


def test_participants_limits_are_divided_among_the_doors_and_ours_are_not() -> None:
    """By two doors with a clock of their own each: together they grant what one would alone."""
    granted = []
    for doors in (1, 2):
        clock = Ticks()
        made = [
            _door(clock=clock, bridge_replicas=doors, participant_requests_per_s=10, total_requests_per_s=7)
            for _ in range(doors)
        ]
        outcomes = [_enters(door) for door in made for _ in range(14)]
        granted.append(sum(isinstance(one, Visit) for one in outcomes))
    assert granted == [14, 20], "alone the process's own capacity is reached first: it is not divided"


def test_a_refusal_of_one_of_several_doors_says_so() -> None:
    clock = Ticks()
    door = _door(
        clock=clock,
        bridge_replicas=4,
        participant_requests_per_s=2,
        participant_requests_open_max=6,
        rate_burst_s=4.0,
    )
    open_ = [door.enter("a"), door.enter("a")]
    refusal = door.enter("a")
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.slug) == (429, "too-many-open-requests")
    assert "at most 2 may be through this one of 4 entrances" in refusal.help
    for one in open_:
        assert isinstance(one, Visit)
        one.__exit__()
    refusal = door.enter("a")
    assert isinstance(refusal, Refusal)
    assert "You may send 0.5 requests a second through this one of 4 entrances" in refusal.help
    assert refusal.retry_after_s is not None
    clock.s += refusal.retry_after_s
    assert isinstance(_enters(door), Visit), "what this door promised"


def test_exceptions_are_divided_too_and_none_stays_none() -> None:
    limits = allowances_of(
        Settings(bridge_replicas=3, participant_bytes_per_s=0.0, participant_requests_open_max=0),
        '[participants."1400000001"]\nrequests_per_s = 30\n',
    )
    assert limits.of("1400000001").requests.per_s == 10
    assert limits.of("other").bytes.per_s == 0
    assert limits.of("other").open_max == 0


def test_no_bridges_at_all_is_a_mistake() -> None:
    with pytest.raises(SettingsInvalid, match="DIP_BRIDGE_REPLICAS=0: expected 1 or more"):
        allowances_of(Settings(bridge_replicas=0))
