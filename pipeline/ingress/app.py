"""The bridge as a request handler: in the order in which a refusal costs least, and 201 last of all."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from pipeline import limits
from pipeline.domain.client_certificates import ClientCertificate
from pipeline.domain.participants import Participants
from pipeline.ingress.addresses import public_urls, resolved
from pipeline.ingress.admission import Visit
from pipeline.ingress.answering import refused_response
from pipeline.ingress.arrival import Arrival, channel_of
from pipeline.ingress.call_audit import CallAudit
from pipeline.ingress.calls import Outcome, Tally
from pipeline.ingress.concluding import Conclusion
from pipeline.ingress.documents import Documents
from pipeline.ingress.encodings import Packing, packing_of
from pipeline.ingress.entrance import Entrance, cost_of
from pipeline.ingress.expiring import Expiring
from pipeline.ingress.guesses import Attempt
from pipeline.ingress.identity import KEY_HEADER, Caller, Credentials, identify
from pipeline.ingress.judging import Judging
from pipeline.ingress.media import check_media
from pipeline.ingress.outside import Outside
from pipeline.ingress.reading import Body
from pipeline.ingress.refusal_audit import RefusalAudit
from pipeline.ingress.refusals import Refusal, printable
from pipeline.ingress.route_table import Match, RouteTable
from pipeline.ingress.routes import Route
from pipeline.openapi.operations import Content

log = logging.getLogger(__name__)

CALLER: Final = web.RequestKey("dip.participant", str)
"""What a request is asked for who called, where that is known."""
_ARRAYS: Final = frozenset({Content.MESSAGES, Content.STATUSES, Content.PAYLOADS})
_STOPPING: Final = Refusal(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    slug="stopping",
    help="This process is shutting down. Try again.",
    retry_after_s=limits.BUSY_RETRY_AFTER_S,
)
_GONE: Final = Refusal(
    status=HTTPStatus.BAD_REQUEST, slug="gone", help="The connection was lost before the body was complete."
)
_FAILED: Final = Refusal(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    slug="internal",
    help="The router failed on this request, by no fault of yours; its operator sees why. Try again.",
)


class Bridge:
    """Answers the wire protocol's calls. One object per process; `stopping` turns new requests away.

    Every request goes the same way, cheapest refusal first: route, admission, who calls, media, body, signature, and
    then the operation of its route.
    """

    def __init__(self, outside: Outside, *, entrance: Entrance | None = None) -> None:
        self._outside = outside
        self._routes = RouteTable()
        # A few hundred paths are called again and again: to remember what they name beats any search.
        self._found = lru_cache(maxsize=limits.PATHS_REMEMBERED_MAX)(self._find)
        self._documents = Documents(
            outside.catalogue,
            server=next(iter(public_urls(outside.settings)), ""),
            keys=outside.settings.jwks,
        )
        self.entrance = entrance or Entrance(outside.settings)
        self._expiring = Expiring(outside)
        self._judge = Judging(outside, self._expiring)
        self._refused = RefusalAudit(
            publisher=outside.publisher, encoder=outside.encoder, clock=outside.clock
        )
        self._calls = CallAudit(publisher=outside.publisher, encoder=outside.encoder, clock=outside.clock)
        self._conclude = Conclusion(outside, self.entrance, self._refused, stopping=lambda: self.stopping)
        # Large bodies are judged beside the loop, so that small ones do not wait behind them.
        self._pool = ThreadPoolExecutor(limits.JUDGING_THREADS, thread_name_prefix="judge")
        self.stopping = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request; whatever happens here, the process lives on."""
        began_s = time.perf_counter()
        match = self._found(request.method, request.raw_path.partition("?")[0])
        try:
            if match is None:
                outcome = await self._documents.answer(request, self._pool)
            else:
                outcome = await self._serve(request, match)
        except ConnectionError as error:
            log.info("a client went away in the middle of its request: %s", error)
            outcome = _GONE
        except Exception:
            log.exception("a request failed")
            outcome = _FAILED
        if isinstance(outcome, Refusal):
            log.info("refused with %d %s: %s", outcome.status, outcome.slug, printable(outcome.help))
            self.entrance.counters.refused[outcome.slug] += 1
            response = refused_response(
                outcome,
                match.route if isinstance(match, Match) else None,
                accept=request.headers.get(hdrs.ACCEPT, ""),
                now=self._outside.clock.now(),
            )
        else:
            response = outcome
        self.entrance.counters.answered[response.status] += 1
        self.entrance.counters.seconds.note(time.perf_counter() - began_s)
        response.headers[hdrs.SERVER] = "Open DIP"  # not the versions beneath
        unread = not request.content.is_eof()
        if unread:
            request.protocol.close()  # the rest of the body is swallowed for a moment, not parsed
        if unread or self.stopping:
            response.force_close()
        return response

    def route_of(self, request: web.BaseRequest) -> str:
        """Return the path of the call that a request names, its parameters unfilled; `documents` and `none` beside."""
        match = self._found(request.method, request.raw_path.partition("?")[0])
        if match is None:
            return "documents"
        return match.route.path if isinstance(match, Match) else "none"

    async def finish(self) -> None:
        """Have written what the audit does not say yet."""
        await self._calls.close()

    def close(self) -> None:
        """Let the judging threads go."""
        self._pool.shutdown(wait=True)

    async def _serve(self, request: web.BaseRequest, match: Match | Refusal) -> web.Response | Refusal:
        if self.stopping:
            return _STOPPING
        if isinstance(match, Refusal):
            return match
        participants = self._outside.participants.current()
        caller = self._identified(request, participants)
        if isinstance(caller, Refusal):
            self._note("", match, caller, Tally(), 0.0)
            return caller
        request[CALLER] = caller.name
        tally, began_s = Tally(), time.perf_counter()
        outcome = await self._known(request, match, caller, participants, tally)
        self.entrance.counters.requests_by.add(caller.name, str(int(outcome.status)))
        self._note(caller.name, match, outcome, tally, time.perf_counter() - began_s)
        return outcome

    def _note(
        self, caller: str, match: Match, outcome: web.Response | Refusal, tally: Tally, seconds: float
    ) -> None:
        """Have the audit say that there was this call, where it has no record of it yet."""
        if tally.noted:
            return
        operation, channel, status = match.route.operation, channel_of(match), HTTPStatus(outcome.status)
        if isinstance(outcome, Refusal):
            self._refused.note(caller, channel, status, operation=operation, slug=outcome.slug)
        else:
            self._calls.note(caller, operation, channel, status, tally, duration_ms=round(seconds * 1000))

    async def _known(
        self,
        request: web.BaseRequest,
        match: Match,
        caller: Caller,
        participants: Participants,
        tally: Tally,
    ) -> web.Response | Refusal:
        """Serve a caller that we know."""
        visit = self.entrance.door.enter(caller.name)
        if isinstance(visit, Refusal):
            return visit
        with visit:
            packing = self._check_media(request, match.route)
            if isinstance(packing, Refusal):
                return packing
            arrival = Arrival(
                request=request,
                match=match,
                caller=caller,
                participants=participants,
                packing=packing,
                tally=tally,
            )
            return await self._admitted(arrival, visit)

    def _identified(self, request: web.BaseRequest, participants: Participants) -> Caller | Refusal:
        """Find out who calls, but not for an address that only tries keys."""
        trust, guesses = self._outside.trust.current(), self.entrance.guesses
        key = request.headers.get(KEY_HEADER)
        attempt = Attempt.of(request.remote, key) if key else None
        slowed = None if attempt is None else guesses.refusal(attempt)
        if slowed is not None:
            return slowed
        certificate = trust.source.find(request)
        caller = identify(
            Credentials(key=key, certificate=certificate),
            participants,
            now=self._outside.clock.now(),
            by=trust.identified_by,
            policy=trust.clients,
        )
        if isinstance(caller, Caller) and caller.connected and isinstance(certificate, ClientCertificate):
            shown = certificate.fingerprint, certificate.valid_to
            self._expiring.connected(*shown, caller.connected, participants)
        if attempt is None:
            return caller
        if isinstance(caller, Caller):
            guesses.was_good(attempt)
        elif caller.status is HTTPStatus.UNAUTHORIZED:
            guesses.was_wrong(attempt)
        return caller

    def _check_media(self, request: web.BaseRequest, route: Route) -> Packing | Refusal | None:
        """Refuse what is not JSON or wants something else back; return how the body is packed."""
        return check_media(request, route) or packing_of(
            request.headers.get(hdrs.CONTENT_ENCODING), allowed=self._outside.settings.compressed_bodies
        )

    def _find(self, method: str, path: str) -> Match | Refusal | None:
        """Return what a method and a path name: a call, a refusal, or None for the documents."""
        if self._documents.covers(path):
            return None
        match = self._routes.find(method, path)
        return match if isinstance(match, Refusal) else resolved(match, self._outside.catalogue)

    async def _admitted(self, arrival: Arrival, visit: Visit) -> web.Response | Refusal:
        bytes_max = self._bytes_max(arrival.match.route)
        with Body(arrival.request, self.entrance.budget, arrival.caller.name, bytes_max=bytes_max) as body:
            content = await body.read()
            visit.charge(bytes_=body.arrived)
            arrival.tally.bytes_read = body.arrived
            self.entrance.counters.bytes_by.add(arrival.caller.name, count=body.arrived)
            if isinstance(content, Refusal):
                return content
            outcome = await self._judged(arrival, body, content)
            visit.charge(messages=arrival.tally.messages)
            self.entrance.counters.bytes_unpacked += arrival.tally.bytes_unpacked
            return await self._conclude(arrival, outcome)

    def _bytes_max(self, route: Route) -> int:
        most = self._outside.settings.body_bytes_max
        return most if route.body in _ARRAYS else min(most, limits.SMALL_BODY_BYTES_MAX)

    async def _judged(self, arrival: Arrival, body: Body, content: bytes) -> Outcome:
        """Judge when it is the caller's turn: on the loop, or beside it where it may take long."""
        owner = arrival.caller.name
        cost = cost_of(content, packed=arrival.packing is not None)
        if arrival.packing is None and len(content) <= limits.JUDGED_INLINE_BYTES_MAX:
            return await self.entrance.loop_turns.take(owner, cost) or self._judge(arrival, body, content)
        refusal = await self.entrance.threads.take(owner, cost)
        if refusal is not None:
            return refusal
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._judge, arrival, body, content)
        finally:
            self.entrance.threads.give_back()
