"""The delivery worker module, found by `faust -A agents.worker_delivery worker` (or `dip worker delivery`)."""

from agents.bootstrap import delivery

app = delivery()
