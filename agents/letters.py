"""Dead letters written by stages: a refused record with the reason in its headers, beside the engine's own form.

The value is the record's value, byte for byte. `dlq.topic`, `dlq.partition`, `dlq.offset`, `dlq.stage` and
`dlq.at` are the names that the engine uses for records that raise. `dlq.check`, `dlq.code` and `dlq.pointer` are the
first refusal's, `dlq.text` tells all of them, as the sender will read it.
"""

from collections.abc import Sequence
from datetime import datetime

from agents.loop import Emission
from pipeline.domain.rejections import Rejection
from pipeline.domain.responses import help_of
from pipeline.engine import Record


def refused(
    topic: str, record: Record, rejections: Sequence[Rejection], *, stage: str, now: datetime
) -> Emission:
    """Return the dead letter of a record that rules refused; the first rejection gives the code."""
    first = rejections[0]
    headers = [
        ("dlq.code", first.code.value.encode()),
        ("dlq.check", first.check.value.encode()),
        ("dlq.text", help_of(rejections).encode()),
        ("dlq.topic", record.topic().encode()),
        ("dlq.partition", b"%d" % record.partition()),
        ("dlq.offset", b"%d" % record.offset()),
        ("dlq.stage", stage.encode()),
        ("dlq.at", f"{now.timestamp():.3f}".encode()),
    ]
    if first.pointer is not None:
        headers.append(("dlq.pointer", first.pointer.encode()))
    return Emission(topic, record.value() or b"", record.key(), headers)
