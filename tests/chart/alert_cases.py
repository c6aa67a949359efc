"""For every alert: series on which it must fire, and series of an ordinary day that come close and must not make it fire.

Values are in promtool's notation (`a+bxn` is a, a+b, ... n times more), one a minute. `at` is when the answer is due.
"""

from dataclasses import dataclass
from typing import Final

Series = dict[str, str]
DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Case:
    """One alert, both ways."""

    alert: str
    fires: Series
    silent: Series
    at: str = "30m"


def _ages(slow: int) -> Series:
    """Return a histogram of ages by minute: `slow` of ten are older than 3 s, and one in twenty of the rest."""
    return {
        f'dip_delivery_age_seconds_bucket{{recipient="R1",way="direct",le="{le}"}}': f"0+{count}x40"
        for le, count in (
            ("1.0", 100 - 10 * slow - 5),
            ("3.0", 100 - 10 * slow),
            ("10.0", 100),
            ("+Inf", 100),
        )
    } | {'dip_delivery_age_seconds_count{recipient="R1",way="direct"}': "0+100x40"}


CASES: Final = (
    Case("DipDown", {"up": "1x40"}, {'dip_ready{pod="a"}': "0x40"}),
    Case(
        "DipPartMissing",
        {'dip_info{process="bridge",pod="a"}': "1x40", 'dip_info{process="router",pod="b"}': "1x40"},
        {'dip_info{process="bridge",pod="a"}': "1x40", 'dip_info{process="router",pod="b"}': "1x40",
         'dip_info{process="delivery",pod="c"}': "1x40"},
    ),
    Case("DipNotReady", {'dip_ready{pod="a"}': "0x40"}, {'dip_ready{pod="a"}': "1x20 0x8 1x20"}),
    Case(
        "DipLagGrowing",
        {'dip_consumer_lag_records{topic="t",partition="0"}': "0+200x40"},
        {'dip_consumer_lag_records{topic="t",partition="0"}': "9000-200x40"},
    ),
    Case(
        "DipNoCommit",
        {'dip_last_commit_age_seconds{instance="i",pod="a"}': "0+60x40",
         'dip_consumer_lag_records{instance="i",topic="t",partition="0"}': "5x40"},
        {'dip_last_commit_age_seconds{instance="i",pod="a"}': "0+60x40",
         'dip_consumer_lag_records{instance="i",topic="t",partition="0"}': "0x40"},
    ),
    Case("DipBrokerSilent", {'dip_broker_age_seconds{pod="a"}': "0+60x40"}, {'dip_broker_age_seconds{pod="a"}': "5 59 8 45 7x40"}),
    # A series at minute m has the timestamp 60 m; an hour behind, and 29 seconds ahead.
    Case("DipClockOff", {'dip_clock_timestamp_seconds{pod="a"}': "-3600+60x40"}, {'dip_clock_timestamp_seconds{pod="a"}': "29+60x40"}),
    Case(
        "DipAuditLag",
        {'dip_consumer_lag_records{topic="dip.audit",partition="0"}': "60000x40"},
        {'dip_consumer_lag_records{topic="dip.inbound",partition="0"}': "60000x40",
         'dip_consumer_lag_records{topic="dip.audit",partition="0"}': "40000x40"},
    ),
    Case(
        "DipArchiveFailing",
        {"dip_archive_failing_seconds": "0+60x40", "dip_archive_oldest_seconds": "600x40"},
        {"dip_archive_failing_seconds": "0x40", "dip_archive_oldest_seconds": "3500x40"},
    ),
    Case("DipArchiveGap", {"dip_archive_lost_partitions": "0x20 1x20"}, {"dip_archive_lost_partitions": "0x40"}),
    Case("DipDeliverySlow", _ages(2), _ages(0)),
    Case(
        "DipCopyStuck", {'dip_unsettled_oldest_seconds{pod="a"}': "0+60x40"}, {'dip_unsettled_oldest_seconds{pod="a"}': "29x40"}
    ),
    Case(
        "DipStepFailed",
        {'dip_dead_letters_total{topic="t",code="exception"}': "0x25 1x15"},
        {'dip_dead_letters_total{topic="t",code="exception"}': "3x40", 'dip_dead_letters_total{topic="t",code="MSG1037"}': "0+1x40"},
    ),
    Case(
        "DipDeadLetters",
        {'dip_dead_letters_total{topic="t",code="MSG1037"}': "0+30x40"},
        {'dip_dead_letters_total{topic="t",code="MSG1037"}': "0+5x40"},
    ),
    Case(
        "DipOurErrors",
        {'dip_attempts_total{outcome="retry",error_class="ours"}': "0x25 1x15"},
        {'dip_attempts_total{outcome="retry",error_class="timeout"}': "0+9x40"},
    ),
    Case(
        "DipNotDurable",
        {'dip_bridge_refusals_total{reason="not-durable"}': "0x27 2x13"},
        {'dip_bridge_refusals_total{reason="no-such-path"}': "0+3x40"},
    ),
    Case(
        "DipBridgeFailing", {'dip_bridge_answers_total{status="500"}': "0x25 1x15"}, {'dip_bridge_answers_total{status="201"}': "0+9x40"}
    ),
    Case(
        "DipBridgeBusy",
        {'dip_bridge_answers_total{status="503"}': "0+5x40", 'dip_bridge_answers_total{status="201"}': "0+95x40"},
        {'dip_bridge_answers_total{status="503"}': "0+1x40", 'dip_bridge_answers_total{status="201"}': "0+999x40"},
    ),
    Case(
        "DipParticipantThrottled",
        {'dip_bridge_participant_requests_total{participant="P",status="429"}': "0+60x40"},
        {'dip_bridge_participant_requests_total{participant="P",status="429"}': "0+60x5 300x35",
         'dip_bridge_participant_requests_total{participant="P",status="201"}': "0+600x40"},
    ),
    Case("DipNotAlive", {'dip_alive{pod="a"}': "0x40"}, {'dip_alive{pod="a"}': "1x28 0 1x11"}),
    Case(
        "DipRestoreLong",
        {'dip_restore_remaining_records{pod="a",table="seen"}': "900000-100x40"},
        {'dip_restore_remaining_records{pod="a",table="seen"}': "900000-90000x10 0x30"},
    ),
    Case("DipRebalancing", {'dip_rebalances_total{pod="a"}': "0+2x40"}, {'dip_rebalances_total{pod="a"}': "0x20 8x20"}),
    Case("DipResets", {'dip_resets_total{pod="a"}': "0+1x40"}, {'dip_resets_total{pod="a"}': "0x25 2x15"}),
    Case(
        "DipLaneParked",
        {'dip_lane_oldest_parked_seconds{recipient="R",channel="IF-021"}': "2400+60x80"},
        {'dip_lane_oldest_parked_seconds{recipient="R",channel="IF-021"}': "0+60x80"},
    ),
    Case(
        "DipCertificateEnds",
        {'dip_certificate_end_timestamp_seconds{setting="s"}': f"{59 * DAY}x200"},
        {'dip_certificate_end_timestamp_seconds{setting="s"}': f"{61 * DAY}x200"},
        "2h",
    ),
    Case(
        "DipCertificateEndsSoon",
        {'dip_certificate_end_timestamp_seconds{setting="s"}': f"{29 * DAY}x200"},
        {'dip_certificate_end_timestamp_seconds{setting="s"}': f"{31 * DAY}x200"},
        "2h",
    ),
    Case(
        "DipCertificateEndsNow",
        {'dip_certificate_end_timestamp_seconds{setting="s"}': f"{6 * DAY}x40"},
        {'dip_certificate_end_timestamp_seconds{setting="s"}': f"{8 * DAY}x40"},
    ),
)  # fmt: skip
