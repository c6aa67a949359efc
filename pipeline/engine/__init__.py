"""Faust's API on transactional Kafka: exactly once inside, progress by rounds or by windows.

Stages use what is named here; nothing in a stage's rule needs any of it.
"""

from pipeline.engine.app import App
from pipeline.engine.batch import Batch
from pipeline.engine.errors import (
    AgentEnded,
    BrokerAbsent,
    EmitRefused,
    NoProgress,
    NotInBatch,
    NotSettled,
    Revoked,
    TopicsUnfit,
    Uncertain,
    Unsupported,
    WorkerStopped,
)
from pipeline.engine.tables import Table, changelog_topic
from pipeline.engine.values import (
    Claim,
    EngineSettings,
    Headers,
    Health,
    Output,
    Record,
    Settlement,
    ShardHealth,
    Ticket,
    WindowState,
    Write,
)

__all__ = [
    "AgentEnded",
    "App",
    "Batch",
    "BrokerAbsent",
    "Claim",
    "EmitRefused",
    "EngineSettings",
    "Headers",
    "Health",
    "NoProgress",
    "NotInBatch",
    "NotSettled",
    "Output",
    "Record",
    "Revoked",
    "Settlement",
    "ShardHealth",
    "Table",
    "Ticket",
    "TopicsUnfit",
    "Uncertain",
    "Unsupported",
    "WindowState",
    "WorkerStopped",
    "Write",
    "changelog_topic",
]
