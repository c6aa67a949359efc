"""Whether this process writes traces: asked once, at its start."""

from importlib import import_module
from importlib.metadata import version

from pipeline.errors import SettingsInvalid
from pipeline.ports import Traces
from pipeline.settings import Settings


def traces_of(settings: Settings, process: str) -> Traces | None:
    """Return where spans go; None, which costs nothing, unless the settings ask for traces.

    Raises SettingsInvalid where the packages are not installed.
    """
    if not settings.traces:
        return None
    try:
        tracing = import_module("pipeline.adapters.tracing")  # its packages are an extra
    except ImportError as error:
        raise SettingsInvalid(
            f"DIP_TRACES: {error.name} is not installed here; pip install 'open-dip[traces]', or leave traces off"
        ) from None
    connected: Traces = tracing.connect(process, settings.instance, version("open-dip"))
    return connected
