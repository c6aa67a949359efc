"""Who answers each call of the route table."""

from pipeline.adapters.callable_network import policy_of
from pipeline.domain.identifiers import Role
from pipeline.ingress.calls import Handler
from pipeline.ingress.companies import AddCompany, ReadCompanies
from pipeline.ingress.delivery_status import DeliveryStatus
from pipeline.ingress.explaining import ExplainRouting
from pipeline.ingress.mailbox import ChooseDelivery, acknowledge, peek, read_lane
from pipeline.ingress.outside import Outside
from pipeline.ingress.replaying import Replay, requeue, requeue_status
from pipeline.ingress.routes import Operation
from pipeline.ingress.slicing import Slicer
from pipeline.ingress.submitting import SubmitMessages, SubmitStatusMessages
from pipeline.ingress.validating import ValidateMessages
from pipeline.ingress.webhooks import ConfigureWebhook, DeleteWebhook
from pipeline.intake import terms_of


def operations(outside: Outside) -> dict[Operation, Handler]:
    """Return a handler for every operation. Raises SettingsInvalid for settings that cannot be read."""
    settings, encoder, catalogue = outside.settings, outside.encoder, outside.catalogue
    slicer = Slicer(settings.array_messages_max)
    known_roles = frozenset().union(
        *(one.sender_roles | one.receiver_roles for one in catalogue.channels.values())
    )
    configure = ConfigureWebhook(encoder=encoder, policy=policy_of(settings))
    delete = DeleteWebhook(encoder=encoder)
    replay = Replay(settings.shared_secret())
    choose = ChooseDelivery(encoder=encoder)
    return {
        Operation.SUBMIT: SubmitMessages(
            slicer=slicer, catalogue=catalogue, encoder=encoder, terms=terms_of(settings)
        ),
        Operation.SUBMIT_STATUS: SubmitStatusMessages(
            slicer=slicer,
            encoder=encoder,
            channels=catalogue.channels if settings.status_sender_checked else None,
        ),
        Operation.CONFIGURE_WEBHOOK: configure,
        Operation.CONFIGURE_STATUS_WEBHOOK: configure,
        Operation.DELETE_WEBHOOK: delete,
        Operation.DELETE_STATUS_WEBHOOK: delete,
        Operation.VALIDATE: ValidateMessages(slicer=slicer, catalogue=catalogue),
        Operation.READ_COMPANIES: ReadCompanies(_roles(settings.company_readers)),
        Operation.ADD_COMPANY: AddCompany(
            writers=_roles(settings.company_writers), roles=known_roles, encoder=encoder
        ),
        Operation.EXPLAIN: ExplainRouting(catalogue),
        Operation.REPLAY: replay,
        Operation.REQUEUE: requeue,
        Operation.REQUEUE_STATUS: requeue_status,
        Operation.DELIVERY_STATUS: DeliveryStatus(encoder),
        Operation.REPLAY_STATUS: replay,
        Operation.REQUEUE_STATUS_MESSAGES: requeue,
        Operation.STATUS_REQUEUE_STATUS: requeue_status,
        Operation.LANE: read_lane,
        Operation.STATUS_LANE: read_lane,
        Operation.PEEK: peek,
        Operation.PEEK_STATUS: peek,
        Operation.ACKNOWLEDGE: acknowledge,
        Operation.ACKNOWLEDGE_STATUS: acknowledge,
        Operation.CHOOSE_DELIVERY: choose,
        Operation.CHOOSE_STATUS_DELIVERY: choose,
    }


def _roles(text: str) -> frozenset[Role]:
    return frozenset(Role(one.strip().upper()) for one in text.split(",") if one.strip())
