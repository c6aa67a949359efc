"""Sessions: what a cookie proves, for how long, and what ends it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console.accounts import Accounts, Role
from pipeline.console.logins import LoginGuard
from pipeline.console.sessions import VISITOR, Session, form_proved, form_token, opened, sealed
from tests.support.console_rig import KEY, NOW, account

ANN = account("ann", Role.VIEWER)
ACCOUNTS = Accounts(key=KEY, by_name={"ann": ANN})
SESSION = Session(user="ann", since=NOW, nonce="n" * 32)
HOUR_S = 3600.0


def of(cookie: str | None, accounts: Accounts = ACCOUNTS, later_s: float = 0.0) -> Session | None:
    return opened(cookie, accounts, now=NOW + timedelta(seconds=later_s), lasts_s=HOUR_S)


def test_a_cookie_opens_its_session_until_it_is_over() -> None:
    cookie = sealed(SESSION, ACCOUNTS)
    assert of(cookie) == SESSION
    assert of(cookie, later_s=HOUR_S - 1) == SESSION
    assert of(cookie, later_s=HOUR_S + 1) is None
    assert of(cookie, later_s=-60) is None


@pytest.mark.parametrize(
    "changed",
    [
        replace(ANN, digest="11" * 32),
        replace(ANN, role=Role.OPERATOR),
        replace(ANN, role=Role.PARTICIPANT, participant="2300000001"),
    ],
)
def test_another_password_role_or_participant_ends_sessions(changed) -> None:
    assert of(sealed(SESSION, ACCOUNTS), Accounts(key=KEY, by_name={"ann": changed})) is None


def test_a_removed_user_and_another_key_end_sessions() -> None:
    cookie = sealed(SESSION, ACCOUNTS)
    assert of(cookie, Accounts(key=KEY, by_name={})) is None
    assert of(cookie, Accounts(key=b"x" * 32, by_name={"ann": ANN})) is None


def test_a_visitors_cookie_is_nobodys_login() -> None:
    visitor = Session(user=VISITOR, since=NOW, nonce="v" * 32)
    cookie = sealed(visitor, ACCOUNTS)
    assert of(cookie) == visitor
    body = sealed(SESSION, ACCOUNTS).partition(".")[0]
    assert of(f"{body}.{cookie.partition('.')[2]}") is None


@given(st.text(max_size=600))
def test_whatever_is_sent_as_a_cookie_opens_nothing(cookie: str) -> None:
    assert of(cookie) is None


@given(st.integers(0, 10_000), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_cookie_with_one_character_changed_opens_nothing(place: int, other: str) -> None:
    cookie = sealed(SESSION, ACCOUNTS)
    place %= len(cookie)
    forged = cookie[:place] + other + cookie[place + 1 :]
    assert forged == cookie or of(forged) is None or of(forged) == SESSION
    assert of(forged) != SESSION or forged.partition(".")[2] == cookie.partition(".")[2]


def test_a_form_token_is_of_one_session() -> None:
    token = form_token(SESSION, ACCOUNTS)
    assert form_proved(SESSION, ACCOUNTS, token)
    assert not form_proved(replace(SESSION, nonce="m" * 32), ACCOUNTS, token)
    assert not form_proved(SESSION, ACCOUNTS, None)
    assert not form_proved(SESSION, ACCOUNTS, "")
    assert not form_proved(SESSION, ACCOUNTS, "\udc80")


class Watch:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def wrong_until_refused(guard: LoginGuard, name: str, address: str) -> int:
    for count in range(1_000):
        if guard.wait_s(name, address) is not None:
            return count
        guard.was_wrong(name, address)
    return 1_000


def test_tries_are_few_then_slow_and_others_go_on() -> None:
    watch = Watch()
    guard = LoginGuard(watch)
    assert wrong_until_refused(guard, "ann", "10.0.0.1") == 5
    assert guard.wait_s("ann", "10.0.0.2") is None, "nobody locks an account from elsewhere"
    assert guard.wait_s("bob", "10.0.0.1") is None
    watch.s += 15
    assert guard.wait_s("ann", "10.0.0.1") is None
    guard.was_wrong("ann", "10.0.0.1")
    assert guard.wait_s("ann", "10.0.0.1") is not None


def test_one_address_cannot_try_many_accounts() -> None:
    guard = LoginGuard(Watch())
    for number in range(20):
        guard.was_wrong(f"user{number}", "10.0.0.1")
    assert guard.wait_s("another", "10.0.0.1") is not None
    assert guard.wait_s("another", "10.0.0.2") is None


def test_a_right_password_forgets_the_wrong_ones_before() -> None:
    guard = LoginGuard(Watch())
    for _ in range(4):
        guard.was_wrong("ann", "10.0.0.1")
    guard.was_right("ann", "10.0.0.1")
    assert wrong_until_refused(guard, "ann", "10.0.0.1") == 5


def test_the_memory_of_wrong_tries_is_bounded() -> None:
    guard = LoginGuard(Watch())
    for number in range(11_000):
        guard.was_wrong("ann", f"address {number}")
    assert len(guard._wrong) == 10_000
