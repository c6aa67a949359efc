"""`dip bench path` with several workers: which processes there are, and a request that makes no sense."""

from pathlib import Path

from click.testing import CliRunner

from pipeline.operate.bench import bench
from pipeline.operate.up import processes
from pipeline.settings import Settings


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
