"""Points of a delivery at which a fault test may kill the worker (`DIP_CRASH_AT`); the engine has its own in a round."""

from collections.abc import Callable
from typing import Final

from pipeline.delivery.ports import Post, Webhooks
from pipeline.domain.delivery import Result

BEFORE_POST: Final = "before-post"
POSTED: Final = "posted"
"""The recipient has answered, and nothing of it is durable."""


class CrashingWebhooks:
    """Webhooks that tell a hook before each call and after its answer."""

    def __init__(self, webhooks: Webhooks, hook: Callable[[str], None]) -> None:
        self._webhooks = webhooks
        self._hook = hook

    async def post(self, post: Post) -> Result:
        self._hook(BEFORE_POST)
        result = await self._webhooks.post(post)
        self._hook(POSTED)
        return result
