"""The toy applications of the engine's tests."""

from tests.support.engine_rig import rig

__all__ = ["rig"]
