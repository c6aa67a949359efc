"""From text to the values of settings: the file, the names of variables, and one value at a time."""

import tomllib
from dataclasses import field
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsInvalid
from pipeline.limits import SHARD_SECRET_CHARS_MIN

_CUSTOMARY = {"kafka_bootstrap": "KAFKA_BOOTSTRAP", "schema_registry_url": "SCHEMA_REGISTRY_URL"}


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return _CUSTOMARY.get(name, f"DIP_{name.upper()}")


def read_file(path: Path) -> dict[str, Any]:
    """Return what the file that DIP_CONFIG names says. Raises SettingsInvalid."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsInvalid(f"DIP_CONFIG={path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"DIP_CONFIG={path}: not TOML: {error}") from None


def setting(default: Any, text: str, *, secret: bool = False) -> Any:
    """Return a field of `Settings` with what it is for; a secret is masked in its repr."""
    return field(default=default, metadata={"help": text}, repr=not secret)


_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def typed(name: str, kind: Any, value: Any) -> Any:
    """Turn the text of a setting, by the name of its variable, into the type of its field. Raises SettingsInvalid."""
    text = str(value).lower()
    if kind is bool and text in _TRUE | _FALSE:
        return text in _TRUE
    try:
        return int(text) if kind is bool else kind(value)
    except ValueError:
        raise SettingsInvalid(f"{name}={value!r}: expected {kind.__name__}") from None


def options_of(name: str, text: str) -> dict[str, str]:
    """Return `key=value;key=value` as pairs. Raises SettingsInvalid by place: the text may hold a password."""
    found = {}
    for number, part in enumerate((one.strip() for one in text.split(";") if one.strip()), start=1):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise SettingsInvalid(f"{name}: part {number} is no key=value; expected key=value;key=value")
        found[key.strip()] = value
    return found


def hard_to_guess(name: str, secret: str) -> str:
    """Return a secret, or nothing where there is none. Raises SettingsInvalid for one that could be guessed."""
    if 0 < len(secret) < SHARD_SECRET_CHARS_MIN:
        raise SettingsInvalid(
            f"{name}: {len(secret)} characters, expected at least {SHARD_SECRET_CHARS_MIN} of"
            " random text, the same for bridges and workers"
        )
    return secret
