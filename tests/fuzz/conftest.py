"""The long campaign asks a bridge on real Kafka: the same fixtures as the integration tests of the bridge."""

from tests.integration.bridge.conftest import site, start_bridge  # noqa: F401 # fixtures
