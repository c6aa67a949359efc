"""The delivery worker module, found by `faust -A agents.worker_delivery worker` (or `dip worker delivery`)."""

from agents.bootstrap import delivery
from pipeline.adapters.heap import settle_heap

app = delivery()
settle_heap()
