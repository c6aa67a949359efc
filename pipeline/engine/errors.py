"""What can go wrong in the engine: refusals that stop the worker, and answers to those who settle."""

from pipeline.errors import BrokerUnavailable, RouterError, TopicsInvalid


class WorkerStopped(RouterError):
    """The worker cannot go on; the process logs this one line and exits non-zero.

    The operator reads the line: each subclass says what to do. Where nothing is said, a restart is right.
    """


class Unsupported(WorkerStopped):
    """A Faust feature that the engine cannot make exactly-once was used.

    The developer changes the agent; the message names the replacement.
    """


class AgentEnded(WorkerStopped):
    """An agent's function returned although its stream goes on.

    The developer lets the function iterate its stream for ever; nothing was lost, the batch was not committed.
    """


class TopicsUnfit(WorkerStopped, TopicsInvalid):
    """A topic is missing or has another number of partitions than this worker was told.

    The operator creates or repairs the topics (`dip topics create`, `dip topics check`) and starts again.
    """


class BrokerAbsent(WorkerStopped, BrokerUnavailable):
    """No broker answered within the start limit.

    The operator checks the address and the broker. A supervisor may simply start the worker again.
    """


class StateTaken(WorkerStopped):
    """Another process works in this worker's state folder.

    The operator gives each worker its own DIP_INSTANCE, or ends the other; a supervisor may simply try again.
    """


class StateTooNew(WorkerStopped):
    """The state folder was written by a newer version of the product.

    The operator runs that version again, or deletes the folder: its tables are restored from their changelogs.
    """


class StoreUnwritable(WorkerStopped):
    """The disk does not take what a store must write: it is full, read-only, or broken.

    The operator makes room or mends it, and starts the worker again. Kafka has everything that was committed.
    """


class NoProgress(WorkerStopped):
    """Several resets in a row brought no committed round.

    A fresh process has always come through: the supervisor starts the worker again. If it keeps exiting,
    the operator runs `dip doctor transactions`.
    """


class Reset(Exception):  # not a fault of its own: an instruction to start over
    """Throw the open round away and rebuild producer, consumer and tables: the path of a process start."""


class CallLate(Reset):
    """A call to Kafka did not come back before its hard deadline; its thread was left behind."""


class NotSettled(Exception):  # an answer to whoever settles, not a fault
    """A settlement did not take effect as asked. The copy will be met again by its next owner."""


class Revoked(NotSettled):
    """The claim is no longer held. Nothing of the settlement was written."""


class Uncertain(NotSettled):
    """The round that carried the settlement broke off while committing.

    Kafka may or may not have it. The next owner of the partition reads the truth from the topics.
    """


class NotInBatch(RuntimeError):
    """A table was written, or a record emitted, outside of the batch it belongs to."""


class ForeignTable(RuntimeError):
    """A batch used a table that does not name the batch's topic among its sources."""


class EmitRefused(ValueError):
    """An output cannot be written to Kafka: unknown topic, bad partition or too large. Counts as its record's failure."""


class ShardClosed(Exception):  # ends a recovery whose partition went away
    """The shard was closed while someone still worked on it."""


class RecoveryStalled(Reset):
    """Recovery made no progress for its limit: most likely an open or hanging transaction in a changelog."""
