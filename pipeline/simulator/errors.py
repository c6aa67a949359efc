"""Why a run ends before its account is settled."""

from pipeline.errors import RouterError


class RunBroken(RouterError):
    """The router under test cannot be used, or is gone. The text says how; its logs say why."""
