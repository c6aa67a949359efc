"""WebhookConfig: participants say themselves where the copies of a channel go (protocol.md 8, docs/adr/0100)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pipeline import topics
from pipeline.adapters.participants import choice_key
from pipeline.adapters.producer import Outgoing
from pipeline.catalogue.casing import find_name
from pipeline.catalogue.explanation import shown
from pipeline.catalogue.json_text import Unreadable
from pipeline.domain.callable_addresses import AddressPolicy, Forbidden, target_of
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.domain.market import WebhookChoice
from pipeline.domain.participants import Webhook
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.ingress.activity import done
from pipeline.ingress.bodies import fitted
from pipeline.ingress.calls import Call, Outcome, Recorded
from pipeline.ingress.outside import Encoder
from pipeline.ingress.ownership import foreign
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.slicing import read_message_text
from pipeline.intake import unreadable
from pipeline.limits import WEBHOOK_MESSAGES_MAX, WEBHOOK_PAYLOAD_KB_MAX

_BLOCK: Final = "api:WebhookConfig"


class ConfigureWebhook:
    """`POST .../pubconfig/{recipient-id}` and `POST /statusmessage/config/{recipient-id}`.

    201 says that the webhook is durable; bridges and delivery workers go by it within a second.
    """

    def __init__(self, *, encoder: Encoder, policy: AddressPolicy) -> None:
        self._encoder = encoder
        self._policy = policy

    def __call__(self, call: Call) -> Outcome:
        """Store a webhook. Without callbackURL the present one is kept, with the limits that are given."""
        refusal = foreign(call)
        if refusal is not None:
            return refusal
        present = call.participants[_recipient(call)].webhook(_channel(call))
        found = self._read(call.content, _channel(call), present)
        if isinstance(found, Webhook):
            return _recorded(call, found, self._encoder, HTTPStatus.CREATED)
        first = found[0]
        where = f"{first.pointer}: " if first.pointer else ""
        return Refusal(
            status=HTTPStatus.BAD_REQUEST,
            slug="webhook-invalid",
            help=f"{where}{first.help}",
            problems=found,
        )

    def _read(
        self, content: bytes, channel: InterfaceId, present: Webhook | None
    ) -> Webhook | tuple[Rejection, ...]:
        text = read_message_text(content)
        if isinstance(text, Unreadable):
            return (unreadable(text),)
        value, place = _unwrapped(text.value)
        named = fitted(value, _BLOCK)
        if isinstance(named, tuple):
            return named
        url = named.get("callbackURL") or (present.url if present else None)
        problems = [
            *self._url_problems(url, f"{place}/callbackURL"),
            *_limit_problems(named, "maxMessageCount", WEBHOOK_MESSAGES_MAX, place, whole=True),
            *_limit_problems(named, "maxPayloadSize", WEBHOOK_PAYLOAD_KB_MAX, place, whole=False),
        ]
        if problems or url is None:
            return tuple(problems)
        count, size = named.get("maxMessageCount"), named.get("maxPayloadSize")
        return Webhook(
            channel=channel,
            url=url,
            messages_max=None if count is None else int(count),
            payload_kb_max=None if size is None else float(size),
        )

    def _url_problems(self, url: str | None, pointer: str) -> tuple[Rejection, ...]:
        if url is None:
            return (_wrong(pointer, None, "missing: there is no webhook yet whose URL could be kept"),)
        target = target_of(url, self._policy)
        return (_wrong(pointer, shown(url), target.help),) if isinstance(target, Forbidden) else ()


class DeleteWebhook:
    """`DELETE` of the two. Copies that are on their way to the former address arrive or wait; none is lost."""

    def __init__(self, *, encoder: Encoder) -> None:
        self._encoder = encoder

    def __call__(self, call: Call) -> Outcome:
        """Store that there is none; a webhook that was never there is taken away all the same."""
        return foreign(call) or _recorded(call, None, self._encoder, HTTPStatus.NO_CONTENT)


def _recipient(call: Call) -> ParticipantId:
    return ParticipantId(call.path["recipient-id"])


def _channel(call: Call) -> InterfaceId:
    return InterfaceId(call.path.get("id", STATUS_CHANNEL))


def _recorded(call: Call, webhook: Webhook | None, encoder: Encoder, status: HTTPStatus) -> Recorded:
    """Store a choice under its own key: nobody else's record is read or written, so nothing can be lost."""
    choice = WebhookChoice(
        participant=_recipient(call),
        channel=_channel(call),
        webhook=webhook,
        by=ParticipantId(call.caller.name),
        at=call.now,
    )
    record = Outgoing(
        topic=topics.PARTICIPANTS, key=choice_key(choice), value=encoder.encode_webhook_choice(choice)
    )
    what = "taken away" if webhook is None else f"set to {webhook.url}"
    noted = done(call, status, f"webhook {what}", encoder, channel=choice.channel, about=choice.participant)
    return Recorded(status=status, records=(record, noted))


def _unwrapped(value: object) -> tuple[object, str]:
    """Find the fields at the top, or below `config` as the published callback expression has them."""
    if isinstance(value, Mapping) and find_name(value, "callbackURL") is None:
        name = find_name(value, "config")
        if name is not None:
            return value[name], f"/{name}"
    return value, ""


def _limit_problems(
    named: Mapping[str, Any], name: str, most: int, place: str, *, whole: bool
) -> tuple[Rejection, ...]:
    value = named.get(name)
    if value is None or (0 < value <= most and (not whole or value == int(value))):
        return ()
    kind = "a whole number" if whole else "a number"
    return (
        _wrong(f"{place}/{name}", shown(value), f"expected {kind} above 0 and at most {most}, or no {name}"),
    )


def _wrong(pointer: str, value: str | None, text: str) -> Rejection:
    return Rejection(
        check=CheckId.SCHEMA,
        code=Code.SCHEMA,
        pointer=pointer,
        value=value,
        expected="an absolute https:// URL of at most 250 characters" if "URL" in pointer else "a number",
        help=text if value is None else f"{value}: {text}",
    )
