"""Why the archive stops, or waits."""

from pipeline.errors import RouterError


class StorageUnavailable(RouterError):
    """The storage does not answer, is full, or refuses. The archiver waits and tries again; commands end."""


class ObjectMissing(RouterError):
    """An object that the log names is not in the storage. The operator runs `dip archive verify`."""


class AlreadyThere(RouterError):
    """An object that must be new exists. Two archivers write to one place, or something else wrote there."""


class ArchiveTaken(RouterError):
    """Another archiver continued the log. The operator stops one of them; nothing is doubled or lost."""


class ArchiveUnfit(RouterError):
    """The archive does not belong to these topics, or its log does not hold. The text says what to do."""
