"""`key=value;key=value` in one setting."""

import pytest

from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings
from pipeline.settings_text import options_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (" ; ", {}),
        ("a=1", {"a": "1"}),
        ("a=1; b = x=y ;", {"a": "1", "b": " x=y"}),
    ],
)
def test_pairs_are_read(text: str, found: dict[str, str]) -> None:
    assert options_of("X", text) == found


@pytest.mark.parametrize(("text", "place"), [("a=1;secret", 2), ("=secret", 1)])
def test_what_is_no_pair_is_named_by_its_place_since_it_may_be_a_password(text: str, place: int) -> None:
    with pytest.raises(SettingsInvalid, match=f"X: part {place} is no key=value") as told:
        options_of("X", text)
    assert "secret" not in str(told.value)


def test_the_broker_address_may_be_overruled_by_the_options() -> None:
    settings = Settings(kafka_bootstrap="a:1", kafka_options="bootstrap.servers=b:2")
    assert settings.kafka() == {"bootstrap.servers": "b:2"}
