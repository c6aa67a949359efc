"""Kafka of one node or three, with a way of its own through the proxy for each client."""

import base64
import shutil
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.localstack import Broker, default_cache, kafka_home
from pipeline.localstack.broker import KafkaHome
from pipeline.localstack.broker_config import render
from pipeline.localstack.ports import LOOPBACK, Ports, free_ports
from pipeline.settings import Settings
from tests.campaign.network import Network


class Cluster:
    """Brokers named `broker-1` and so on. `via` gives a client's bootstrap address, through its own routes.

    Listeners follow clients because a client goes where a broker says that it is: only an address of its own keeps
    it on its route.
    """

    def __init__(self, folder: Path, *, nodes: int, clients: Sequence[str]) -> None:
        self._folder = folder
        self._clients = tuple(clients)
        self._ports = [Ports(client=a, control=b) for a, b in _pairs(free_ports(2 * nodes))]
        far = free_ports(2 * nodes * len(clients))
        self._near = {
            (client, node): far[2 * (index * nodes + node)]
            for index, client in enumerate(clients)
            for node in range(nodes)
        }
        self._far = {key: far[far.index(near) + 1] for key, near in self._near.items()}
        home = kafka_home(default_cache(Settings.load()))
        cluster = _random_id()
        self.brokers = {
            f"broker-{node + 1}": self._broker(home, node, cluster=cluster if nodes > 1 else None)
            for node in range(nodes)
        }
        self.network = Network({self._near[key]: self._far[key] for key in self._near})

    @property
    def bootstrap(self) -> str:
        """Return the address that no fault of the network touches."""
        return ",".join(ports.address for ports in self._ports)

    def via(self, client: str) -> str:
        """Return a client's own address."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self.routes(client))

    def routes(self, client: str) -> tuple[int, ...]:
        """Return the ports at which a client's routes begin."""
        return tuple(self._near[client, node] for node in range(len(self._ports)))

    def start(self) -> None:
        """Start all nodes side by side: one of three waits for a second."""
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(lambda broker: broker.start(), self.brokers.values()))

    def close(self) -> None:
        """End everything."""
        for broker in self.brokers.values():
            broker.kill()
        self.network.close()

    def _broker(self, home: KafkaHome, node: int, *, cluster: str | None) -> Broker:
        directory = self._folder / f"broker-{node + 1}"
        if cluster is not None:
            _identify(home, directory / "data", node=node + 1, cluster=cluster)
        return Broker(
            home,
            directory=directory,
            log=self._folder / "logs" / f"broker-{node + 1}.log",
            ports=self._ports[node],
            more=self._listeners(node) | (self._neighbours(node) if cluster is not None else {}),
        )

    def _listeners(self, node: int) -> dict[str, str]:
        own = self._ports[node]
        names = {client: f"VIA{index}" for index, client in enumerate(self._clients)}
        listens = [f"CLIENT://{own.address}", f"CONTROLLER://{LOOPBACK}:{own.control}"]
        listens += [f"{name}://{LOOPBACK}:{self._far[client, node]}" for client, name in names.items()]
        tells = [f"CLIENT://{own.address}"]
        tells += [f"{name}://{LOOPBACK}:{self._near[client, node]}" for client, name in names.items()]
        plain = ["CLIENT", "CONTROLLER", *names.values()]
        return {
            "listeners": ",".join(listens),
            "advertised.listeners": ",".join(tells),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in plain),
        }

    def _neighbours(self, node: int) -> dict[str, str]:
        replicas = str(len(self._ports))
        voters = ",".join(
            f"{number}@{LOOPBACK}:{ports.control}" for number, ports in enumerate(self._ports, 1)
        )
        return {
            "node.id": str(node + 1),
            "controller.quorum.voters": voters,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": "2",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "4",
        }


def _identify(home: KafkaHome, data: Path, *, node: int, cluster: str) -> None:
    """Give a node its formatted directory: nodes of one cluster share its id."""
    data.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(home.formatted, data)
    identity = {"version": "1", "node.id": str(node), "cluster.id": cluster, "directory.id": _random_id()}
    (data / "meta.properties").write_text(render(identity))


def _pairs(ports: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(ports[::2], ports[1::2], strict=True))


def _random_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
