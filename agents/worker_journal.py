"""The journal's worker module, found by `faust -A agents.worker_journal worker` (or `dip worker journal`)."""

from agents.bootstrap import journal
from pipeline.adapters.heap import settle_heap

app = journal()
settle_heap()
