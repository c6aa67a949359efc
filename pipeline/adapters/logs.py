"""The log of a process: lines for people, or JSON lines with fixed keys for machines (operations.md 8).

No payload is ever logged: market data is confidential. What a line is about is in its message, and in these keys where the
code says so by `extra`.
"""

import logging
import logging.config
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings

ABOUT: Final = (
    *("message_id", "transaction_id", "topic", "partition", "offset"),
    *("route", "participant", "trace_id"),
)
LEVELS: Final = ("debug", "info", "warning", "error")
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FORMATS: Final = ("text", "json")


class JsonLines(logging.Formatter):
    """One JSON object a line: `ts`, `level`, `logger`, `process`, `name`, `msg`, what it is about, and `error`."""

    def __init__(self, process: str, name: str) -> None:
        super().__init__()
        self._who = {"process": process, "name": name}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **self._who,
            "msg": record.getMessage(),
        }
        line.update({key: getattr(record, key) for key in ABOUT if hasattr(record, key)})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def log_config(settings: Settings, process: str) -> dict[str, Any] | None:
    """Return what `logging.config.dictConfig` takes; None where the settings ask for nothing but plain lines.

    Raises SettingsInvalid that names the setting.
    """
    if settings.log_format not in _FORMATS:
        raise SettingsInvalid(f"DIP_LOG_FORMAT={settings.log_format}: expected {' or '.join(_FORMATS)}")
    own = _levels(settings.log_levels)
    if settings.log_format == "text" and not own:
        return None
    shape: dict[str, Any] = {"format": _TEXT}
    if settings.log_format == "json":
        shape = {"()": JsonLines, "process": process, "name": settings.instance}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": shape},
        "handlers": {"stream": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "loggers": {name: {"level": level.upper()} for name, level in own.items()},
        "root": {"level": _level("DIP_LOG_LEVEL", settings.log_level).upper(), "handlers": ["stream"]},
    }


def set_up_logs(settings: Settings, process: str) -> None:
    """Begin to log as the settings say. Raises SettingsInvalid."""
    config = log_config(settings, process)
    if config is None:
        logging.basicConfig(level=_level("DIP_LOG_LEVEL", settings.log_level).upper(), format=_TEXT)
    else:
        logging.config.dictConfig(config)
        logging.captureWarnings(capture=True)  # Python's own lines would be no JSON


def _levels(text: str) -> dict[str, str]:
    """Return logger -> level of `pipeline.delivery=debug,faust=error`."""
    found = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, _, level = part.partition("=")
        found[name.strip()] = _level("DIP_LOG_LEVELS", level.strip())
    return found


def _level(name: str, level: str) -> str:
    if level not in LEVELS:
        raise SettingsInvalid(f"{name}: {level!r} is no level; expected {', '.join(LEVELS)}")
    return level
