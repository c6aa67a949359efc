"""All configuration, read once from the environment and an optional TOML file (`DIP_CONFIG`).

Names: field `bridge_port` is `DIP_BRIDGE_PORT` in the environment and `bridge_port` in the file; the
environment wins. `KAFKA_BOOTSTRAP` and `SCHEMA_REGISTRY_URL` keep their customary names. docs/SETTINGS.md is
made from this class (`dip settings`), and a test holds the two together.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsInvalid
from pipeline.settings_text import hard_to_guess, options_of, read_file, typed, variable
from pipeline.settings_text import setting as _setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured; secrets are masked in repr."""

    # Outside
    kafka_bootstrap: str = _setting(
        "", "Kafka brokers, host:port,...; empty: the local stack finds or starts one"
    )
    kafka_options: str = _setting(
        "", "more librdkafka settings as key=value;key=value (SASL, TLS)", secret=True
    )
    schema_registry_url: str = _setting("", "Confluent-compatible schema registry; empty: as the broker")
    state_dir: str = _setting("var", "where local state, table stores and logs live")
    cache_dir: str = _setting(
        "", "where downloads of the local stack are kept; empty: the user's cache folder"
    )
    maven_mirror: str = _setting(
        "", "Maven repository the local stack's jars come from; empty: the client's default"
    )
    stack_rung: str = _setting(
        "", "only this way to a local broker and registry: container or process; empty: what works"
    )
    start_wait_s: float = _setting(60.0, "how long a process waits for Kafka and the registry at its start")

    # Logs
    log_level: str = _setting("info", "least level of log lines: debug, info, warning or error")
    log_levels: str = _setting("", "other levels of single modules, as pipeline.delivery=debug,faust=warning")
    log_format: str = _setting("text", "text, or json: an object a line with fixed keys")

    # Traces
    traces: bool = _setting(
        default=False,
        text="write OpenTelemetry traces; where to is said by OTEL_EXPORTER_OTLP_ENDPOINT (docs/TRACES.md)",
    )

    # Topics
    topic_partitions: int = _setting(12, "partitions of every keyed topic; fixed at creation")
    topic_replication: int = _setting(1, "replication factor; 3 in production")
    topic_min_isr: int = _setting(1, "min.insync.replicas; 2 in production")

    # Workers
    instance: str = _setting("0", "stable name of this worker among its kind (the pod's ordinal)")
    worker_host: str = _setting("127.0.0.1", "address of a worker's health pages")
    worker_port: int = _setting(0, "port of a worker's health pages; 0: a free one")
    worker_announced: str = _setting(
        "",
        "host, or scheme://host:port, at which bridges reach this worker's pages; empty: worker_host and the port",
    )
    shard_secret: str = _setting(
        "",
        "text that bridges and workers share, so that bridges may ask workers; empty: nothing is asked or answered",
        secret=True,
    )
    round_records_max: int = _setting(1000, "records of one transaction round")
    round_linger_s: float = _setting(0.02, "how long a round gathers records after its first")
    journal_linger_s: float = _setting(
        0.1,
        "the same in the journal: a question about a message may wait longer than the message, and each round costs the"
        " broker a transaction",
    )
    replay_messages_per_s: float = _setting(
        500.0,
        "messages that a journal worker hands out in pages of replays, so that live ones are not held up; 0: any",
    )
    settle_linger_s: float = _setting(
        0.1,
        "how long results of deliveries wait for more before they are committed; after a crash they are sent again",
    )
    transaction_timeout_s: float = _setting(
        10.0, "Kafka transaction timeout; how long a dead worker can block readers"
    )
    crash_at: str = _setting(
        "", "fault tests only: kill -9 at a named point of a round or a delivery, as point:count"
    )
    static_membership: bool = _setting(
        default=False, text="group.instance.id from `instance`: rolling restarts without rebalance"
    )

    # Rules and appointments
    rules_dir: str = _setting(
        "", "folder with routing rules and interfaces of the operator's own (docs/RULES.md); empty: none"
    )
    appointments_keep_days: int = _setting(
        1500, "how long superseded appointments and answers 'as known then' are kept; at least 1500"
    )

    # The entrance
    bridge_host: str = _setting("127.0.0.1", "address the bridge listens on")
    bridge_port: int = _setting(8443, "port the bridge listens on; 0: a free one")
    bridge_health_port: int = _setting(8081, "port of the bridge's health pages; 0: a free one")
    public_url: str = _setting(
        "", "scheme://host[:port] that clients call and sign, several comma separated; empty: as called"
    )
    tls_certificate: str = _setting(
        "", "PEM file of the bridge's server certificate chain; empty: plain HTTP"
    )
    tls_key: str = _setting("", "PEM file of its private key")
    tls_client_ca: str = _setting(
        "", "PEM bundle of CAs for client certificates; empty: none asked for (no mTLS)"
    )
    signing_ca: str = _setting(
        "", "PEM bundle of CAs for participants' signing certificates; empty: pinned fingerprints only"
    )
    client_identified_by: str = _setting(
        "key", "what a client must show: key, certificate (TLS), both, or either; docs/SECURITY.md"
    )
    tls_client_certificate: str = _setting(
        "require",
        "require or request: whether TLS turns clients without a certificate away (with tls_client_ca)",
    )
    client_id_name: str = _setting(
        "",
        "name that makes a client certificate a participant's, as CN={id} or URI:urn:dip:{id}; empty: registered ones only",
    )
    tls_crl: str = _setting("", "revocation lists for client certificates, PEM or DER files, comma separated")
    signing_crl: str = _setting(
        "", "revocation lists for signing certificates, PEM or DER files, comma separated"
    )
    crl_expired: str = _setting(
        "warn", "warn or refuse: certificates whose revocation list has expired; both show in readiness"
    )
    certificates_poll_s: float = _setting(
        5.0, "how often certificate, key, CA and revocation list files are looked at for changes"
    )
    proxy_certificate_header: str = _setting(
        "", "header in which a TLS-terminating proxy hands over client certificates; empty: none does"
    )
    proxy_addresses: str = _setting(
        "",
        "addresses and networks of those proxies, as 10.0.0.7,10.1.0.0/24; the header counts from nowhere else",
    )
    company_writers: str = _setting(
        "ISD,DIP", "roles that may POST /companyDetails, comma separated (assumption: unpublished)"
    )
    company_readers: str = _setting("", "roles that may GET /companyDetails; empty: every participant")
    environment_tag: str = _setting("", "the only S1.environmentTag accepted; empty: any")
    check_levels: str = _setting(
        "", "checks moved between L1 and L2, as environment-tag=L2,primary-recipient=L1; docs/REJECTIONS.md"
    )
    sender_timestamp_future_s: float = _setting(
        86_400.0, "how far S1.senderTimestamp may be in the future; negative: not checked"
    )
    mpan_check_digit: str = _setting("off", "a wrong check digit of an MPAN: reject, warn or off")
    reference_pattern: str = _setting(
        "", "regular expression that all of senderUniqueReference must match, beside the published one"
    )
    reference_parts: bool = _setting(
        default=False, text="senderUniqueReference must name the interface, sender and role of its message"
    )
    status_sender_checked: bool = _setting(
        default=True,
        text="status messages of participants (L4) are taken only from those who could have received the message",
    )
    correlation_required: bool = _setting(
        default=False,
        text="answers must carry the correlation id of what they answer (channels with rule Copy)",
    )
    clock_skew_s: float = _setting(300.0, "largest accepted difference of X-DIP-Signature-Date")
    body_bytes_max: int = _setting(100_000_000, "largest request body")
    array_messages_max: int = _setting(1_000, "most messages in one request")
    requests_in_flight_max: int = _setting(
        64, "requests whose messages wait for Kafka at a time; others wait their turn, fairly by participant"
    )
    requests_open_max: int = _setting(
        1_000, "requests of known callers at a time, from head to answer; more are answered 503; 0: any"
    )
    participant_requests_open_max: int = _setting(
        100, "the same of one participant; more are answered 429; 0: any"
    )
    participant_requests_per_s: float = _setting(
        2_000.0, "requests of one participant in one bridge process; more are answered 429; 0: any"
    )
    participant_messages_per_s: float = _setting(2_000.0, "messages of one participant, as above")
    participant_bytes_per_s: float = _setting(
        20_000_000.0, "body bytes of one participant, compressed or not, as above"
    )
    total_requests_per_s: float = _setting(
        4_000.0, "requests of all participants in one bridge process; more are answered 503; 0: any"
    )
    total_messages_per_s: float = _setting(8_000.0, "messages of all participants, as above")
    total_bytes_per_s: float = _setting(80_000_000.0, "body bytes of all participants, as above")
    rate_burst_s: float = _setting(
        10.0, "how many seconds' worth of each rate may come at once after a quiet time"
    )
    bridge_replicas: int = _setting(
        1, "bridge processes that participants' limits are divided among; 1: each process grants them in full"
    )
    limits_file: str = _setting(
        "",
        "TOML file with other limits for single participants, read again when it changes; docs/PARTICIPANTS.md",
    )
    wrong_keys_per_s: float = _setting(
        2.0,
        "unknown API keys that one address may try; beyond it keys that were not good there before are not checked; 0: any",
    )
    compressed_bodies: bool = _setting(
        default=True, text="bodies may come with Content-Encoding gzip or zstd"
    )
    schema_versions: str = _setting(
        "",
        "S0.schemaVersion values accepted beside the published ones, as 009 for all channels, IF-021=010 for one",
    )

    # Delivery
    signing_certificate: str = _setting("", "PEM file of the router's signing certificate")
    signing_key: str = _setting("", "PEM file of the router's signing key")
    signing_key_other: str = _setting("", "PEM file of the signing key before or after it: v1a is by both")
    jwks: str = _setting("", "file that bridges serve at /.well-known/jwks.json; `dip jwks` makes it")
    webhook_ca: str = _setting("", "PEM bundle to verify webhook servers with; empty: the system's")
    webhook_crl: str = _setting(
        "", "revocation lists for webhook servers of webhook_ca, PEM or DER files, comma separated"
    )
    webhook_certificate: str = _setting("", "PEM file of the client certificate shown to webhooks")
    webhook_key: str = _setting("", "PEM file of its private key")
    webhook_credentials: str = _setting("", "directory of OAuth2 client credentials, a file for each DIP ID")
    webhook_secrets: str = _setting("", "directory of Standard Webhooks v1 secrets, a file for each DIP ID")
    webhook_networks_allowed: str = _setting(
        "", "internal networks that webhooks may be in, as 10.1.0.0/16,...; empty: public addresses only"
    )
    webhook_ports_allowed: str = _setting("", "ports that webhooks may have, as 443,8443; empty: any")
    webhook_http_allowed: bool = _setting(
        default=False, text="webhooks without TLS are called, too: sandboxes only"
    )
    webhook_timeout_s: float = _setting(10.0, "total time of one webhook call")
    lane_in_flight_max: int = _setting(
        64,
        "most webhook calls at a time for one recipient and channel; it begins with 4 and grows by quick answers",
    )
    lane_calls_per_min: float = _setting(
        0.0, "webhook calls a minute to one recipient and channel; `dip lane limit` for single ones; 0: any"
    )
    lane_catch_up_per_s: float = _setting(
        0.0, "parked copies a second to one recipient and channel, when a backlog is delivered; 0: any"
    )
    delivery_in_flight_max: int = _setting(500, "webhook calls at a time in one worker")
    delivery_order: str = _setting(
        "", "channels whose order differs from the table, as IF-021=mpan; orders: none, mpan, strict"
    )
    delivery_gather_s: str = _setting(
        "",
        "channels whose copies, where they come fast, wait otherwise for a full array, as IF-021=0.1; else 0.02 s, and"
        " in a busy worker up to 0.08 s for volume",
    )
    retry_delays_s: str = _setting(
        "0,1,2,4,8,15,60,120,300,600,1200,1800,3600",
        "waits between tries; the last repeats until the hold ends",
    )
    relay_answers: bool = _setting(
        default=True,
        text="what recipients say of messages in their answers (L3, RCP codes) goes to the sender as a status message",
    )
    notice_after_s: float = _setting(
        72 * 3600.0,
        "when a webhook that fails without a break counts as out of service; its participant and operators are told at"
        " 50, 70, 90 and 100 % of it",
    )
    hold_s: float = _setting(14 * 86400.0, "how long an undeliverable copy is kept and tried")

    # The archive
    archive_url: str = _setting(
        "",
        "where the archive is: a directory or an fsspec URL as s3://bucket/prefix; empty: STATE_DIR/archive",
    )
    archive_options: str = _setting(
        "", "options of that file system as key=value;key=value (keys, endpoint)", secret=True
    )
    archive_signing_key: str = _setting(
        "", "PEM file of the Ed25519 key that signs checkpoints; `dip archive key FILE` makes one"
    )
    archive_public_keys: str = _setting(
        "", "PEM files of keys whose checkpoints are trusted, comma separated; empty: the signing key's"
    )
    archive_seal_s: float = _setting(
        600.0, "how old records become before they are sealed into files; shorter means more, smaller files"
    )
    archive_keep_days: int = _setting(
        731, "how long the archive keeps messages; `dip archive prune` deletes what is older; at least 731"
    )

    # The console
    console_host: str = _setting("127.0.0.1", "address the console listens on")
    console_port: int = _setting(8090, "port of the console; 0: a free one")
    console_users: str = _setting("", "file of the console's users; empty: STATE_DIR/console-users.json")
    console_tls_certificate: str = _setting("", "PEM file of the console's certificates; empty: plain HTTP")
    console_tls_key: str = _setting("", "PEM file of its private key")
    console_public_url: str = _setting("", "where browsers reach the console; with https cookies are secure")
    console_session_s: float = _setting(8 * 3600.0, "how long a login at the console lasts")
    console_processes: str = _setting("", "health pages of bridges and archive, as http://host:port,...")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> "Settings":
        """Read file and environment; overrides (command-line options) win over both.

        Raises SettingsInvalid naming the setting, what it says and what is expected.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        path = environ.get("DIP_CONFIG")
        if path:
            values.update(read_file(Path(path)))
        known = {one.name: one for one in fields(cls)}
        unknown = values.keys() - known.keys()
        if unknown:
            raise SettingsInvalid(f"{path}: unknown setting {min(unknown)!r}; see docs/SETTINGS.md")
        for name in known:
            raw = environ.get(variable(name))
            if raw is not None:
                values[name] = raw
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls(**{name: typed(variable(name), known[name].type, value) for name, value in values.items()})

    def require(self, *names: str) -> None:
        """Raise SettingsInvalid that names the first of these settings that is empty."""
        for name in names:
            if not getattr(self, name):
                raise SettingsInvalid(f"{variable(name)} is not set; `dip up` prints the local stack's")

    def kafka(self) -> dict[str, str]:
        """Return the librdkafka settings every client of this process starts from. Raises SettingsInvalid."""
        options = options_of("DIP_KAFKA_OPTIONS", self.kafka_options)
        return {"bootstrap.servers": self.kafka_bootstrap, **options}

    def shared_secret(self) -> str:
        """Return what bridges and workers prove themselves with; empty where there is none.

        Raises SettingsInvalid for one that could be guessed.
        """
        return hard_to_guess("DIP_SHARD_SECRET", self.shard_secret)

    def retry_delays(self) -> tuple[float, ...]:
        """Return the waits between tries in seconds."""
        return tuple(float(part) for part in self.retry_delays_s.split(","))


def put(**values: Any) -> None:
    """Set variables of this process and its children; None leaves a setting as it is."""
    os.environ.update({variable(name): str(value) for name, value in values.items() if value is not None})


def environment(**values: Any) -> dict[str, str]:
    """Return this process's environment for a child, with some settings of the child's own."""
    return {**os.environ, **{variable(name): str(value) for name, value in values.items()}}
