"""The Grafana dashboards as a table of panels: title, unit, and queries with their legends."""

from collections.abc import Sequence
from typing import Any, Final

Query = tuple[str, str]
Panel = tuple[str, str, Sequence[Query]]

_RATE: Final = "$__rate_interval"

_OVERVIEW: Final[Sequence[Panel]] = (
    ("Accepted and refused in the POST", "cps", (
        (f"sum(rate(dip_bridge_accepted_total[{_RATE}]))", "accepted"),
        (f"sum(rate(dip_bridge_rejected_total[{_RATE}]))", "refused"),
    )),
    ("Through the stages", "cps", (
        (f'sum by (topic) (rate(dip_records_written_total{{topic=~"dip.validated|dip.outbound|dip.status"}}[{_RATE}]))', "{{topic}}"),
        (f'sum(rate(dip_copies_total{{result="Delivered"}}[{_RATE}]))', "delivered"),
    )),
    ("Age at delivery, recipients that are well", "s", (
        (f'histogram_quantile(0.5, sum by (le) (rate(dip_delivery_age_seconds_bucket{{way="direct"}}[{_RATE}])))', "p50"),
        (f'histogram_quantile(0.9, sum by (le) (rate(dip_delivery_age_seconds_bucket{{way="direct"}}[{_RATE}])))', "p90"),
        (f'histogram_quantile(0.99, sum by (le) (rate(dip_delivery_age_seconds_bucket{{way="direct"}}[{_RATE}])))', "p99"),
    )),
    ("Age of the oldest copy that is neither settled nor parked", "s", (("max(dip_unsettled_oldest_seconds)", "oldest"),)),
    ("The ledger of copies: written, settled, held", "none", (
        ('sum(dip_records_written_total{topic=~"dip.outbound|dip.status"})', "written"),
        ("sum(dip_copies_total)", "settled"),
        ("sum(dip_copies_parked)", "parked"),
        ("sum(dip_copies_unsettled)", "unsettled"),
    )),
    ("Dead letters", "cps", ((f"sum by (topic, code) (rate(dip_dead_letters_total[{_RATE}]))", "{{topic}} {{code}}"),)),
    ("Lag", "none", (("sum by (topic) (dip_consumer_lag_records)", "{{topic}}"),)),
    ("Ready", "none", (("sum by (job) (dip_ready)", "{{job}}"),)),
)  # fmt: skip

_LANES: Final[Sequence[Panel]] = (
    ("Lanes by standing", "none", (("sum by (standing) (dip_lanes)", "{{standing}}"),)),
    ("Parked copies", "none", (
        ("sum(dip_copies_parked)", "in all"),
        ("topk(10, sum by (recipient, channel) (dip_lane_parked))", "{{recipient}} {{channel}}"),
    )),
    ("Oldest parked copy", "s", (
        ("topk(10, max by (recipient, channel) (dip_lane_oldest_parked_seconds))", "{{recipient}} {{channel}}"),
    )),
    ("Failures in a row", "none", (
        ("topk(10, max by (recipient, channel) (dip_lane_failures))", "{{recipient}} {{channel}}"),
    )),
    ("Calls and what they may be", "none", (
        ("topk(10, sum by (recipient, channel) (dip_lane_in_flight))", "{{recipient}} {{channel}} calls"),
        ("topk(10, sum by (recipient, channel) (dip_lane_in_flight_limit))", "{{recipient}} {{channel}} limit"),
    )),
    ("Attempts by outcome", "cps", (
        (f"sum by (outcome, error_class) (rate(dip_attempts_total[{_RATE}]))", "{{outcome}} {{error_class}}"),
    )),
    ("Time of a call", "s", (
        (f"histogram_quantile(0.9, sum by (le) (rate(dip_attempt_seconds_bucket[{_RATE}])))", "p90"),
    )),
    ("Calls under way", "none", (("sum by (lanes) (dip_posts_in_flight)", "{{lanes}}"),)),
    ("Age at delivery by recipient, holds included", "s", (
        (f"histogram_quantile(0.9, sum by (le, recipient) (rate(dip_delivery_age_seconds_bucket[{_RATE}])))", "{{recipient}}"),
    )),
    ("Copies in memory, parked anew", "none", (
        ("sum(dip_copies_in_memory)", "in memory"),
        (f"sum(rate(dip_copies_parked_total[{_RATE}]))", "parked a second"),
    )),
)  # fmt: skip

_ADDRESSING: Final[Sequence[Panel]] = (
    ("Messages that reach addressing", "cps", (
        (f'sum(rate(dip_records_read_total{{topic="dip.validated"}}[{_RATE}]))', "messages"),
        (f'sum(rate(dip_records_read_total{{topic="dip.registration"}}[{_RATE}]))', "loaded appointments"),
    )),
    ("Copies of a message", "none", (
        ((f'sum(rate(dip_records_written_total{{topic="dip.outbound"}}[{_RATE}]))'
          f' / sum(rate(dip_records_read_total{{topic="dip.validated"}}[{_RATE}]))'), "copies"),
    )),
    ("Nobody to address: MPAN unknown (MSG1037), nobody held it (MSG1038), and other codes", "cps", (
        (f'sum by (code) (rate(dip_dead_letters_total{{topic="dip.dead-letter.addressing"}}[{_RATE}]))', "{{code}}"),
    )),
    ("Refused before addressing", "cps", (
        (f'sum by (code) (rate(dip_dead_letters_total{{topic="dip.dead-letter.validation"}}[{_RATE}]))', "{{code}}"),
    )),
    ("Time from acceptance to fan-out", "s", (
        (f"histogram_quantile(0.5, sum by (le) (rate(dip_routing_age_seconds_bucket[{_RATE}])))", "p50"),
        (f"histogram_quantile(0.9, sum by (le) (rate(dip_routing_age_seconds_bucket[{_RATE}])))", "p90"),
        (f"histogram_quantile(0.99, sum by (le) (rate(dip_routing_age_seconds_bucket[{_RATE}])))", "p99"),
    )),
    ("Lag before addressing, and of appointments to load", "none", (
        ('sum by (topic) (dip_consumer_lag_records{topic=~"dip.inbound|dip.validated|dip.registration"})', "{{topic}}"),
    )),
    ("Senders told of it", "cps", (
        (f'sum(rate(dip_records_written_total{{topic="dip.status"}}[{_RATE}]))', "status messages"),
    )),
    ("Tables of the router", "bytes", (
        ('sum by (table) (dip_store_bytes{table=~"appointments|quarantine|seen"})', "{{table}}"),
    )),
)  # fmt: skip

_BRIDGE: Final[Sequence[Panel]] = (
    ("Answers", "reqps", ((f"sum by (status) (rate(dip_bridge_answers_total[{_RATE}]))", "{{status}}"),)),
    ("Refusals", "reqps", ((f"sum by (reason) (rate(dip_bridge_refusals_total[{_RATE}]))", "{{reason}}"),)),
    ("Codes of refused messages", "cps", ((f"sum by (code) (rate(dip_bridge_rejected_total[{_RATE}]))", "{{code}}"),)),
    ("Time to the answer", "s", (
        (f"histogram_quantile(0.5, sum by (le) (rate(dip_bridge_request_seconds_bucket[{_RATE}])))", "p50"),
        (f"histogram_quantile(0.99, sum by (le) (rate(dip_bridge_request_seconds_bucket[{_RATE}])))", "p99"),
    )),
    ("Requests by participant", "reqps", (
        (f"topk(10, sum by (participant) (rate(dip_bridge_participant_requests_total[{_RATE}])))", "{{participant}}"),
    )),
    ("429 and 503 by participant", "reqps", (
        (f'sum by (participant, status) (rate(dip_bridge_participant_requests_total{{status=~"429|503"}}[{_RATE}]))',
         "{{participant}} {{status}}"),
    )),
    ("Bytes by participant", "Bps", (
        (f"topk(10, sum by (participant) (rate(dip_bridge_participant_bytes_total[{_RATE}])))", "{{participant}}"),
    )),
    ("Open, waiting, connections", "none", (
        ("sum(dip_bridge_requests_open)", "open"),
        ("sum(dip_bridge_requests_waiting)", "waiting"),
        ("sum(dip_bridge_connections)", "connections"),
    )),
    ("Broken and closed connections", "cps", (
        (f"sum by (reason) (rate(dip_bridge_broken_total[{_RATE}]))", "broken: {{reason}}"),
        (f"sum by (reason) (rate(dip_bridge_connections_closed_total[{_RATE}]))", "closed: {{reason}}"),
    )),
    ("Days left of our certificates", "d", (
        ("min by (setting) (dip_certificate_end_timestamp_seconds - time()) / 86400", "{{setting}}"),
    )),
)  # fmt: skip

_STORES: Final[Sequence[Panel]] = (
    ("Records read", "cps", ((f"sum by (topic) (rate(dip_records_read_total[{_RATE}]))", "{{topic}}"),)),
    ("Rounds", "cps", ((f"sum by (pod) (rate(dip_rounds_total[{_RATE}]))", "{{pod}}"),)),
    ("Time of a commit", "s", (
        (f"histogram_quantile(0.99, sum by (le) (rate(dip_round_commit_seconds_bucket[{_RATE}])))", "p99"),
    )),
    ("Since the last commit, fetch, broker's answer", "s", (
        ("max(dip_last_commit_age_seconds)", "commit"),
        ("max(dip_poll_age_seconds)", "fetch"),
        ("max(dip_broker_age_seconds)", "broker"),
    )),
    ("Records to restore", "none", (("sum by (table) (dip_restore_remaining_records)", "{{table}}"),)),
    ("Size of tables", "bytes", (("sum by (table) (dip_store_bytes)", "{{table}}"),)),
    ("Partitions held", "none", (("sum by (pod) (dip_partitions_claimed)", "{{pod}}"),)),
    ("Resets and rebalances", "cps", (
        (f"sum(rate(dip_resets_total[{_RATE}]))", "resets"),
        (f"sum(rate(dip_rebalances_total[{_RATE}]))", "rebalances"),
        (f"sum(rate(dip_batches_isolated_total[{_RATE}]))", "batches isolated"),
    )),
    ("The archive", "none", (
        (f"rate(dip_archive_records_total[{_RATE}])", "records a second"),
        (f"rate(dip_archive_segments_total[{_RATE}])", "segments a second"),
        ("dip_archive_lag_records", "behind"),
        ("dip_archive_lost_partitions", "partitions with gaps"),
    )),
    ("Age of the oldest record not archived; since when it fails", "s", (
        ("dip_archive_oldest_seconds", "oldest"),
        ("dip_archive_failing_seconds", "failing"),
    )),
    ("The journal: replays of consumption that wait, records that cannot be read", "none", (
        ("sum(dip_journal_orders)", "replays of consumption"),
        (f"sum(increase(dip_journal_unreadable_total[{_RATE}])) by (topic)", "unreadable, {{topic}}"),
    )),
    ("Clocks: how far each is from Prometheus", "s", (
        ("abs(dip_clock_timestamp_seconds - timestamp(dip_clock_timestamp_seconds))", "{{pod}}"),
    )),
    ("Alive, and what runs", "none", (
        ("sum(dip_alive)", "workers alive"),
        ("sum by (version, process) (dip_info)", "{{process}} {{version}}"),
    )),
    ("Time from acceptance to fan-out", "s", (
        (f"histogram_quantile(0.9, sum by (le) (rate(dip_routing_age_seconds_bucket[{_RATE}])))", "p90"),
    )),
)  # fmt: skip


def dashboards() -> dict[str, dict[str, Any]]:
    """Return the dashboards by name."""
    pages = {
        "overview": _OVERVIEW,
        "lanes": _LANES,
        "addressing": _ADDRESSING,
        "bridge": _BRIDGE,
        "stores": _STORES,
    }
    return {name: _page(name, panels) for name, panels in pages.items()}


def _page(name: str, panels: Sequence[Panel]) -> dict[str, Any]:
    return {
        "uid": f"open-dip-{name}",
        "title": f"Open DIP: {name}",
        "tags": ["open-dip"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    title, unit, queries = panel
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "title": title,
        "type": "timeseries",
        "datasource": source,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(queries)
        ],
    }
