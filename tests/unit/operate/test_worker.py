"""What `dip worker` prepares before Faust takes over; a process of its own, since it changes the process."""

import subprocess
import sys

PROGRAM = """
import asyncio, sys, types
from pipeline.operate.worker import worker


app = types.SimpleNamespace(conf=types.SimpleNamespace(web_port=1))
made = types.ModuleType("agents.worker_router")
made.app = app
faust = types.ModuleType("faust.cli.faust")
faust.cli = lambda args: print(type(asyncio.new_event_loop()).__module__, *args)
sys.modules |= {"agents.worker_router": made, "faust.cli.faust": faust}
worker(["router", "--port", "1"])
"""


def test_the_worker_runs_on_uvloop():
    """Faust reads its own --loop when it is imported: it came too late, and nothing said so."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    loop, *arguments = done.stdout.split()
    assert loop.startswith("uvloop")
    assert arguments[:3] == ["-A", "agents.worker_router", "worker"]
