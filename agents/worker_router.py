"""The router's worker module, found by `faust -A agents.worker_router worker` (or `dip worker router`)."""

from agents.bootstrap import router

app = router()
