"""Who has the last word: the operator's record, the participant's own choice, or standing data."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId, Role
from pipeline.domain.market import Market, WebhookChoice, picture
from pipeline.domain.participants import Participant, RoleGrant, Webhook
from pipeline.domain.standing_data import CompanyRow

ONE = ParticipantId("2300000001")
READINGS, OTHERS = InterfaceId("IF-021"), InterfaceId("IF-006")
START, LATER, END = (datetime(year, 1, 1, tzinfo=UTC) for year in (2024, 2025, 2026))


def _hook(channel: str, url: str = "https://loaded.example/") -> Webhook:
    return Webhook(channel=InterfaceId(channel), url=url)


def _choice(channel: str, url: str | None) -> WebhookChoice:
    name = InterfaceId(channel)
    hook = None if url is None else Webhook(channel=name, url=url)
    return WebhookChoice(participant=ONE, channel=name, webhook=hook, by=ONE, at=START)


def _row(**changes: object) -> CompanyRow:
    fields = {
        "number": "12345678",
        "company": "Example Ltd",
        "mpid": "XOYO",
        "market_role": "X",
        "role": Role("SUP"),
        "dip_id": ONE,
        "valid_from": START,
    }
    return CompanyRow(**fields | changes)  # type: ignore[arg-type]  # each test names fields of the right type


LOADED = Participant(
    id=ONE,
    name="One",
    roles=(RoleGrant(role=Role("SUP"), valid_from=START), RoleGrant(role=Role("MDR"), valid_from=START)),
    webhooks=(_hook("*"), _hook("IF-021")),
)


def test_a_participants_own_webhook_outweighs_the_loaded_one_of_its_channel_only() -> None:
    one = picture([LOADED], [_choice("IF-021", "https://own.example/")], ())[ONE]
    assert [one.webhook(name).url for name in (READINGS, OTHERS)] == [  # type: ignore[union-attr]  # both have one
        "https://own.example/",
        "https://loaded.example/",
    ]


def test_a_webhook_that_was_taken_away_does_not_come_back_by_the_one_for_all_channels() -> None:
    one = picture([LOADED], [_choice("IF-021", None)], ())[ONE]
    assert one.webhook(READINGS) is None
    assert one.webhook(OTHERS) is not None


def test_a_status_webhook_is_taken_away_alone() -> None:
    loaded = Participant(id=ONE, name="One", webhooks=(_hook("*"), _hook("status")))
    one = picture([loaded], [_choice("status", None)], ())[ONE]
    assert one.webhook(STATUS_CHANNEL) is None
    assert one.webhook(READINGS) is not None


def test_a_choice_of_somebody_whom_nobody_loaded_makes_no_participant() -> None:
    assert len(picture([], [_choice("IF-021", "https://own.example/")], ())) == 0


def test_standing_data_decides_the_roles_it_names_and_leaves_the_others() -> None:
    rows = [_row(valid_from=LATER, valid_to=END)]
    one = picture([LOADED], (), rows)[ONE]
    assert one.roles_at(START) == {"MDR"}
    assert one.roles_at(LATER) == {"SUP", "MDR"}
    assert one.roles_at(END) == {"MDR"}


def test_a_dip_id_that_only_standing_data_knows_can_be_sent_to_and_cannot_send() -> None:
    people = picture([], (), [_row()])
    assert people[ONE].roles_at(LATER) == {"SUP"}
    assert people[ONE].name == "Example Ltd"
    assert people[ONE].api_keys == ()
    assert [one.id for one in people.holders(Role("SUP"), LATER)] == [ONE]


def test_an_announced_combination_is_nobody_yet_and_gives_way_to_its_dated_row() -> None:
    announced = _row(dip_id=None, company=None)
    assert len(picture([], (), [announced])) == 0
    assert picture([], (), [announced]).companies == (announced,)
    dated = _row(valid_from=LATER)
    assert picture([], (), [announced, dated]).companies == (dated,)


def test_inactive_rows_stay_visible() -> None:
    rows = [_row(valid_to=LATER), _row(valid_from=LATER)]
    assert picture([LOADED], (), rows).companies == tuple(rows)


def test_a_row_is_ended_by_one_of_the_same_key() -> None:
    assert _row().key == _row(valid_to=END).key
    assert _row().key != _row(valid_from=LATER).key
    assert _row(dip_id=None).key == _row(dip_id=None, valid_from=LATER).key


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["IF-021", "IF-006", "status"]),
            st.none() | st.sampled_from(["https://a.example/", "https://b.example/"]),
        ),
        max_size=12,
    )
)
def test_however_often_a_participant_changes_its_mind_the_last_word_on_each_channel_counts(
    words: list[tuple[str, str | None]],
) -> None:
    """Read from a compacted topic: of each key the last record, in any mixture of earlier ones."""
    held = {choice.key: choice for choice in (_choice(channel, url) for channel, url in words)}
    one = picture([LOADED], held.values(), ())[ONE]
    last = dict(words)
    for channel, url in last.items():
        found = one.webhook(InterfaceId(channel))
        assert (found.url if found else None) == url
    assert len({hook.channel for hook in one.webhooks}) == len(one.webhooks)


@pytest.mark.parametrize("url", [None, "https://own.example/"])
def test_whom_nothing_concerns_stays_as_loaded(url: str | None) -> None:
    other = Participant(id=ParticipantId("2300000002"), name="Two")
    people = picture([LOADED, other], [_choice("IF-021", url)], ())
    assert people[other.id] is other


TWO = ParticipantId("1400000009")
STEPS = st.one_of(
    st.tuples(st.just("record"), st.sampled_from([ONE, TWO]), st.booleans()),
    st.tuples(
        st.just("choose"), st.sampled_from([ONE, TWO]), st.sampled_from([None, "", "https://own.example/"])
    ),
    st.tuples(
        st.just("enter"), st.sampled_from([None, ONE, TWO]), st.sampled_from(["A", "B"]), st.booleans()
    ),
    st.just(("picture",)),
)


@given(st.lists(STEPS, max_size=25))
def test_a_market_that_is_followed_shows_what_one_that_is_read_at_once_shows(
    steps: list[tuple[object, ...]],
) -> None:
    """Only what is touched is merged again: nothing stale may stay, whatever comes, goes and changes hands."""
    market = Market()
    people: dict[ParticipantId, Participant] = {}
    choices: dict[ParticipantId, WebhookChoice] = {}
    rows: dict[tuple[str, ...], CompanyRow] = {}
    for step in steps:
        match step:
            case ("record", str() as name, bool() as there) if there:
                people[name] = replace(LOADED, id=name)
                market.record(name, people[name])
            case ("record", str() as name, _):
                people.pop(name, None)
                market.record(name, None)
            case ("choose", str() as name, None):
                choices.pop(name, None)
                market.choose(name, READINGS, None)
            case ("choose", str() as name, str() as url):
                choices[name] = replace(_choice("IF-021", url or None), participant=name)
                market.choose(name, READINGS, choices[name])
            case ("enter", owner, str() as mpid, bool() as there):
                row = _row(mpid=mpid, dip_id=owner)
                _follow(market, rows, row, there=there)
            case _:
                market.picture()
    expected = picture(people.values(), choices.values(), rows.values())
    found = market.picture()
    assert {name: _comparable(one) for name, one in found.items()} == {
        name: _comparable(one) for name, one in expected.items()
    }
    assert found.companies == expected.companies
    assert dict(market.recorded) == people
    assert set(market.choices) == set(choices.values())


def _follow(market: Market, rows: dict[tuple[str, ...], CompanyRow], row: CompanyRow, *, there: bool) -> None:
    if there:
        rows[row.key] = row
    else:
        rows.pop(row.key, None)
    market.enter(row.key, row if there else None)


def _comparable(one: Participant) -> tuple[object, ...]:
    """Return all that matters; the order of equal grants and webhooks does not."""
    return (one.id, one.name, sorted(map(str, one.roles)), sorted(map(str, one.webhooks)), one.closed)
