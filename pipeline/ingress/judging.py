"""What needs no waiting: signature first, on the bytes as sent, then unpacking, then the operation of the route."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from pipeline.domain.signing import Refused, verify
from pipeline.domain.signing_certificates import CERTIFICATE_HEADER
from pipeline.ingress.addresses import called_urls
from pipeline.ingress.arrival import Arrival
from pipeline.ingress.calls import Call, Outcome
from pipeline.ingress.encodings import unpack
from pipeline.ingress.expiring import Expiring
from pipeline.ingress.identity import Identity, signature_refusal
from pipeline.ingress.operations import operations
from pipeline.ingress.outside import Outside
from pipeline.ingress.reading import Body
from pipeline.ingress.refusals import Refusal

_NO_QUERY: Final[Mapping[str, str]] = MappingProxyType({})


class Judging:
    """Judges bodies, on the loop or in a thread beside it. Raises SettingsInvalid for settings that cannot be read."""

    def __init__(self, outside: Outside, expiring: Expiring) -> None:
        self._outside = outside
        self._expiring = expiring
        self._operations = operations(outside)

    def __call__(self, arrival: Arrival, body: Body, sent: bytes) -> Outcome:
        """Judge a body as it was sent."""
        now, route = self._outside.clock.now(), arrival.match.route
        identity = self._verified(arrival, sent, now) if route.signed else None
        if isinstance(identity, Refusal):
            return identity
        content = _unpacked(arrival, body, sent)
        if isinstance(content, Refusal):
            return content
        call = Call(
            route=route,
            path=arrival.match.path,
            query=_query(arrival.request),
            headers=arrival.request.headers,
            caller=arrival.caller,
            identity=identity,
            participants=arrival.participants,
            content=content,
            now=now,
            tally=arrival.tally,
        )
        return self._operations[route.operation](call)

    def _verified(self, arrival: Arrival, content: bytes, now: datetime) -> Identity | Refusal:
        """Verify the signature over the body as sent."""
        may_sign = arrival.caller.may_sign(arrival.participants)
        verified = verify(
            arrival.request.method,
            called_urls(arrival.request, self._outside.settings),
            arrival.request.headers,
            content,
            allowed=may_sign,
            policy=self._outside.trust.current().signing,
            now=now,
        )
        if isinstance(verified, Refused):
            return signature_refusal(verified, arrival.participants, now=now)
        owners = may_sign[verified.fingerprint]
        self._expiring.signed(arrival.request.headers[CERTIFICATE_HEADER], owners, arrival.participants)
        return arrival.caller.identity(owners)


def _query(request: web.BaseRequest) -> Mapping[str, str]:
    """Return the parameters of a query, by names in any letter case."""
    return CIMultiDict(request.query) if "?" in request.raw_path else _NO_QUERY


def _unpacked(arrival: Arrival, body: Body, sent: bytes) -> bytes | Refusal:
    if arrival.packing is None:
        return sent
    content = unpack(sent, arrival.packing, bytes_max=body.bytes_max, room=body.room)
    if not isinstance(content, Refusal):
        arrival.tally.bytes_unpacked = len(content)
    return content
