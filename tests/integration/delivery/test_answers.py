"""What recipients answer (L3) and how it reaches the senders: both workers, a real broker, real webhooks."""

import orjson
import pytest
from aiohttp import web

from pipeline import topics
from pipeline.domain.envelope import Copy, Stage, Status
from pipeline.domain.identifiers import STATUS_CHANNEL, ParticipantId
from pipeline.domain.participants import Participant, Webhook
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import Handler, WebhookServer, body_of, partly, refusing, transaction_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

SENDER = "2200000001"  # of every copy of the rig


def finding(bad: str, text: str) -> Handler:
    """Take everything with 201, find fault with one message, and speak of one that never came."""

    async def handler(
        server: WebhookServer, request: web.Request, who: str, messages: list[dict]
    ) -> web.Response:
        server.took(who, request, messages)
        bodies = [
            body_of(one, "RCP1022 - Value not allowed" if transaction_of(one) == bad else "RCP0000 - Taken")
            | {"help": text if transaction_of(one) == bad else None}
            for one in messages
        ]
        stranger = body_of({"transactionID": "T-never-sent"}, "RCP1061 - MPAN unknown")
        return web.Response(
            status=201, body=orjson.dumps({"messageArray": [*bodies, stranger], "timestamp": "x" * 25})
        )

    return handler


def register_sender(rig: Rig, server: WebhookServer) -> None:
    one = Participant(
        id=ParticipantId(SENDER),
        name="sender",
        webhooks=(Webhook(channel=STATUS_CHANNEL, url=server.url(SENDER)),),
    )
    rig._producer.produce(topics.PARTICIPANTS, rig.codec.encode_participant(one), SENDER.encode())
    rig.flush()


def told(server: WebhookServer, copies: list[Copy]) -> dict[str, dict]:
    """Return the status messages that the sender's webhook got about these copies, by transaction."""
    mine = {copy.transaction_id for copy in copies}
    bodies = [one for who, _, content in server.requests if who == SENDER for one in orjson.loads(content)]
    return {one["transactionID"]: one for one in bodies if one["transactionID"] in mine}


def test_what_recipients_say_of_a_message_reaches_its_sender(rig: Rig, server: WebhookServer) -> None:
    """One word for each message with something wrong, in the recipient's own words, and none for the others."""
    taking, dividing, refusing_all = rig.names(3)
    rig.register(taking, dividing, refusing_all)
    register_sender(rig, server)
    copies = rig.send((taking, dividing, refusing_all), 20)
    of = {copy.recipient: copy.transaction_id for copy in copies[30:33]}
    server.behaviour.update({
        taking: finding(of[taking], "é" * 600),
        dividing: partly(of[dividing]),
        refusing_all: refusing(of[refusing_all]),
    })  # fmt: skip
    rig.start()
    rig.start("router")
    rig.wait_for(lambda: len(told(server, copies)) == 3, "three words have come")
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled")
    rig.wait_for(
        lambda: sum(len(server.taken(one)) for one in (taking, dividing, refusing_all)) == 58,
        "everything else is delivered",
    )
    found = told(server, copies)
    assert {one: found[of[one]]["message"] for one in of} == {
        taking: "RCP1022 - Value not allowed",
        dividing: "RCP1061 - MPAN unknown",
        refusing_all: "RCP1021 - Mandatory item absent",
    }
    assert found[of[taking]]["help"] == "é" * 500
    for recipient, transaction in of.items():
        body = found[transaction]
        assert (body["senderID"], body["recipientID"]) == (recipient, SENDER)
        assert len(body) == 10
        assert server.ids(SENDER, transaction) == {f"{transaction}>{recipient}!status"}
    journal = {(one.code, one.status) for one in rig.audits() if one.stage is Stage.OUTBOUND}
    assert {status for code, status in journal if code == "RCP1022"} == {Status.DELIVERED}
    assert {status for code, status in journal if code == "RCP1061"} == {Status.REJECTED_BY_RECIPIENT}
    # Arrays with the bad one were refused and sent in parts, until it was alone.
    assert ("RCP1021", Status.REJECTED_BY_RECIPIENT) in journal
    assert any("name no message of the array" in (one.reason or "") for one in rig.audits())
    rig.check_ledger()
