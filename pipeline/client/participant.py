"""Every published call to the DIP as a method. What the DIP says is a value; nothing here raises for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Final, Self, TypeVar
from urllib.parse import quote, urlencode

from pipeline.client.identity import Identity
from pipeline.client.outcomes import Accepted, Done, PartlyAccepted, Refused, Submission, Unsettled
from pipeline.client.records import (
    Company,
    JournalRecord,
    Page,
    Requeue,
    Unreadable,
    read_array,
    read_companies,
    read_journal,
    read_nothing,
    read_optional_text,
    read_requeues,
    read_text,
)
from pipeline.client.requests import MessageRequest, StatusMessageRequest, WebhookConfig
from pipeline.client.responses import Body, StandardResponse, read_response
from pipeline.client.retrying import AGAIN, RetryPolicy, retry_after_s
from pipeline.client.signing import Credentials
from pipeline.client.transport import Call, Received, Transport

PARTIAL_HEADERS: Final = {"X-DIP-Partial-Accept": "true"}
"""Asks for 207 where some messages of an array are refused: an extension, which other routers ignore."""
CONTINUATION_HEADER: Final = "X-Continuation-Token"
HELP_HEADER: Final = "X-DIP-Help"

T = TypeVar("T")
Outcome = Done[T] | Refused | Unsettled


class Participant:
    """One DIP ID's side of the conversation. Use as `async with Participant(...) as dip`.

    Paths name `recipient` where a connection provider asks for a participant it acts for; by default the
    identity's own DIP ID. Bodies are bytes: what a later try must send again is what was sent before.
    """

    def __init__(
        self,
        base_url: str,
        identity: Identity,
        *,
        now: Callable[[], datetime],
        retry: RetryPolicy | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.identity = identity
        self._now = now
        self._own_transport = transport is None
        self._transport = transport or Transport(base_url, tls=identity.tls, now=now, retry=retry)

    async def __aenter__(self) -> Self:
        if self._own_transport:
            await self._transport.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._own_transport:
            await self._transport.__aexit__(*error)

    # --- Messages and status messages ---------------------------------------------------------------------

    async def post_messages(self, channel: str, body: bytes, *, partial: bool = False) -> Submission:
        """Hand in an array of messages (`array_of`). `partial` asks for 207 in place of all or nothing."""
        headers = PARTIAL_HEADERS if partial else {}
        return await self._submit(
            Call(method="POST", path=_path("dip-channel", channel), body=body, headers=headers)
        )

    async def post_statuses(self, body: bytes) -> Submission:
        """Hand in an array of Body: what a recipient has to say of messages later than in its answer (L4)."""
        return await self._submit(Call(method="POST", path="/statusmessage", body=body))

    async def validate(self, interface: str, event: str, body: bytes) -> Outcome[str]:
        """Have an array judged without sending it. `event` has no brackets; only the API key is shown."""
        call = Call(method="POST", path=_path("validate", interface, event), body=body)
        return await self.ask(call, read_text, author=replace(self.identity.credentials, signing=None))

    # --- Webhooks -----------------------------------------------------------------------------------------

    async def configure_webhook(
        self, channel: str, config: WebhookConfig, *, recipient: str | None = None
    ) -> Outcome[None]:
        """Say where a channel's messages are delivered from now on."""
        path = self.path("dip-channel", channel, "pubconfig", recipient)
        return await self.ask(Call(method="POST", path=path, body=config.wire()), read_nothing)

    async def delete_webhook(self, channel: str, *, recipient: str | None = None) -> Outcome[None]:
        """Have no more of a channel delivered."""
        path = self.path("dip-channel", channel, "pubconfig", recipient)
        return await self.ask(Call(method="DELETE", path=path), read_nothing)

    async def configure_status_webhook(
        self, config: WebhookConfig, *, recipient: str | None = None
    ) -> Outcome[None]:
        """Say where status messages are delivered from now on."""
        path = self.path("statusmessage", "config", recipient)
        return await self.ask(Call(method="POST", path=path, body=config.wire()), read_nothing)

    async def delete_status_webhook(self, *, recipient: str | None = None) -> Outcome[None]:
        """Have no more status messages delivered."""
        return await self.ask(
            Call(method="DELETE", path=self.path("statusmessage", "config", recipient)), read_nothing
        )

    # --- What was delivered before ------------------------------------------------------------------------

    async def replay(
        self,
        channel: str,
        request: MessageRequest,
        *,
        continuation: str | None = None,
        recipient: str | None = None,
    ) -> Outcome[Page]:
        """Pull a page of what was delivered on a channel; the messages carry replayIndicator true."""
        path = self.path("dip-channel", channel, "replay", recipient)
        return await self._page(path, request.wire(), continuation)

    async def replay_statuses(
        self, request: StatusMessageRequest, *, continuation: str | None = None, recipient: str | None = None
    ) -> Outcome[Page]:
        """Pull a page of delivered status messages."""
        path = self.path("statusmessage", "replay", recipient)
        return await self._page(path, request.wire(), continuation)

    async def requeue(
        self, channel: str, request: MessageRequest, *, recipient: str | None = None
    ) -> Outcome[str | None]:
        """Have messages delivered to the webhook again; the value is the requeue's id, where the DIP gives one.

        Not repeated by itself after a lost answer: look at `requeue_status` first.
        """
        path = self.path("dip-channel", channel, "requeue", recipient)
        return await self.ask(
            Call(method="POST", path=path, body=request.wire(), repeatable=False), read_optional_text
        )

    async def requeue_statuses(
        self, request: StatusMessageRequest, *, recipient: str | None = None
    ) -> Outcome[str | None]:
        """Have status messages delivered again, as `requeue` does."""
        path = self.path("statusmessage", "requeue", recipient)
        return await self.ask(
            Call(method="POST", path=path, body=request.wire(), repeatable=False), read_optional_text
        )

    async def requeue_status(
        self, channel: str, *, requeue_id: str | None = None, recipient: str | None = None
    ) -> Outcome[tuple[Requeue, ...]]:
        """Ask how far requeues of a channel are."""
        path = self.path("dip-channel", channel, "requeueStatus", recipient)
        return await self.ask(
            Call(method="GET", path=path + query_of({"requeue-id": requeue_id})), read_requeues
        )

    async def status_requeue_status(
        self, *, requeue_id: str | None = None, recipient: str | None = None
    ) -> Outcome[tuple[Requeue, ...]]:
        """Ask how far requeues of status messages are."""
        path = self.path("statusmessage", "requeueStatus", recipient)
        return await self.ask(
            Call(method="GET", path=path + query_of({"requeue-id": requeue_id})), read_requeues
        )

    async def delivery_status(
        self, channel: str, reference: str, *, recipient: str | None = None
    ) -> Outcome[JournalRecord | None]:
        """Ask what became of a message, by its sender unique reference; None where nothing is known of it."""
        path = f"{self.path('dip-channel', channel, 'deliveryStatus', recipient)}{_path(reference)}"
        return await self.ask(Call(method="GET", path=path), read_journal)

    # --- Standing data ------------------------------------------------------------------------------------

    async def companies(self, number: str | None = None) -> Outcome[tuple[Company, ...]]:
        """Read the standing data of one company, or of all."""
        path = "/companyDetails" + query_of({"X-company-number": number})
        return await self.ask(Call(method="GET", path=path), read_companies)

    async def declare_company(
        self, *, number: str, mpid: str, market_role: str, dip_role: str
    ) -> Outcome[None]:
        """Declare one combination of company, market participant and role."""
        query = {
            "X-company-number": number,
            "X-MPID": mpid,
            "X-market-role": market_role,
            "X-DIP-role": dip_role,
        }
        return await self.ask(Call(method="POST", path="/companyDetails" + query_of(query)), read_nothing)

    # --- How it is done -----------------------------------------------------------------------------------

    def path(self, *parts: str | None) -> str:
        """Join a path of a call; None stands for the participant itself."""
        return _path(*(self.identity.dip_id if part is None else part for part in parts))

    async def _submit(self, call: Call) -> Submission:
        received = await self._transport.send(call, self.identity.credentials)
        if isinstance(received, Unsettled):
            return received
        response = read_response(received.content)
        match received.status:
            case HTTPStatus.CREATED:  # the status decides; a body that cannot be read takes nothing back
                return Accepted(response=response or StandardResponse(results=()), tries=received.tries)
            case HTTPStatus.MULTI_STATUS if response is not None:
                return PartlyAccepted(response=response, tries=received.tries)
            case HTTPStatus.MULTI_STATUS:
                return _unclear(received)
            case _:
                return self._unsuccessful(received)

    async def ask(
        self, call: Call, read: Callable[[bytes], T | Unreadable], *, author: Credentials | None = None
    ) -> Outcome[T]:
        """Make any call, an extension's for one; `read` says what its answer holds."""
        received = await self._transport.send(call, author or self.identity.credentials)
        return received if isinstance(received, Unsettled) else self._done(received, read(received.content))

    async def _page(self, path: str, body: bytes, continuation: str | None) -> Outcome[Page]:
        headers = {CONTINUATION_HEADER: continuation} if continuation else {}
        call = Call(method="POST", path=path, body=body, headers=headers)
        received = await self._transport.send(call, self.identity.credentials)
        if isinstance(received, Unsettled):
            return received
        items = read_array(received.content)
        if isinstance(items, Unreadable):
            return self._done(received, items)
        token = received.headers.get(CONTINUATION_HEADER)
        return self._done(received, Page(items=items, continuation=token))

    def _done(self, received: Received, value: T | Unreadable) -> Outcome[T]:
        if not HTTPStatus.OK <= received.status < HTTPStatus.MULTIPLE_CHOICES:
            return self._unsuccessful(received)
        if isinstance(value, Unreadable):
            return _unclear(received)
        return Done(status=received.status, value=value, tries=received.tries)

    def _unsuccessful(self, received: Received) -> Refused | Unsettled:
        """Tell a refusal from an answer that only means: not now, and not repeated by itself."""
        asked_s = retry_after_s(received.headers.get("Retry-After"), now=self._now())
        if received.status in AGAIN - {HTTPStatus.TOO_MANY_REQUESTS}:
            return Unsettled(
                reason=f"answered {received.status}",
                status=received.status,
                retry_after_s=asked_s,
                tries=received.tries,
            )
        response = read_response(received.content)
        results = () if response is None else response.results
        return Refused(
            status=received.status,
            help=_help(received, results),
            results=results,
            content=received.content,
            retry_after_s=asked_s,
            tries=received.tries,
        )


def _help(received: Received, results: Sequence[Body]) -> str:
    """Return the text that says what to do, wherever this status has it."""
    if results:
        return "; ".join(filter(None, (results[0].message, results[0].help)))
    told = received.headers.get(HELP_HEADER) or read_text(received.content)
    return told if isinstance(told, str) else ""


def _unclear(received: Received) -> Unsettled:
    return Unsettled(
        reason=f"answered {received.status} with a body that does not have the published form",
        status=received.status,
        tries=received.tries,
    )


def _path(*parts: str) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def query_of(names: Mapping[str, str | None]) -> str:
    """Return a query with its question mark; what is None is left out, and nothing at all where all is."""
    given = {name: value for name, value in names.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""
