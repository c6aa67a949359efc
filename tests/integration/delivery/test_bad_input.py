"""What operators get wrong, on real processes: one line that says what to do, an exit code, and nothing is harmed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.localstack import Broker, BrokerProfile, LocalStack, default_cache, kafka_home
from pipeline.localstack.ports import LOOPBACK, Ports, free_ports
from pipeline.settings import Settings
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import WebhookServer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

STOPPED, REFUSED = (
    70,
    1,
)  # by the engine, which may be started again; by the settings, which have to change first
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def doors() -> Ports:
    """Give the broker's plain port, and the one that asks for a password."""
    client, guarded = free_ports(2)
    return Ports(client=client, control=guarded)


@pytest.fixture(scope="module")
def broker(stack: LocalStack, doors: Ports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Start a broker with two listeners: CLIENT as always, and DOOR with user and password."""
    folder = tmp_path_factory.mktemp("guarded-broker")
    own = Ports(client=doors.client, control=free_ports(1)[0])
    plain = f"CLIENT://{own.address},CONTROLLER://{LOOPBACK}:{own.control}"
    door = f"DOOR://{LOOPBACK}:{doors.control}"
    made = Broker(
        kafka_home(default_cache(Settings.load())),
        directory=folder / "data",
        log=folder / "broker.log",
        profile=BrokerProfile.SMALL,
        ports=own,
        more={
            "listeners": f"{plain},{door}",
            "advertised.listeners": f"CLIENT://{own.address},{door}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,DOOR:SASL_PLAINTEXT",
            "listener.name.door.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.door.plain.sasl.jaas.config": (
                f'org.apache.kafka.common.security.plain.PlainLoginModule required user_dip="{PASSWORD}";'
            ),
        },
    )
    made.start()
    yield made
    made.kill()


@pytest.fixture
def someone_elses_key(tmp_path: Path) -> Path:
    issued = CertificateAuthority.create("somebody else").issue("router", usage="signing")
    path = tmp_path / "other.key"
    path.write_bytes(issued.key_pem)
    return path


def password(word: str) -> str:
    return f"security.protocol=sasl_plaintext;sasl.mechanism=PLAIN;sasl.username=dip;sasl.password={word}"


def test_what_is_wrong_is_said_in_one_line_and_those_who_work_go_on(
    rig: Rig, server: WebhookServer, doors: Ports, someone_elses_key: Path, tmp_path: Path
) -> None:
    (who,) = rig.names(1)
    rig.register(who)
    door = f"{LOOPBACK}:{doors.control}"
    # The one that works came in with the right password.
    first = rig.start(kafka_bootstrap=door, kafka_options=password(PASSWORD))
    rig.send((who,), 5)
    rig.wait_for(lambda: len(server.taken(who)) == 5, "the first worker serves")

    newer = tmp_path / "newer"
    form = newer / "dip-delivery-0" / "form"
    form.parent.mkdir(parents=True)
    form.write_text("2\n")
    apart = str(tmp_path / "apart")
    soon = {"start_wait_s": "8", "state_dir": apart}
    cases: dict[str, tuple[dict[str, str], int, tuple[str, ...]]] = {
        "the first one's folder": (
            {}, STOPPED, (f"is in use by process {first.pid}", "DIP_INSTANCE"),
        ),
        "a folder of a newer version": (
            {"state_dir": str(newer)}, STOPPED, ("a newer version wrote it", "Run that version again"),
        ),
        "another password": (
            {"kafka_bootstrap": door, "kafka_options": password("wrong"), **soon}, REFUSED,
            ("Kafka does not let us in", "check user and password", "DIP_KAFKA_OPTIONS"),
        ),
        "TLS at a port without": (
            {"kafka_options": "security.protocol=ssl", **soon}, REFUSED,
            ("Kafka does not let us in", "TLS port", "DIP_KAFKA_OPTIONS"),
        ),
        "options that are none": (
            {"kafka_options": "sasl.username", **soon}, REFUSED, ("DIP_KAFKA_OPTIONS", "key=value"),
        ),
        "an option that Kafka's client does not know": (
            {"kafka_options": "security.protocl=ssl", **soon}, REFUSED, ("DIP_KAFKA_OPTIONS", "security.protocl"),
        ),
        "somebody else's key": (
            {"signing_key": str(someone_elses_key), **soon}, REFUSED, ("DIP_SIGNING_KEY", "certificate"),
        ),
        "a secret that could be guessed": (
            {"shard_secret": "secret", **soon}, REFUSED, ("DIP_SHARD_SECRET", "expected at least"),
        ),
    }  # fmt: skip
    begun = {name: (rig.start(**settings), len(rig.workers) - 1) for name, (settings, _, _) in cases.items()}
    ended = {name: ends(rig, *one) for name, one in begun.items()}
    for name, (_, code, words) in cases.items():
        exit_code, text = ended[name]
        assert exit_code == code, f"{name}: exit code {exit_code}\n{text}"
        last = text.strip().splitlines()[-1]
        assert all(word in last for word in words), f"{name}: {last}"
        assert "Traceback" not in text, f"{name}: {text}"
        assert PASSWORD not in text, name

    assert form.read_text() == "2\n"
    files = {one.name for one in form.parent.rglob("*") if one.is_file()}
    assert files <= {"form", "in-use"}, "no store was made in it"
    rig.send((who,), 5)
    rig.wait_for(
        lambda: len(server.taken(who)) == 10 and not rig.unsettled(), "the first worker goes on", dying=True
    )
    assert first.poll() is None
    rig.check_ledger()


def ends(rig: Rig, worker: subprocess.Popen, number: int) -> tuple[int, str]:
    """Return a worker's exit code and all that it said."""
    code = worker.wait(120)
    return code, (rig.folder / f"worker-{number}.log").read_text(errors="replace")
