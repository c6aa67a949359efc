"""A real router on a broker of its own: the suite leaves messages behind, and others count theirs."""

from collections.abc import Iterator

import pytest

from pipeline.adapters.topics import ensure_topics
from pipeline.localstack import Broker, BrokerProfile, LocalStack, default_cache, kafka_home
from pipeline.settings import Settings
from pipeline.topics import topic_specs
from tests.integration.conformance.site import PARTITIONS, Site


@pytest.fixture(scope="module")
def conformance_site(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Prepare broker, topics, certificates and participants; processes are started by whoever needs them.

    One for each module: what one sends to everybody would reach the recipients of the next.
    """
    folder = tmp_path_factory.mktemp("conformance")
    home = kafka_home(default_cache(Settings.load()))
    broker = Broker(home, directory=folder / "kafka", log=folder / "kafka.log", profile=BrokerProfile.SMALL)
    broker.start()
    ensure_topics({"bootstrap.servers": broker.bootstrap}, topic_specs(partitions=PARTITIONS))
    site = Site(folder=folder, bootstrap=broker.bootstrap, registry_url=stack.registry_url)
    site.prepare()
    site.load(lambda _: [])
    yield site
    site.close()
    broker.kill()
