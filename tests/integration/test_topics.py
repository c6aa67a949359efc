"""Topics on a real broker: created once, verified ever after, never changed behind an operator's back."""

from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.adapters.broker_settings import WISHES, advice, broker_settings
from pipeline.adapters.topics import check_topics, ensure_topics, require_topics
from pipeline.errors import BrokerUnavailable, TopicsInvalid
from pipeline.localstack.waiting import wait_until
from pipeline.topics import topic_specs

pytestmark = pytest.mark.kafka


@pytest.fixture
def client(stack):
    return {"bootstrap.servers": stack.bootstrap}


@pytest.fixture
def admin(client):
    return AdminClient(client)  # held by the fixture: a collected client cancels its own calls


@pytest.fixture
def specs(prefix):
    return tuple(replace(spec, name=f"{prefix}-{spec.name}") for spec in topic_specs(partitions=3))


def test_the_settings_of_a_real_broker_are_read_and_the_local_one_needs_no_advice(client):
    found = broker_settings(client)
    assert {one.name for one in WISHES} <= found.keys()
    assert advice(found) == ()


def test_missing_topics_are_created_with_their_shape(client, specs):
    done = ensure_topics(client, specs)
    assert set(done.created) == {spec.name for spec in specs}
    assert check_topics(client, specs) == ()


def test_creating_twice_changes_nothing(client, specs):
    ensure_topics(client, specs)
    again = ensure_topics(client, specs)
    assert again.created == ()
    assert set(again.existing) == {spec.name for spec in specs}


def test_only_the_missing_ones_are_created(client, specs):
    ensure_topics(client, specs[:2])
    assert set(ensure_topics(client, specs).created) == {spec.name for spec in specs[2:]}


def test_a_wrong_partition_count_is_refused_by_name_and_nothing_is_created(client, admin, specs):
    wrong, others = specs[0], specs[1:]
    admin.create_topics([NewTopic(wrong.name, 5, 1, config=wrong.config())])[wrong.name].result()
    # The controller has it; the broker shows it a moment later, and only what it shows can be refused.
    assert wait_until(lambda: wrong.name in admin.list_topics(timeout=10).topics, timeout_s_max=30)
    with pytest.raises(TopicsInvalid, match=rf"{wrong.name}: partition count is 5, expected 3"):
        ensure_topics(client, specs)
    assert {one.found for one in check_topics(client, others)} == {"missing"}


def test_a_worker_refuses_missing_topics_with_what_to_do(client, specs):
    with pytest.raises(TopicsInvalid, match="dip topics create"):
        require_topics(client, specs)


def test_a_changed_cleanup_policy_is_reported(client, admin, specs):
    table = next(spec for spec in specs if spec.name.endswith("appointments-changelog"))
    settings = {**table.config(), "cleanup.policy": "delete"}
    admin.create_topics([NewTopic(table.name, 3, 1, config=settings)])[table.name].result()
    assert wait_until(lambda: table.name in admin.list_topics(timeout=10).topics, timeout_s_max=30)
    (one,) = [one for one in check_topics(client, [table]) if one.what == "cleanup.policy"]
    assert (one.found, one.expected) == ("delete", "compact")


def test_more_replicas_than_brokers_is_a_clear_refusal(client, specs):
    with pytest.raises(TopicsInvalid, match="cannot be created"):
        ensure_topics(client, [replace(specs[0], replication=3)])


@pytest.mark.timeout(60)
def test_no_broker_is_a_clear_error(free_port):
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        check_topics({"bootstrap.servers": f"127.0.0.1:{free_port()}"}, topic_specs(partitions=1))
