"""Exceptions that mean "stop this worker". Whatever a participant can cause is an outcome value instead."""


class RouterError(Exception):
    """Base of all; the process logs one line and exits non-zero for its supervisor."""


class SettingsInvalid(RouterError):
    """A setting is missing or makes no sense. The operator corrects it: the text names it and what is expected."""


class BrokerUnavailable(RouterError):
    """No Kafka broker answered in time. The operator checks the address and the broker, then starts again."""


class RegistryUnavailable(RouterError):
    """The schema registry does not answer. Records cannot be read or written: start again when it does."""


class TopicsInvalid(RouterError):
    """A topic is missing or has the wrong shape. The operator runs `dip topics create` or follows the text."""


class StorageUnavailable(RouterError):
    """The storage does not answer, is full, or refuses. The archiver waits and tries again; commands end."""


class ObjectMissing(RouterError):
    """An object that the log names is not in the storage. The operator runs `dip archive verify`."""


class AlreadyThere(RouterError):
    """An object that must be new exists. Two archivers write to one place, or something else wrote there."""


class UndecodableRecord(ValueError):
    """A record on a topic is not what its topic holds. The engine dead-letters it with its bytes."""
