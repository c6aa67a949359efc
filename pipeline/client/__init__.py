"""A reference client of the DIP, for participants' developers to use or to copy (docs/CLIENT.md).

It is written from the wire protocol and shares nothing with the router but `pipeline.limits`.
"""

from pipeline.client.deliveries import Delivered, Delivery, Reply
from pipeline.client.errors import SetupWrong
from pipeline.client.identity import Identity, client_tls, server_tls, wire_instant
from pipeline.client.mailbox import Acknowledged, Bundle, Mailbox
from pipeline.client.outcomes import Accepted, Done, PartlyAccepted, Refused, Submission, Unsettled
from pipeline.client.participant import Outcome, Participant
from pipeline.client.receiving import Memory, RecentIds, Take, Webhook, receive
from pipeline.client.records import Company, CompanyRole, JournalRecord, Page, Requeue
from pipeline.client.requests import MessageRequest, StatusMessageRequest, WebhookConfig
from pipeline.client.responses import Body, StandardResponse, array_of, read_response
from pipeline.client.retrying import RetryPolicy
from pipeline.client.serving import handler
from pipeline.client.signing import Credentials, SigningKey
from pipeline.client.transport import Author, Call, Received, Transport
from pipeline.client.verdicts import TAKEN, Rcp, Verdict
from pipeline.client.verification import SignerTrust, complaint

__all__ = [
    "TAKEN",
    "Accepted",
    "Acknowledged",
    "Author",
    "Body",
    "Bundle",
    "Call",
    "Company",
    "CompanyRole",
    "Credentials",
    "Delivered",
    "Delivery",
    "Done",
    "Identity",
    "JournalRecord",
    "Mailbox",
    "Memory",
    "MessageRequest",
    "Outcome",
    "Page",
    "Participant",
    "PartlyAccepted",
    "Rcp",
    "Received",
    "RecentIds",
    "Refused",
    "Reply",
    "Requeue",
    "RetryPolicy",
    "SetupWrong",
    "SignerTrust",
    "SigningKey",
    "StandardResponse",
    "StatusMessageRequest",
    "Submission",
    "Take",
    "Transport",
    "Unsettled",
    "Verdict",
    "Webhook",
    "WebhookConfig",
    "array_of",
    "client_tls",
    "complaint",
    "handler",
    "read_response",
    "receive", "server_tls",
    "wire_instant",
]  # fmt: skip
