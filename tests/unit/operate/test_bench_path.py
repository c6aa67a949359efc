"""`dip bench path` with several workers: which processes there are, a request that makes no sense, and its table."""

import io
from pathlib import Path

from click.testing import CliRunner
from rich.console import Console

from pipeline.operate.bench import bench
from pipeline.operate.bench_path import show
from pipeline.operate.up import processes
from pipeline.settings import Settings
from pipeline.simulator.peak_run import Step


def test_each_worker_of_a_kind_has_a_name_an_instance_and_a_port_of_its_own(tmp_path: Path) -> None:
    specs = processes(Settings.load({}, state_dir=str(tmp_path)), workers=3)
    assert [one.name for one in specs] == [
        "router", "router-1", "router-2", "delivery", "delivery-1", "delivery-2", "journal", "bridge",
    ]  # fmt: skip
    instances = [one.command[one.command.index("--instance") + 1 :] for one in specs if "-" in one.name]
    assert [one[0] for one in instances] == ["1", "2", "1", "2"]
    ports = [one.command[one.command.index("--port") + 1] for one in specs if "--port" in one.command]
    assert len(set(ports)) == len(ports) == 7


def test_one_worker_of_a_kind_is_called_as_it_always_was(tmp_path: Path) -> None:
    specs = processes(Settings.load({}, state_dir=str(tmp_path)))
    assert [one.name for one in specs] == ["router", "delivery", "journal", "bridge"]
    assert not any("--instance" in one.command for one in specs)


def test_workers_that_would_idle_are_refused_before_anything_starts() -> None:
    found = CliRunner().invoke(bench, ["path", "--workers", "5", "--partitions", "4"])
    assert found.exit_code == 2
    assert "1 would idle" in found.output


def test_many_steps_are_readable_on_a_small_terminal() -> None:
    """Nine columns at 80 characters were "laten..." and figures without their ends."""
    steps = [
        Step(
            rate=rate, in_per_s=rate, copies_per_s=4 * rate, cpu_us_per_message={"delivery": 12_345}, cores_busy=1.0,
            latency_s={"p90": 0.5}, messages=1, copies=4, lost=0, phantom=0, doubled=0, refused={},
        )
        for rate in (250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 3_000.0, 2_500.0, 2_750.0, 2_625.0)
    ]  # fmt: skip
    out = io.StringIO()
    show(steps, Console(file=out, width=80))
    told = out.getvalue()
    assert told.count("CPU of delivery, us a message") == 3
    assert told.count("12,345") == 9
    assert all(f"{step.rate:,.0f}/s" in told for step in steps)
    assert "…" not in told
