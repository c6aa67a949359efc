"""The router's worker module, found by `faust -A agents.worker_router worker` (or `dip worker router`)."""

from agents.bootstrap import router
from pipeline.adapters.heap import settle_heap

app = router()
settle_heap()
