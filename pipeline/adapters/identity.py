"""What a process says of itself in its metrics: version, kind, name, its time, and when our own certificates end."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from pipeline.adapters.certificate_files import certificates_in, read_files
from pipeline.adapters.clock import SystemClock
from pipeline.errors import SettingsInvalid
from pipeline.metrics import Sample
from pipeline.settings import Settings

CERTIFICATES: Final = ("tls_certificate", "signing_certificate", "webhook_certificate")


def identity(process: str, settings: Settings) -> Iterator[Sample]:
    """Yield `dip_info`, the clock, and the ends of the certificates that the settings name."""
    yield Sample("dip_info", 1, (version_of_product(), process, settings.instance))
    yield Sample("dip_clock_timestamp_seconds", SystemClock().now().timestamp())
    for name in CERTIFICATES:
        yield from _end(settings, name)


def version_of_product() -> str:
    """Return the version of the installed package."""
    try:
        return version("open-dip")
    except PackageNotFoundError:  # sources that were never installed
        return "unknown"


def _end(settings: Settings, name: str) -> Iterator[Sample]:
    """Yield when a file's first certificate ends. One that cannot be read now is left out: the log has it."""
    try:
        for path, content in read_files(settings, (name,))[name].items():
            end = certificates_in(name, path, content)[0].not_valid_after_utc
            yield Sample("dip_certificate_end_timestamp_seconds", end.timestamp(), (name,))
    except (SettingsInvalid, IndexError):
        return
