"""`dip bench`: the figures of the README, each beside a plain loop of the same run."""

import click

from pipeline.operate.bench_engine import engine
from pipeline.operate.bench_path import path
from pipeline.operate.bench_peers import peers


@click.group()
def bench() -> None:
    """Measure. The machine is shared and noisy: read ratios, not rates."""


bench.add_command(engine)
bench.add_command(path)
bench.add_command(peers)
