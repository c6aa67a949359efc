"""Which copies travel in one POST."""

from collections import deque
from collections.abc import Container, Sequence

import msgspec

from pipeline.delivery.entry import Entry
from pipeline.domain.participants import Webhook
from pipeline.limits import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX

_BRACKETS = 2  # [ and ]
_BYTES_PER_KB = 1_000


class BatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one POST may carry."""

    messages: int
    size_bytes: int

    @classmethod
    def of(cls, hook: Webhook) -> "BatchLimits":
        """Return the platform's limits, tightened by what the participant registered.

        A participant's limit of zero or less cannot be met; one message at a time comes nearest.
        """
        kilobytes = hook.payload_kb_max
        return cls(
            messages=max(1, min(BATCH_MESSAGES_MAX, hook.messages_max or BATCH_MESSAGES_MAX)),
            size_bytes=min(BATCH_BYTES_MAX, int(kilobytes * _BYTES_PER_KB) if kilobytes else BATCH_BYTES_MAX),
        )

    def at_most(self, messages: int) -> "BatchLimits":
        """Return the same limits for fewer messages."""
        return BatchLimits(messages=min(self.messages, messages), size_bytes=self.size_bytes)


def take(queue: deque[Entry], limits: BatchLimits, *, busy: Container[str] = ()) -> tuple[Entry, ...]:
    """Take the next array off a queue, in its order: as much as the limits allow, at least one entry.

    A copy larger than the limit goes alone: the recipient can refuse it, the router cannot make it smaller. Entries
    whose order key is `busy` stay, and with them all later ones of the key; an array holds one entry of a key, so
    that whatever becomes of its parts, none overtakes another. Nothing at all may be free to go.
    """
    taken: list[Entry] = []
    passed: list[Entry] = []
    keys: set[str] = set()
    size = _BRACKETS
    while queue and len(taken) < limits.messages:
        key = queue[0].order_key
        if key is not None and (key in busy or key in keys):
            passed.append(queue.popleft())
            continue
        added = queue[0].size_bytes + (1 if taken else 0)  # the comma
        if taken and size + added > limits.size_bytes:
            break
        if key is not None:
            keys.add(key)
        size += added
        taken.append(queue.popleft())
    queue.extendleft(reversed(passed))
    return tuple(taken)


def put_first(queue: deque[Entry], turn: int, *, busy: Container[str] = ()) -> None:
    """Put another entry first than the one that is: by turns one of those that pass none of their order key."""
    free: list[int] = []
    keys: set[str] = set()
    for at, entry in enumerate(queue):
        key = entry.order_key
        if key is None or (key not in busy and key not in keys):
            free.append(at)
        if key is not None:
            keys.add(key)
    if len(free) > 1:
        at = free[1 + turn % (len(free) - 1)]
        entry = queue[at]
        del queue[at]
        queue.appendleft(entry)


def halves(batch: Sequence[Entry]) -> tuple[tuple[Entry, ...], ...]:
    """Divide a refused array; n messages with one bad need about 2 log2(n) calls, not n."""
    middle = (len(batch) + 1) // 2
    return tuple(part for part in (tuple(batch[:middle]), tuple(batch[middle:])) if part)


def array(bodies: Sequence[bytes]) -> bytes:
    """Return the bytes of a JSON array of finished objects."""
    return b"[" + b",".join(bodies) + b"]"
