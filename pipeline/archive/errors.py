"""Why the archive ends; `pipeline.errors` has what a storage may say."""

from pipeline.errors import RouterError


class ArchiveTaken(RouterError):
    """Another archiver continued the log. The operator stops one of them; nothing is doubled or lost."""


class ArchiveUnfit(RouterError):
    """The archive does not belong to these topics, or its log does not hold. The text says what to do."""
