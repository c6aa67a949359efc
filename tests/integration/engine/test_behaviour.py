"""What the engine promises besides surviving: isolation, refusals at the start, wipes, windows, orderly stops."""

import signal
import time

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline import limits
from pipeline.engine import EngineSettings, changelog_topic
from pipeline.engine.clients import consumer_settings
from pipeline.engine.offsets import Topics
from pipeline.engine.store import Shard
from tests.chaos.faults import until
from tests.support.engine_rig import create_topics
from tests.support.reading import drain

pytestmark = pytest.mark.kafka


def stopped(worker, *, within_s=60):
    until(lambda: worker.poll() is not None, within_s=within_s, what="the worker ends by itself")
    return worker.returncode


def test_records_that_fail_become_dead_letters_and_the_rest_of_their_batch_goes_through(rig, stack):
    """One raises, one is not JSON, one breaks the table's codec: each alone is dead-lettered, with bytes and reason."""
    one = rig(stack.bootstrap)
    one.feed(400, extra={50: {"bad": 1}, 120: {"unencodable": "text"}})
    until(one.fed, within_s=60, what="fed")
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": stack.bootstrap, "partitioner": "murmur2"})
    producer.produce(one.config.topic("in"), b"\xffnot json", b"k", headers=[("h", b"kept")])
    producer.flush(30)
    one.start_worker()
    dlq = lambda: drain(stack.bootstrap, one.config.topic("dlq"), one.config.partitions)  # noqa: E731
    until(lambda: len(dlq()) >= 3, within_s=60, what="three dead letters")
    one.settle(within_s=60, dead=2)
    one.verify(dead=frozenset({50, 120}))
    letters = {message.value(): dict(message.headers()) for message in dlq()}
    assert letters.keys() == {one.sent[50], one.sent[120], b"\xffnot json"}
    assert letters[one.sent[50]]["dlq.error"] == b"ValueError: poison 50"
    assert letters[one.sent[120]]["dlq.error"] == b"TypeError: not a count: 'text'"
    raw = letters[b"\xffnot json"]
    assert raw["h"] == b"kept"
    assert raw["dlq.error"].startswith(b"JSONDecodeError")
    assert raw["dlq.topic"] == one.config.topic("in").encode()
    assert raw["dlq.stage"] == b"first"
    assert {"dlq.partition", "dlq.offset", "dlq.at"} <= raw.keys()


def test_a_worker_refuses_wrong_partition_counts_and_missing_topics(rig, stack):
    one = rig(stack.bootstrap)
    worker = one.start_worker(
        expected={one.config.topic("in"): 12, one.config.topic("gone"): 4}, start_wait_s=3
    )
    assert stopped(worker) == 70
    log = one.log()
    assert f"topic {one.config.topic('in')} has 4 partitions, expected 12" in log
    assert f"topic {one.config.topic('gone')} does not exist: run `dip topics create`" in log
    assert "Traceback" not in log


def test_a_worker_waits_for_topics_that_are_created_a_moment_later(rig, stack):
    """A loaded broker knows a topic some time after its creation was confirmed; that is no reason to give up."""
    one = rig(stack.bootstrap)
    late = one.config.topic("late")
    one.start_worker(expected={late: 4})
    until(lambda: f"{late} among them" in one.log(), within_s=60, what="the worker waits")
    create_topics(stack.bootstrap, {late: 4})
    one.feed(100)
    one.settle(within_s=60)
    one.verify()


def test_a_member_that_is_stuck_is_without_its_partitions_after_the_longest_time_between_two_fetches(
    rig, stack
):
    """It goes on with its heartbeats, so no session ends: a client that was left behind did this in the campaign."""
    one = rig(stack.bootstrap)
    settings = EngineSettings(bootstrap=stack.bootstrap, instance="stuck", dead_letters={})
    options = consumer_settings(settings, one.config.app_id)
    assert options["max.poll.interval.ms"] == limits.POLL_INTERVAL_S_MAX * 1_000
    stuck = Consumer({**options, "max.poll.interval.ms": 10_000})  # for it, a tenth of what the test waits
    stuck.subscribe([one.config.topic("in"), one.config.topic("mid")])
    until(
        lambda: stuck.poll(0.2) is not None or bool(stuck.assignment()), within_s=60, what="it has everything"
    )
    one.start_worker()
    one.feed(200)
    one.settle(within_s=100)
    one.verify()


def test_a_worker_without_kafka_waits_with_messages_and_then_exits_clearly(rig, stack, free_port):
    one = rig(stack.bootstrap)
    one.config.bootstrap = f"127.0.0.1:{free_port()}"
    worker = one.start_worker(start_wait_s=6)
    assert stopped(worker) == 70
    log = one.log()
    assert "waiting for Kafka at" in log
    assert "no Kafka broker answered at" in log
    assert "Traceback" not in log
    assert "Check the address (KAFKA_BOOTSTRAP)" in log


def test_sigterm_ends_the_round_and_leaves_nothing_to_do_twice(rig, stack):
    """Two orderly stops under load; the exit code is 0 and the next process goes on where the last ended."""
    one = rig(stack.bootstrap, stages=["held"], settle_s=0.05)
    one.feed(1800, per_s=150)
    for _ in range(2):
        before = one.outputs()
        worker = one.start_worker()
        until(lambda before=before: one.outputs() > before + 30, within_s=60, what="outputs flow")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    one.start_worker()
    one.settle(within_s=90)
    one.verify()
    assert "Traceback" not in one.log()


def test_what_is_held_and_not_settled_is_not_committed(rig, stack):
    """Offsets never pass an unsettled record, however many after it are done."""
    # Each is settled after a part of it, drawn anew: of an hour, the first of 200 would often be due in seconds.
    one = rig(stack.bootstrap, stages=["held"], settle_s=1e8, partitions=4)
    one.feed(200)
    worker = one.start_worker()
    until(lambda: "claimed" in one.log(), within_s=60, what="claims")
    held = [TopicPartition(one.config.topic("held"), number) for number in range(4)]

    def committed():
        consumer = Consumer(
            {"bootstrap.servers": stack.bootstrap, "group.id": one.config.app_id, "log_level": 2}
        )
        try:
            return [place.offset for place in consumer.committed(held, 15)]
        finally:
            consumer.close()

    until(lambda: "holds 200" in one.log(), within_s=60, what="everything is held")
    time.sleep(1)  # several rounds: whatever would commit has done so
    assert all(offset <= 0 for offset in committed()), "an offset passed an unsettled record"
    # Kafka's word for "never committed" is negative: holding leaves nothing to write, so no transaction was spent on it.
    assert all(offset < 0 for offset in committed()), "a transaction for nothing but what is held"
    worker.kill()
    worker.wait()
    one.config.settle_s = 0.01
    one.start_worker()
    one.settle(within_s=60)
    one.verify()


def test_two_sources_share_a_table_and_are_claimed_together(rig, stack):
    one = rig(stack.bootstrap, stages=["held"], settle_s=0.01)
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": stack.bootstrap, "partitioner": "murmur2"})
    for number in range(200):
        producer.produce(one.config.topic("again"), b"", b"%d" % (number % 20))
    producer.flush(30)
    one.feed(200)
    one.start_worker()
    one.settle(within_s=60)
    one.verify_table("parked", 200 + 200)
    claims = [line for line in one.log().splitlines() if "claimed Claim" in line]
    assert len(claims) == one.config.partitions
    assert all(f"{one.config.topic('again')}+{one.config.topic('held')}" in line for line in claims)


def fill_table(one):
    one.feed(300)
    one.start_worker()
    one.settle(within_s=60)
    one.verify()


def shard(one, number=0):
    path = one.directory / "toy-0" / "v1" / "tables" / f"seen-{number}"
    return Shard(
        table="seen", changelog=changelog_topic(one.config.app_id, "seen"), partition=number, path=path
    )


def test_a_store_that_cannot_be_continued_is_wiped_and_rebuilt(rig, stack):
    """Ahead of its changelog, too old, of another topic, or simply gone: the changelog decides."""
    one = rig(stack.bootstrap)
    fill_table(one)
    damage = {
        0: lambda s: s.apply([(b"ghost", b"9")], offset=s.mark.offset + 10_000, at_s=s.mark.at_s),
        1: lambda s: s.apply([(b"ghost", b"9")], offset=s.mark.offset, at_s=s.mark.at_s - 100 * 86_400),
        2: lambda s: (
            s.apply([(b"ghost", b"9")], offset=s.mark.offset, at_s=s.mark.at_s),
            s.touch(at_s=s.mark.at_s, topic_id="x"),
        ),
        3: lambda s: s.wipe(),
    }
    for number, hurt in damage.items():
        store = shard(one, number)
        hurt(store)
        store.close()
    one.feed(100)
    one.start_worker()
    one.settle(within_s=60)
    one.verify()
    log = one.log()
    assert "wiped, rebuilding: it is at" in log
    assert "tombstones are kept for" in log
    assert "deleted and created again" in log


def test_a_worker_stops_when_its_group_is_ahead_of_a_topic_that_lost_records(rig, stack):
    one = rig(stack.bootstrap, stages=["second"])
    consumer = Consumer({"bootstrap.servers": stack.bootstrap, "group.id": one.config.app_id, "log_level": 2})
    consumer.commit(offsets=[TopicPartition(one.config.topic("mid"), 0, 500)], asynchronous=False)
    consumer.close()
    assert stopped(one.start_worker(), within_s=120) == 70
    assert "Reset the group's offsets on purpose" in one.log()


def test_static_members_restart_without_a_rebalance_and_survive_a_kill(rig, stack):
    """After kill -9 the broker first refuses the same instance id: that is a reset, not an end."""
    one = rig(stack.bootstrap, static_membership=True)
    one.feed(1200, per_s=100)
    worker = one.start_worker()
    until(lambda: one.outputs() > 50, within_s=60, what="outputs flow")
    worker.terminate()
    assert worker.wait(60) == 0
    worker = one.start_worker()
    before = one.outputs()
    until(lambda: one.outputs() > before + 50, within_s=60, what="outputs flow again")
    worker.kill()
    worker.wait()
    one.start_worker()
    one.settle(within_s=90)
    one.verify()


def test_an_open_transaction_of_another_holds_writing_back_with_a_voice(rig, stack):
    """The fence: nothing is written while a partition that may be written holds an open transaction."""
    from confluent_kafka import Producer

    one = rig(stack.bootstrap)
    other = Producer({"bootstrap.servers": stack.bootstrap, "transactional.id": f"{one.config.tag}-other",
                      "transaction.timeout.ms": 60_000})  # fmt: skip
    other.init_transactions(30)
    other.begin_transaction()
    other.produce(one.config.topic("dlq"), b"open", b"k", 1)
    assert other.flush(30) == 0
    one.feed(100)
    one.start_worker()
    until(
        lambda: "no write yet: 1 partitions have had an open transaction" in one.log(),
        within_s=60,
        what="a voice",
    )
    assert one.outputs() == 0
    other.abort_transaction(30)
    one.settle(within_s=60)
    one.verify()


def test_a_topic_created_anew_under_a_running_admin_is_seen(stack, prefix):
    """Identity, not the name, decides whether a changelog is the one a store knows."""
    from pipeline.engine.offsets import Topics

    topics = Topics({"bootstrap.servers": stack.bootstrap})
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    admin.create_topics([NewTopic(prefix, 1, 1)])[prefix].result(30)
    until(lambda: prefix in topics.partition_counts(timeout_s=10), within_s=30, what="created")
    first = topics.describe([prefix])[prefix].topic_id
    admin.delete_topics([prefix])[prefix].result(30)
    until(lambda: prefix not in topics.partition_counts(timeout_s=10), within_s=30, what="deleted")
    admin.create_topics([NewTopic(prefix, 1, 1)])[prefix].result(30)
    until(lambda: prefix in topics.partition_counts(timeout_s=10), within_s=30, what="created again")
    assert topics.describe([prefix])[prefix].topic_id != first


def test_a_broker_that_does_not_let_us_in_is_not_called_absent(stack):
    """TLS asked of a plain port: the call only says that it timed out."""
    topics = Topics({"bootstrap.servers": stack.bootstrap, "security.protocol": "ssl"})

    def told() -> bool:
        with pytest.raises(KafkaException):
            topics.partition_counts(timeout_s=1)
        return "does not let us in" in topics.refusals.explain("no broker answered")

    until(told, within_s=60, what="the client reports a handshake that failed")


def test_the_release_of_a_real_broker_is_known(stack):
    from pipeline.engine.startup import release_of
    from pipeline.engine.wire import supported_metadata_level

    assert release_of(supported_metadata_level(stack.bootstrap, timeout_s=10)) == "4.0"
