"""A broker that is hurt keeps its data and its address."""

import socket
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.localstack.broker_probe import answers
from pipeline.localstack.errors import PortTaken
from pipeline.localstack.ports import Ports, free_ports, is_free
from pipeline.localstack.waiting import wait_until

pytestmark = pytest.mark.kafka


def create(bootstrap, name):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)], operation_timeout=30)[name].result()
    assert wait_until(lambda: name in admin.list_topics(timeout=10).topics, timeout_s_max=30)


def write(bootstrap, name, values):
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{name}-writer"})
    producer.init_transactions(60)
    producer.begin_transaction()
    for value in values:
        producer.produce(name, value)
    producer.commit_transaction(60)


def read(bootstrap, name, count):
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": f"{name}-reader",
        "isolation.level": "read_committed",
    }
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(name, 0, 0)])
    found = []
    try:
        assert wait_until(
            lambda: (
                found.extend(m.value() for m in consumer.consume(10, 1) if m.error() is None)
                or len(found) >= count
            ),
            timeout_s_max=60,
        )
    finally:
        consumer.close()
    return found


def test_a_killed_broker_comes_back_with_its_data_on_the_same_address(private_broker, prefix):
    broker = private_broker()
    address = broker.bootstrap
    create(address, prefix)
    write(address, prefix, [b"one", b"two"])
    broker.kill()
    assert not broker.running
    broker.start()
    assert broker.bootstrap == address
    assert read(address, prefix, 2) == [b"one", b"two"]
    write(address, prefix, [b"three"])  # its transaction coordinator works again too
    assert read(address, prefix, 3) == [b"one", b"two", b"three"]


def test_a_frozen_broker_does_not_answer_and_a_thawed_one_does(private_broker):
    broker = private_broker()
    client = {"bootstrap.servers": broker.bootstrap}
    broker.freeze()
    assert not answers(client)
    broker.thaw()
    assert wait_until(lambda: answers(client), timeout_s_max=60)


def test_a_frozen_broker_can_be_stopped(private_broker):
    broker = private_broker()
    broker.freeze()
    broker.stop()
    assert not broker.running


def test_a_restart_whose_port_is_taken_says_so(private_broker):
    broker = private_broker()
    broker.kill()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", broker.ports.client))
        thief.listen()
        with pytest.raises(PortTaken, match=str(broker.ports.client)):
            broker.start()


def test_a_preferred_port_that_is_taken_is_replaced_by_a_free_one(private_broker):
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", 0))
        thief.listen()
        taken = thief.getsockname()[1]
        broker = private_broker(ports=Ports(client=taken, control=free_ports(1)[0]))
        assert broker.ports.client != taken


def test_ports_lie_below_the_range_from_which_the_kernel_takes_its_own():
    """A client of a dead broker would else be connected to itself, and keep the broker's port."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(port < first and is_free(port) for port in ports)
