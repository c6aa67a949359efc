"""The bridge as a request handler: in the order in which a refusal costs least, and 201 last of all."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, assert_never

from aiohttp import hdrs, web

from pipeline import limits
from pipeline.adapters.producer import Published, Unpublished
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId
from pipeline.domain.participants import Participants
from pipeline.domain.responses import standard_response
from pipeline.domain.signing import Refused, verify
from pipeline.ingress.addresses import called_urls, channel_of
from pipeline.ingress.identity import KEY_HEADER, Caller, Credentials, identify, signature_refusal
from pipeline.ingress.outside import Outside
from pipeline.ingress.reading import Body, BodyBudget
from pipeline.ingress.refusals import Refusal, json_response, printable, refusal_response
from pipeline.ingress.slicing import NoArray, Slicer, TooMuch
from pipeline.ingress.statusmessages import StatusJudge
from pipeline.ingress.submission import Acceptable, Circumstances, Invalid, Judgement, judge, refused_whole
from pipeline.intake import Gate, terms_of

log = logging.getLogger(__name__)

_BUSY: Final = Refusal(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    slug="busy",
    help="As many requests as allowed are being worked on. Try again.",
    retry_after_s=limits.BUSY_RETRY_AFTER_S,
)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that may be worked on: who calls, which channel, and by which URLs it may have been signed."""

    request: web.BaseRequest
    channel: InterfaceId
    caller: Caller
    participants: Participants
    urls: tuple[str, ...]


class Bridge:
    """Answers the wire protocol's POSTs. One object per process; `stopping` turns new requests away."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._slicer = Slicer(outside.settings.array_messages_max)
        self._status_judge = StatusJudge(outside.encoder)
        self._terms = terms_of(outside.settings)
        self._budget = BodyBudget()
        self._working = 0
        # Large bodies are judged beside the loop, so that small ones do not wait behind them.
        self._pool = ThreadPoolExecutor(limits.JUDGING_THREADS, thread_name_prefix="judge")
        self.stopping = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request; whatever happens here, the process lives on."""
        try:
            outcome = await self._serve(request)
        except ConnectionError as error:
            log.info("a client went away in the middle of its request: %s", error)
            outcome = _GONE
        except Exception:
            log.exception("a request failed")
            outcome = _FAILED
        if isinstance(outcome, Refusal):
            log.info("refused with %d %s: %s", outcome.status, outcome.slug, printable(outcome.help))
            response = refusal_response(outcome, accept=request.headers.get(hdrs.ACCEPT, ""))
        else:
            response = outcome
        response.headers[hdrs.SERVER] = "Open DIP"  # not the versions beneath
        unread = not request.content.is_eof()
        if unread:
            request.protocol.close()  # the rest of the body is swallowed for a moment, not parsed
        if unread or self.stopping:
            response.force_close()
        return response

    def close(self) -> None:
        """Let the judging threads go."""
        self._pool.shutdown(wait=True)

    async def _serve(self, request: web.BaseRequest) -> web.Response | Refusal:
        if self.stopping:
            return _STOPPING
        channel = channel_of(request.method, request.raw_path, self._outside.catalogue)
        if isinstance(channel, Refusal):
            return channel
        participants, trust = self._outside.participants.current(), self._outside.trust.current()
        caller = identify(
            Credentials(key=request.headers.get(KEY_HEADER), certificate=trust.source.find(request)),
            participants,
            now=self._outside.clock.now(),
            by=trust.identified_by,
            policy=trust.clients,
        )
        if isinstance(caller, Refusal):
            return caller
        refusal = _check_media(request)
        if refusal is not None:
            return refusal
        call = Call(
            request=request,
            channel=channel,
            caller=caller,
            participants=participants,
            urls=called_urls(request, self._outside.settings),
        )
        bytes_max = self._outside.settings.body_bytes_max
        with Body(request, self._budget, caller.name, bytes_max=bytes_max) as body:
            content = await body.read()
            return content if isinstance(content, Refusal) else await self._work(call, content)

    async def _work(self, call: Call, content: bytes) -> web.Response | Refusal:
        """Judge and publish, for as many requests at a time as allowed."""
        if self._working >= self._outside.settings.requests_in_flight_max:
            return _BUSY
        self._working += 1
        try:
            if len(content) > limits.JUDGED_INLINE_BYTES_MAX:
                loop = asyncio.get_running_loop()
                judgement = await loop.run_in_executor(self._pool, self._judge, call, content)
            else:
                judgement = self._judge(call, content)
            return await self._conclude(judgement)
        finally:
            self._working -= 1

    def _judge(self, call: Call, content: bytes) -> Judgement:
        """Do all that needs no waiting: signature first, on the raw bytes, then the array and its messages."""
        outside, now = self._outside, self._outside.clock.now()
        verified = verify(
            call.request.method,
            call.urls,
            call.request.headers,
            content,
            allowed=call.caller.may_sign(call.participants),
            policy=outside.trust.current().signing,
            now=now,
        )
        if isinstance(verified, Refused):
            return signature_refusal(verified, call.participants, now=now)
        identity = call.caller.identity(verified.fingerprint, call.participants)
        sliced = self._slicer(content)
        if isinstance(sliced, NoArray):
            return refused_whole(sliced.reason, now)
        if isinstance(sliced, TooMuch):
            return Refusal(
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, slug="array-too-large", help=sliced.reason
            )
        if call.channel == STATUS_CHANNEL:
            return self._status_judge(sliced, identity=identity, participants=call.participants, now=now)
        gate = Gate(participants=call.participants, terms=self._terms)
        about = Circumstances(channel=call.channel, identity=identity, gate=gate, now=now)
        return judge(sliced, about, catalogue=outside.catalogue, encoder=outside.encoder)

    async def _conclude(self, judgement: Judgement) -> web.Response | Refusal:
        match judgement:
            case Refusal():
                return judgement
            case Invalid(answers=answers):
                first = printable(f"{answers[0].message}; {answers[0].help}")
                log.info("refused with 400, %d messages, first: %s", len(answers), first)
                response = standard_response(answers, self._outside.clock.now())
                return json_response(HTTPStatus.BAD_REQUEST, response)
            case Acceptable():
                return await self._publish(judgement)
            case _:
                assert_never(judgement)

    async def _publish(self, judgement: Acceptable) -> web.Response | Refusal:
        """Say 201 only when every record is on the in-sync replicas.

        After a 503 some messages of the array may be durable all the same, and will be delivered. The sender's
        retry is harmless: same reference and same body are the same message, with the same transaction id.
        """
        outcome = await self._outside.publisher.publish(judgement.records)
        match outcome:
            case Published():
                response = standard_response(judgement.answers, self._outside.clock.now())
                return json_response(HTTPStatus.CREATED, response)
            case Unpublished(reason=reason):
                log.warning("not durable, answered 503: %s", reason)
                return Refusal(
                    status=HTTPStatus.SERVICE_UNAVAILABLE,
                    slug="not-durable",
                    help="The messages could not be stored safely. Send the same array again.",
                    retry_after_s=limits.UNAVAILABLE_RETRY_AFTER_S,
                )
            case _:
                assert_never(outcome)


def _check_media(request: web.BaseRequest) -> Refusal | None:
    """Refuse what is not JSON, is compressed, or wants something else back."""
    return (
        _unless(_is_json(request), HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-json", "Send application/json.")
        or _unless(
            request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() == "identity",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "encoded",
            "Send the body without Content-Encoding: the signature is over the bytes as sent.",
        )
        or _unless(
            _takes_json(request.headers.get(hdrs.ACCEPT, "*/*")),
            HTTPStatus.NOT_ACCEPTABLE,
            "no-json-accepted",
            "Answers are application/json: name it in Accept, or leave the header out.",
        )
    )


def _unless(fine: bool, status: HTTPStatus, slug: str, text: str) -> Refusal | None:  # noqa: FBT001  # reads as a sentence
    return None if fine else Refusal(status=status, slug=slug, help=text)


def _is_json(request: web.BaseRequest) -> bool:
    """Tell whether a body is declared as JSON; one without a declaration is taken at its word."""
    if hdrs.CONTENT_TYPE not in request.headers:
        return True
    return request.content_type == "application/json" or request.content_type.endswith("+json")


def _takes_json(accept: str) -> bool:
    ranges = {part.split(";", 1)[0].strip().lower() for part in accept.split(",")}
    return bool(ranges & {"*/*", "application/*", "application/json"})
