"""Every bound of the product in one place, each with its reason; asserts tie related ones together.

Sections belong to rooms; keep a limit next to its kin. Units are in the names, last.
"""

# --- The wire protocol (protocol.md 2, 5) ---------------------------------------------------------------
TRANSACTION_ID_CHARS_MAX = 65  # published schema of D0
HELP_CHARS_MAX = 500  # published schema of Body.help
MESSAGE_TEXT_CHARS_MAX = 200  # published schema of Body.message
PROBLEMS_PER_MESSAGE_MAX = 10  # enough to mend a message in one go; `help` is 500 characters anyway

# --- The entrance (delivery.md 7) -----------------------------------------------------------------------
BODY_BYTES_MAX = 100_000_000  # the published example of maxPayloadSize: 100,000 kB
ARRAY_MESSAGES_MAX = 1_000  # one transaction of the router; senders with more send more arrays
MESSAGE_BYTES_MAX = (
    2_000_000  # IF-021 with its 200 days is 0.75 MB; a Kafka record must hold it with its envelope
)
JSON_DEPTH_MAX = 32  # the deepest published message has 9 levels
RECORD_BYTES_MAX = 4_000_000  # message.max.bytes of our topics and clients: egress adds D0 and A0
assert MESSAGE_BYTES_MAX < RECORD_BYTES_MAX
RSA_BITS_MIN = 2048  # what the DIP rules ask of signing certificates; shorter ones can be broken
CERTIFICATES_CACHED_MAX = 1_024  # parsed by header text (12 us saved a request); the market has a few hundred
CERTIFICATE_CHAIN_MAX = 4  # leaf, two intermediates, root: nobody publishes more
CERTIFICATE_FILE_BYTES_MAX = 64_000_000  # the largest public revocation lists have some tens of MB
CERTIFICATE_DAYS_WARNED = (7, 30, 60)  # before one of ours ends; delivery.md 6
PROXY_CERTIFICATE_CHARS_MAX = 16_384  # one certificate, URL-encoded: a line of a head has no room for more
PUBLIC_URLS_MAX = 8  # each costs a wrong signature another 23 us
HASH_HINT_BYTES_MAX = (
    1_000_000  # a better error text is not worth hashing a huge refused body three more times
)

BODY_READ_S_MAX = 60.0  # the largest body over 14 Mbit/s; a client that drips holds its bytes no longer
BODIES_BYTES_MAX = 400_000_000  # of all bodies in memory at a time; with their copies about 1 GB at worst
BODIES_OF_ONE_BYTES_MAX = 200_000_000  # one participant cannot take all of it
JUDGED_INLINE_BYTES_MAX = 262_144  # 60 messages, some 4 ms of the event loop; larger bodies go to a thread
JUDGING_THREADS = 2  # two cores; what they do holds the interpreter's lock most of the time anyway
SLICE_COMMAS_MAX = 20_000  # at most so many elements as a list: 1.5 MB of raw values
HEAD_BYTES_MAX = 16_384  # of one header: a signing certificate with its chain is 6 kB in base64
KEEP_ALIVE_S = 75.0  # longer than the pauses of a busy sender
LINGER_S = 2.0  # how long a refused body is still swallowed, so that the client reads the refusal
TLS_HANDSHAKE_S_MAX = (
    10.0  # two round trips and a signature: a client that needs longer holds a handle for nothing
)
BACKLOG_CONNECTIONS = 1_024  # that the kernel keeps while the loop is busy: a market that reconnects at once
CONNECTIONS_MAX = 5_000  # a file handle and some 50 kB each
HANDLES_BESIDE_CONNECTIONS = 1_000  # handshakes that are not connections yet, brokers, files
REQUESTS_DRAIN_S_MAX = 20.0  # at shutdown: a request in work waits 4 s twice for its turn, and 10 s for Kafka
BUSY_RETRY_AFTER_S = 1  # a place is free again in milliseconds
UNAVAILABLE_RETRY_AFTER_S = 5  # a broker change of leader takes some seconds
assert BODY_BYTES_MAX <= BODIES_OF_ONE_BYTES_MAX < BODIES_BYTES_MAX
PATHS_REMEMBERED_MAX = 1_024  # paths whose route is known; one has 8 kB at most, and most have 20 bytes
PUBLISH_S_MAX = 10.0  # a sender that waits longer for its 201 has given up; then 503, and it retries
PUBLISH_GRACE_S = 5.0  # after which a missing delivery report counts as a failure
PUBLISH_LINGER_MS = 10  # a produce request costs the broker more than a record: costs.md 5, paced
PUBLISH_LOOK_S = (
    0.002  # between two looks for delivery reports; little beside the linger, and a look costs 3 us
)
PUBLISH_BATCH_BYTES = 262_144  # bulk figures of costs.md 5
PUBLISH_QUEUE_BYTES_MAX = 256_000_000  # records handed over and not yet acknowledged; beyond it 503
BROKER_ASK_S_MAX = 3.0  # metadata comes in milliseconds
BROKER_ASK_EVERY_S = 5.0  # readiness asks at most so often, whoever looks at the page
API_KEY_CHARS_MIN = 16  # of random text: too many to guess; shorter ones are passwords
API_KEY_CHARS_MAX = 256  # it travels in a header
WEBHOOK_MESSAGES_MAX = 1_000_000  # what a participant may write; what is sent at a time has its own bounds
WEBHOOK_PAYLOAD_KB_MAX = 1_000_000  # likewise, 1 GB
VALIDATION_PROBLEMS_MAX = 100  # of a dry run: nobody mends more before trying again
VALIDATION_TEXT_CHARS_MAX = 4_000  # of its answer, a text that people read
SMALL_BODY_BYTES_MAX = (
    65_536  # of calls that are about one thing, as a webhook; the largest honest one has 8 kB
)
PATH_SEGMENT_CHARS_MAX = 256  # a reference, the longest thing that a path names, has 200
URL_CHARS_MAX = 250  # published schema of URLs
PARTICIPANTS_REBUILD_S = 0.25  # a load of thousands rebuilds the picture a few times, not thousands of times
PARTICIPANTS_RETRY_S = 1.0  # between tries while Kafka or the registry does not answer
PARTICIPANTS_STOP_S_MAX = 15.0  # the thread may be inside a metadata call
assert BODY_BYTES_MAX < PUBLISH_QUEUE_BYTES_MAX
assert PUBLISH_S_MAX < REQUESTS_DRAIN_S_MAX

# --- The door: time, turns and packing (docs/adr/0120-0124) ---------------------------------------------
HEAD_S_MAX = 10.0  # from accepting, or from a head's first byte, to its last: one packet or two
HEADERS_MAX = 100  # an honest request has a dozen, behind proxies thirty
TARGET_BYTES_MAX = 8_190  # path and query: far more than any call has; aiohttp's own default, said aloud
HEADS_BYTES_MAX = (
    65_536  # a head in all: a signing chain, a client certificate from a proxy, and as much again
)
CONNECTIONS_OF_ONE_ADDRESS_MAX = 4_000  # a proxy brings everybody's; a single host must leave some to others
BODY_GRACE_S = 10.0  # a body may take so long whatever its size; from then on it needs the rate below
BODY_BYTES_PER_S_MIN = 10_000  # a modem of 1998 is faster; 1,000 that drip are gone after the grace
ANSWER_TAKEN_S_MAX = 30.0  # a client that does not read its answer holds its connection no longer
TURN_S_MAX = 4.0  # waiting for one's turn: when the queue is longer than that, 503 is the better answer
TURN_BYTES = 16_384  # what an owner may spend in one turn: two arrays of one message
ROUND_BYTES = 65_536  # judged between two looks at the sockets: some 2 ms of the event loop
REQUEST_COST_BYTES = 4_096  # of a request besides its bytes: the signature is as dear as a message
UNPACKED_COST = 10  # bytes that one byte of a packed body becomes, guessed before it is unpacked
KEY_GUESSES_BURST = 60  # a client set up wrongly tries for half a minute before its address is slowed down
ADDRESSES_WATCHED_MAX = 10_000  # that tried wrong keys, and good pairs of address and key: 2 MB
UNPACKED_RATIO_MAX = (
    200  # a thousand readings: 19 with gzip, 35 with zstd at its best; a bomb: 1,000 and more
)
UNPACKED_FREE_BYTES = 1_000_000  # below this the ratio says nothing
UNPACK_STEP_BYTES = 1_000_000  # unpacked between two looks at the bounds
UNPACK_MEMBERS_MAX = 64  # gzip members or zstd frames of one body: parallel packers write some dozens
ZSTD_WINDOW_LOG_MAX = 23  # 8 MB, what RFC 9659 lets a sender ask for
assert HEAD_S_MAX < KEEP_ALIVE_S
assert CONNECTIONS_OF_ONE_ADDRESS_MAX < CONNECTIONS_MAX
assert TARGET_BYTES_MAX + HEAD_BYTES_MAX < HEADS_BYTES_MAX
assert 2 * TURN_S_MAX + PUBLISH_S_MAX < REQUESTS_DRAIN_S_MAX  # one turn for judging, one for Kafka
assert BODY_GRACE_S < BODY_READ_S_MAX
assert BODY_BYTES_PER_S_MIN * BODY_READ_S_MAX < BODY_BYTES_MAX

REFUSALS_NOTED_PER_S = 1.0  # of one caller in the audit: a fault shows at once, a broken client fills no disk
REFUSALS_NOTED_BURST = 20.0  # a client under test: each of its tries is seen
REFUSALS_NOTED_AT_ONCE_MAX = 100  # records on their way to Kafka; while it is down the rest is counted only
CALLS_NOTED_WAITING_MAX = 20_000  # records of answered calls on their way: 4 MB, ten busy seconds
CALLS_NOTED_AT_ONCE_MAX = (
    400  # made into records in one go: 4 ms of the loop, and what 2,000 calls/s leave in 0.2 s
)
CALLS_NOTED_EVERY_S = 0.2  # gathered: a publication of forty costs little more than one of one
REFUSALS_NOTED_CALLERS_MAX = 2_000  # the market's participants; beyond it the longest silent one begins anew

# --- Keeping (design.md 5, protocol.md 13) --------------------------------------------------------------
RETENTION_DAYS = 14  # online retention of the published targets; the window in which a duplicate is known
RETENTION_MARGIN_DAYS = 1  # a pointer into a topic must outlive the longest hold

# --- Questions between bridge and workers (docs/adr/0250) -----------------------------------------------
SHARD_TRIES_MAX = 2  # who was announced, and who took over; a partition that moves twice is not at rest
SHARD_MOVE_S_MAX = 1.5  # until a takeover shows here: a warm partition opens within a second
SHARD_LOOK_S = 0.05  # between two looks for it
SHARD_CONNECT_S_MAX = 1.0  # workers are near
SHARD_ANSWER_S_MAX = 8.0  # the longest answer reads a page of old records back
SHARD_ANSWER_BYTES_MAX = 20_000_000  # the largest page and as much again for its quoting
SHARD_QUESTION_AGE_S_MAX = 60.0  # clocks of one installation are nearer; a question caught is no use later
SHARD_SECRET_CHARS_MIN = 16  # of random text: too many to guess
SHARD_QUESTIONS_AT_ONCE_MAX = 64  # of a bridge: more would wait at the workers

# --- Journal, replay and requeue (docs/adr/0251-0254) ---------------------------------------------------
JOURNAL_RECORDS_MAX = 2_000  # of one message: 45 recipients tried 13 times, and as much again
JOURNAL_QUESTIONS_AT_ONCE_MAX = 240  # of a worker: of twenty messages, each in twelve partitions
JOURNAL_READS_AT_ONCE_MAX = 4  # of a worker, waiting for its one reader; more are told to come back
REPLAY_PAGE_MESSAGES = 100  # as the largest array that is delivered
REPLAY_PAGE_BYTES = 4_000_000  # likewise; a larger message makes a page of its own
REPLAY_RATE_MIN = (
    50  # messages a second of a worker: three pages that wait for a fourth are answered within 8 s
)
REPLAY_ROWS_LOOKED_MAX = 20_000  # of the index for one page, 50 ms; a page may then hold less than it could
CONTINUATION_S_MAX = 86_400.0  # a day to fetch what was asked for; the snapshot does not grow old forever
CONTINUATION_TOKEN_CHARS_MAX = 1_000  # one of ours has some 350
REQUEUE_PAGE_MESSAGES = 50  # in one transaction ...
REQUEUE_EVERY_S = 0.25  # ... so often: 200/s of a worker, a tenth of what it delivers
REQUEUE_RETRY_AFTER_S = 30  # a requeue of a day takes minutes
REQUEUES_KEPT_OF_ONE_MAX = 100  # of a recipient; the oldest ended ones are forgotten
REQUEUE_COUNT_ROWS = 5_000  # counted between two breaths of the event loop: 10 ms
CONSUMPTION_EVERY_S = 1.0  # nobody waits for a consumption replay within seconds
CONSUMPTION_PAGE_MESSAGES = 50  # of a consumption replay in one transaction, as of a requeue
assert REPLAY_PAGE_BYTES < SHARD_ANSWER_BYTES_MAX
assert (JOURNAL_READS_AT_ONCE_MAX - 1) * REPLAY_PAGE_MESSAGES / REPLAY_RATE_MIN < SHARD_ANSWER_S_MAX

# --- The local stack (operations.md 4, 5) ---------------------------------------------------------------
FETCH_THREADS = 16  # 91 small jars: the wait is round trips, not bytes; 13 s against 27 s with 8
FETCH_TIMEOUT_S_MAX = 30  # one silent connection; a whole download may take longer
FETCH_TRIES_MAX = 3  # a dropped connection in 92 downloads is not news
ENGINE_PING_S_MAX = (
    3  # a container engine on this machine answers in milliseconds; a dead socket must not hold us up
)
STACK_START_S_MAX = 90  # ready in 4 s alone; a loaded 2-core machine that compiles meanwhile is slow
STACK_START_TRIES_MAX = 3  # a free port can be taken between choosing and binding
CAUSE_S_MAX = (
    2  # after a client's error: a dying server's exit shows within milliseconds, on a loaded machine later
)
CHILD_STOP_S_MAX = 20  # an orderly broker shutdown takes 1-3 s; then it is killed, which it survives
CHILD_RESTARTS_MAX = 5  # a process that crashes more often than this needs a human
CHILD_RESTART_DELAYS_S = (0.5, 1, 2, 4, 8)
assert len(CHILD_RESTART_DELAYS_S) == CHILD_RESTARTS_MAX

# --- Delivery (delivery.md 4-6) -------------------------------------------------------------------------
FULL_JITTER_S_MAX = 15.0  # up to here a wait is spread over its whole length; longer ones keep their order
LATE_JITTER_SHARE = 0.2  # +-20 % of a long wait
RETRY_AFTER_S_MAX = 3_600.0  # a 5xx asks for an hour at most: an outage is seldom known in advance
RETRY_AFTER_THROTTLED_S_MAX = 36_000.0  # a 429 is a deliberate request
SLOW_DELAY_S_MIN = 60.0  # a wrong set-up is mended by people, not by seconds
DUE_S_MAX = RETRY_AFTER_THROTTLED_S_MAX  # no lane waits longer, whatever a row or a clock that jumped says
ANSWER_TEXT_CHARS_MAX = 500  # of a recipient's words in audit and reports, as long as `help`
TURNS_TO_LOSE = 5  # of the event loop, from an alert to the end of its connection: two, with some to spare
EXCERPT_CHARS_MAX = 200  # of an answer in the audit: enough to know an error page by
EXCERPT_BYTES_READ = 2_000  # looked at for it: what a secret begins in it is hidden whole
ANSWER_REMARKS_KEPT_MAX = 1_024  # distinct short answers, read once: 1 MB at worst
ANSWER_BYTES_MAX = 65_536  # a StandardResponse for 100 messages is about 40 kB; beyond it the status decides
ANSWER_HEADER_BYTES_MAX = 8_190  # one line or field of an answer's head; aiohttp's own default, said aloud
BATCH_MESSAGES_MAX = 100  # of one POST: at 50 signing is 7 us a message; an answer stays under its cap
BATCH_BYTES_MAX = 4_000_000  # of one POST: 4 Mbit/s carry it in the 10 s of a call; a larger copy goes alone
DELIVERY_IDS_HEADER_CHARS_MAX = 4_000  # common servers take 8 kB of headers in all
WEBHOOK_SECRET_BYTES_MIN, WEBHOOK_SECRET_BYTES_MAX = 24, 64  # as Standard Webhooks has it
KEY_SET_BYTES_MAX = 65_536  # a hundred keys; what is larger is another file
KEY_SET_CACHED_S = 300  # a next key is published for longer than that before it is used
WEBHOOK_SECRETS_MAX = 3  # of one recipient at a time: a change, and one more for whoever forgot the last
SEQUENCES_HEADER_CHARS_MAX = 4_000  # a hundred sequences with their predecessors; likewise
GAP_COPIES_MAX = 999_999  # how many given-up copies are counted one by one; more are as many
PREDECESSORS_MAX = (
    200_000  # MPANs of a recipient whose last copy a worker knows: 50 MB; others are only not told
)
ENDPOINT_PROVEN_S = (
    10.0  # for so long after a success a failed call may be held against its copies: a call's own time
)
STUMBLES_MAX = (
    2  # such calls in a row; the third is the endpoint's (delivery.md 4: three failures open the breaker)
)
ASIDE_COPIES_MAX = (
    100  # of a lane, tried alone: as many as refusals in a row are believed; more are the endpoint's fault
)
LETTER_TOKENS_MAX = (
    100  # refusals in a row that are believed: a bad hour of one sender, not a broken endpoint
)
LETTER_TOKEN_S = 300.0  # one more is believed every five minutes, as others do it (delivery.md 5)
LANE_IN_FLIGHT_START = 4  # calls of a lane at a time until it has shown that it can take more
HEARSAY_WAIT_S_MIN = 4.0  # a wait worth telling other workers of; shorter ones are over when they hear of it
HEARSAY_LAG_S = 15.0  # others wait so much longer than the one that tries: a call of 10 s, a commit, a read
ADDRESS_TRY_S = 10.0  # between two tries of a failing lane only because its address is another one
TIMERS_TIDY_MIN = (
    1_000  # timers of lanes before void ones are thrown away; fewer are not worth looking through
)
PACE_BURST_S = 0.25  # of a lane's rate at once: 0.4 % of a minute, and timers that are late lose nothing
CALLS_PER_MIN_MAX = 1_000_000  # a rate above it is none; nothing here makes 16,000 calls a second
CATCH_UP_PER_S_MAX = 100_000.0  # the same for parked copies
PACE_OVERSHOOT_SHARE_MAX = 0.01  # delivery.md 4, over any minute
PACE_GRAIN_S = 0.001  # added to each wait: a timer must never be due in the moment in which it is set
BACKLOG_BUSY_SHARE = (
    0.6  # of the loop; beyond it a lane has one array of its backlog under way: live copies go first
)
assert PACE_BURST_S / 60 < PACE_OVERSHOOT_SHARE_MAX
CATCH_UP_COPIES_MAX = (
    400  # parked copies of a lane under way: 64 full arrays that end together take the loop 160 ms
)
LANE_SLOW_S = 1.0  # ten times a usual answer; a third of what the platform promises for the whole way
SICK_SHARE = 0.25  # of a worker's calls: probes of 500 dead endpoints at 10 s fit, at one a minute each
GATHER_S = 0.02  # a recipient of everything fills ten in 5 ms at the peak; 200/s make four, and 20 ms are nobody's delay
GATHER_S_MAX = 5.0  # what an operator may set: a copy that waited longer is parked
GATHER_MEMORY_S = 1.0  # over which arrivals are counted: some rounds of the engine
GATHER_BUSY_S_MAX = (
    0.08  # of volume, when the worker is busy: 50/s then share a signature among four (docs/adr/0361)
)
GATHER_BUSY_SHARES = (0.1, 0.4)  # of the loop's time: between them the wait grows (docs/adr/0361)
COLLECT_EVERY_OBJECTS = 20_000  # more made than freed: most copies are gone by then (docs/adr/0431)
BUSY_LOOK_EVERY_S = 0.25  # what a loop used is looked at so often: some rounds of the engine
LANE_COPIES_MAX = 1_000  # of one lane in memory: ten full arrays, 4.5 MB of consumption
LANE_BYTES_MAX = 16_000_000  # the same for large messages; also four full arrays in flight
LANES_BYTES_MAX = 256_000_000  # of all lanes in memory: what a worker of 1 GB can spare
LANE_AGE_S_MAX = 5.0  # a copy that waited this long is parked: the window moves, a restart repeats little
WINDOW_COPIES_MAX = 10_000  # unsettled copies of one partition; beyond it the oldest are parked
WINDOW_BYTES_MAX = 64_000_000  # the same in bytes
WINDOW_PARK_COPIES = 500  # parked at a time when a window is full: one transaction, not ten thousand
REFILL_ROWS = 200  # rows read back at a time: two full arrays
PROBE_ROWS = 10  # read for a probe: one is sent, the others tell whether holds have ended
CENSUS_LANES = 100  # lanes found between two breaths of the event loop when a partition is taken over: 5 ms
COUNT_ROWS = 1_000  # keys counted at a time, 1.5 ms, with ...
COUNT_PAUSE_S = 0.005  # ... a pause: a million rows in 7 s beside everything else
HOLD_SWEEP_S = (
    600.0  # how often a waiting lane is searched for ended holds; a topic keeps a day longer than the hold
)
LANE_TICK_S = 0.5  # how often ages and changed webhooks are looked at
REREAD_S = 2.0  # wait after the topic could not be read for a refill
RECORDS_READ_S_MAX = 10.0  # reading a refill back; then it is tried again
RECORDS_SKIP_OFFSETS = 200  # a gap up to this is read through; a larger one is jumped over
TOKEN_S_MAX = 5.0  # asking for a token: half of a call's time, which it comes on top of
TOKEN_LIFE_S_USUAL = 300.0  # of a token whose answer does not say; RFC 6749 only recommends that it does
TOKEN_KEPT_S_MAX = 86_400.0  # no token is used for longer, whatever its answer says
TOKEN_MARGIN_S, TOKEN_MARGIN_SHARE = 60.0, 0.2  # a token is used no longer than up to so much before its end
TOKEN_CHARS_MAX = 6_000  # a header with it stays under the 8 kB of common servers
WEBHOOK_CONNECT_S_MAX = 3.0  # of which the socket has 2: a black hole costs 2 s, not 10
WEBHOOK_SOCKET_S_MAX = 2.0
DNS_BUDGET_S = 5.0  # delivery.md 6: a resolver gets its own time, it is not the recipient's
DNS_THREADS = 16  # lookups that hang hold a thread each; those of other names must go on
DNS_KEPT_S = 30.0  # an address that was vetted is used for this long, whatever the name says meanwhile
DNS_FAILURE_KEPT_S = 5.0  # a lane that fails waits longer than this anyway
DNS_NAMES_MAX = 10_000  # five times the market; then everything is looked up anew
REVOKE_WAIT_S = 1.5  # the engine settles for 2 s after it announced that a partition goes
STOP_GRACE_S = 2.0  # calls under way at a stop; what does not end is sent again by the next owner
assert BATCH_MESSAGES_MAX <= CATCH_UP_COPIES_MAX <= LANE_COPIES_MAX <= WINDOW_COPIES_MAX
assert BATCH_BYTES_MAX <= LANE_BYTES_MAX <= WINDOW_BYTES_MAX <= LANES_BYTES_MAX
assert MESSAGE_BYTES_MAX <= BATCH_BYTES_MAX
assert GATHER_S <= GATHER_S_MAX <= LANE_AGE_S_MAX

# --- Verdicts (pipeline/catalogue) ----------------------------------------------------------------------
VALUE_CHARS_SHOWN_MAX = 40  # of an offending value: enough to find it, and little of somebody's data
ENUM_VALUES_SHOWN_MAX = 20  # the longest enumeration has 58 values; the fact tables have the rest
NAME_CHARS_SHOWN_MAX = 100  # of an unknown name in a pointer; the longest known one has 57
assert VALUE_CHARS_SHOWN_MAX < HELP_CHARS_MAX
VALIDATE_LINE_BYTES_MAX = (
    2 * MESSAGE_BYTES_MAX
)  # a message with room for spaces; keeps memory flat on any file
VALIDATE_PROBLEMS_MAX = 1_000  # of `dip validate --all`: nobody mends more at a time

# --- The engine (engine.md 2-5) -------------------------------------------------------------------------
DEAD_LETTER_ERROR_CHARS_MAX = 500  # class and text of the error; the bytes are what a repair needs
RECORD_OVERHEAD_BYTES = 65_536  # key, headers and framing of a record beside its value
ROUND_REPLAYS_MAX = 5  # aborted transactions replayed from memory before everything is rebuilt
RESETS_WITHOUT_PROGRESS_MAX = 8  # about two minutes of a dead broker; then a fresh process is the better try
SESSION_STEADY_S = 60.0  # a session that lived this long was progress, though no record came
RESET_PAUSE_S = (0.2, 3.0)  # between resets: first, longest; doubles until a round succeeds
RETRY_PAUSE_S = 0.2  # between repeats of a call that said "retriable"
START_CALL_S_MAX = 5.0  # one question to a broker that may not be there yet; each failure is reported
STATE_FOLDER_WAIT_S = 15.0  # for a predecessor that is finishing its round; a killed one lets go at once
STATE_FOLDER_POLL_S = 0.2
TOPICS_WAIT_S_MAX = 15.0  # a topic is known to a loaded broker some seconds after its creation was confirmed
TOPICS_POLL_S = 0.5  # between two looks
COMMIT_SLOW_S = 2.0  # a transaction takes 10-50 ms; one that takes this long is put into the log
POLL_INTERVAL_S_MAX = 75.0  # between two fetches: a fence's longest wait and one call (docs/adr/0364)
FENCE_POLL_S = 0.25  # how often the last stable offset is looked at while writing is held back
FENCE_REPORT_S = 5.0  # how often a wait is put into the log
FENCE_S_MAX = 60.0  # transaction timeout (10 s) + broker scan (2-10 s), three times over; then start over
ADMIN_CALL_S_MAX = 10.0  # list_offsets and describe calls answer in milliseconds
DOCTOR_LOOK_BACK_S = 120.0  # a transaction lasts 10 s at most; clocks of producers differ
DOCTOR_CLOCKS_APART_MS = 1_000  # of a producer's and a broker's clock
TRANSACTION_SCAN_S_MAX = 10.0  # the broker's default scan for timed-out transactions
RECOVERY_CHUNK_RECORDS = 5_000  # one RocksDB write batch per shard and chunk: 0.5 MB of 100-byte rows
WAKE_CALL_S = 0.005  # of a question whose answer nobody wants: it has been sent by then
WAKE_S_MAX = 0.2  # of such questions after partitions came; what is not woken is read a second later
RECOVERY_POLL_S = (
    0.05  # a chunk that does not fill up is taken after this: records of a partition wait for its end
)
RECOVERY_FETCH_WAIT_MS = (
    10  # of the broker, where there is nothing: asked some times in all, at the end of a changelog
)
RECOVERY_REPORT_S = 5.0  # how often a running or waiting recovery is put into the log
RECOVERY_QUEUE_KBYTES = 65_536  # prefetched changelog: as much as a round may hold
FETCH_QUEUE_KBYTES = 32_768  # prefetched input of one worker
IDLE_POLL_S = 0.5  # a fetch without records returns after this, so that a stop is noticed
SETTLEMENTS_PER_ROUND_MAX = 5_000  # settlements of one transaction; the rest wait for the next
WINDOW_METADATA_CHARS_MAX = 4_000  # the broker keeps 4,096 (offset.metadata.max.bytes) beside an offset
WINDOW_METADATA_HELD_MAX = 4_000  # unsettled records looked at for it in each round: under 1 ms
REVOKE_GRACE_S = 2.0  # lanes of a revoked partition stop within this (delivery.md 5)
STOP_S_MAX = 25.0  # orderly shutdown; Kubernetes sends SIGKILL after 30 s by default
STALL_S_MAX = 15.0  # lag and no record for this long: the consumer is rebuilt
WATCH_S = 5.0  # how often the watchdog looks
BATCH_S_MAX = 60.0  # an agent that works longer on one batch is reported as not alive
BLOCK_CACHE_BYTES = 64 << 20  # one RocksDB block cache for all shards of a process
WRITE_BUFFER_BYTES = 8 << 20  # per shard, at most two: 12 shards of two tables stay under 400 MB
SHARD_TOUCH_S = 600.0  # how often an idle live shard notes that it is up to date
assert TRANSACTION_SCAN_S_MAX < FENCE_S_MAX
assert REVOKE_GRACE_S < STOP_S_MAX

# --- Waiting for the outside ----------------------------------------------------------------------------
REGISTRY_CALL_S_MAX = 5  # a registry call may happen inside a round, which holds every partition
WAIT_MESSAGE_EVERY_S = 5.0  # often enough to show life, rarely enough to read

# --- Routing --------------------------------------------------------------------------------------------
APPLICABLE_DAYS_MAX = (
    1_500  # an amendment may reach back over the longest settlement window (28 months), and some
)
APPOINTMENTS_KEEP_DAYS_MIN = APPLICABLE_DAYS_MAX  # younger rows are still asked for by late data
QUARANTINE_OF_MPAN_MAX = (
    50  # messages: a day's consumption and some registration, for the two weeks they may wait
)
QUARANTINE_OF_MPAN_BYTES_MAX = 1_000_000  # one row of the table; a record holds 4 MB
QUARANTINE_OF_PARTITION_MAX = (
    20_000  # 90 MB of consumption; more is no gap in a table, but a table not loaded yet
)
SWEEP_ROWS = 50  # looked at for age at a time: 0.2 ms ...
SWEEP_EVERY_RECORDS = 50  # ... so often: as many as can be added, so no row grows twice as old as it may
OUTBOUND_SHARDS_MAX = 1  # partitions one recipient's copies spread over by MPAN; one lane lives in one place
STATUS_SOURCE_CHARS_MAX = 80  # of a report's origin inside its delivery id

# --- The mailbox (domain/mailbox.py) ----------------------------------------------------------------------
MAILBOX_MESSAGES_MAX = (
    200  # of a bundle: its receipt is 1 kB, and 1 MB of the usual copies is read back for it
)
MAILBOX_MESSAGES = 50  # of a bundle, unless the call says otherwise
MAILBOX_BYTES_MAX = 4_000_000  # of a bundle; one copy may be as large, and goes alone
MAILBOX_WAIT_S_MAX = 20.0  # of a call that waits for copies: shorter than proxies wait for an answer
MAILBOX_LOOK_S = 1.0  # between two looks of a call that waits
CALLS_WAITING_MAX = 300  # of a bridge; each is one of 1,000 open requests, and senders need the others
MAILBOX_AGE_S_MAX = 3_600.0  # that a recipient may let copies gather: longer is a job for its own timer
MAILBOX_READS_MAX = 4  # of a worker at a time; they share one reader, and the next asks again
MAILBOX_RECEIPTS_MAX = 100  # in one acknowledgement
assert MAILBOX_MESSAGES <= MAILBOX_MESSAGES_MAX
assert MAILBOX_BYTES_MAX >= RECORD_BYTES_MAX
assert (
    2 * (MAILBOX_BYTES_MAX + RECORD_BYTES_MAX) < SHARD_ANSWER_BYTES_MAX
)  # quoted as text on their way to the bridge

# --- Notices (domain/notices.py) ----------------------------------------------------------------------------
NOTICE_LOOK_S = 2.0  # between two looks at the lanes: "at once" for people, nothing for the worker
NOTICE_FEED_S_MAX = 60.0  # until what a worker wrote comes back to it; longer, and somebody wrote after it
NOTICE_SINCE_S = 60.0  # a failure this long is written down; shorter ones would be a record for every hiccup
NOTICE_AGAIN_S = 86_400.0  # a fault of set-up that comes and goes is told of once a day
NOTICE_REMARKS_MAX = 20  # remembered of one endpoint: four shares, and more kinds of faults than anybody has
CERTIFICATE_LOOK_S = 3_600.0  # between two looks at the end of a caller's certificate
CERTIFICATES_SEEN_MAX = 20_000  # of webhook servers; one each for more participants than there are

# --- Topics (topics.py) ---------------------------------------------------------------------------------
CHANGELOG_SEGMENT_BYTES = 64_000_000  # compaction works on closed segments; a restore reads what it left
TOPIC_LOOKS_MAX = 100  # looks 0.1 s apart until new topics show; milliseconds on one node, a second on three

# --- Operators' loads -----------------------------------------------------------------------------------
BULK_DELIVERY_S_MAX = 60  # a broker that takes longer is not there; the load can be repeated
BULK_REPORT_RECORDS = 500  # how often progress is shown
REQUEUE_BATCH_MAX = (
    500  # letters in a transaction: 2 MB of copies, and little to say twice about after a crash
)
CLOCKS_APART_S_MAX = (
    3_600.0  # between machines of one router; a wrong clock must not hide what the audit says
)
VIEW_STALL_S_MAX = 60.0  # an operator's copy of a table that does not grow for so long will not
LOAD_LINE_BYTES_MAX = 4_096  # a row has some 70; a file without line ends must not fill the memory
LOAD_ROWS_OF_MPAN_MAX = (
    1_000  # of one MPAN standing together: a change of everything each month for ten years
)
LOAD_CHECKPOINT_MPANS = 20_000  # a few seconds of work; so much is read again after a kill -9
LOAD_CHECKPOINT_ROWS = (
    200_000  # of a part: an extract with a thousand rows for each MPAN must fit, too (60 MB)
)
LOAD_BAD_RUN = 10_000  # bad rows after which the reading says where it is: what waits for it must not grow
LOAD_ERRORS_SHOWN_MAX = 20  # on the terminal; all of them are in the error file

# --- The simulated market -------------------------------------------------------------------------------
SIMULATOR_POSTS_IN_FLIGHT_MAX = 8  # as many arrays as a few busy participants would have open at a time
SIMULATOR_POST_TIMEOUT_S_MAX = 30  # one answer; a loaded bridge that takes longer is out of order
SIMULATOR_GIVE_UP_S_MAX = 90  # one POST with all its retries: longer than a broker restart
SIMULATOR_STALL_S_MAX = 60  # no news for this long, and what is still open will not come
SIMULATOR_UNDERSTANDING_S_MAX = 120  # until a cold router has read a market's participants and appointments
SIMULATOR_OPEN_MESSAGES_MAX = 400  # accepted and not yet seen anywhere: about a second's work of two cores
SIMULATOR_CATCH_UP_S_MAX = 1.0  # a slow moment is made up for by at most this much of a burst
SIMULATOR_LOOK_EVERY_S = 0.5  # how often progress is shown and the account looked at
FAULT_CONNECTIONS_MAX = 2_000  # to the fault server at a time; more are reset
FAULT_CALL_S_MAX = 600.0  # no fault lasts longer; the longest patience in the field is a minute
FAULT_LOG_CALLS_MAX = 5_000  # remembered by the fault server: 300 bytes each, and what ids they carried
FAULT_HUGE_BYTES = 10_000_000_000  # made as it is sent, and only as long as somebody reads
FAULT_CHUNK_BYTES = 65_536
FAULT_HEADERS = 100_000
FAULT_DRIP_S = 1.0  # between two bytes
FAULT_NOTICE_S = 0.05  # so long what was sent has to arrive before the connection is cut
assert SIMULATOR_POST_TIMEOUT_S_MAX < SIMULATOR_GIVE_UP_S_MAX
PEAK_RATE_MAX = 8_000  # messages/s that `dip bench path` asks for: four times a country's peak
PEAK_CONNECTIONS_MAX = 64  # of the load: as many as some hundred participants would have open
PEAK_CHECK_ONE_IN = 50  # deliveries whose signature the load's webhooks check: `make demo` checks all
PEAK_STALL_S_MAX = (
    20.0  # no copy for this long, and what is still missing is lost: longer than all quick retries
)
PEAK_LOOK_EVERY_S = 0.05  # how often the account is looked at once everything is sent
OPERATOR_CALL_S_MAX = 10.0  # a command at a terminal gives up after this and says so

# --- The reference client (pipeline/client; a copy of it takes these along) --------------------------------
CLIENT_WAIT_S_MIN = 0.5  # before the second try: a leader change takes about a second
CLIENT_WAIT_S_MAX = 30.0  # between tries of an outage; half a minute late is nothing after an hour
CLIENT_JITTER_SHARE = 0.25  # added to a wait, never taken from it: Retry-After is a promise
CLIENT_RETRY_AFTER_S_MAX = 3_600.0  # a longer wish is taken for a mistake of whoever wrote it
CLIENT_GIVE_UP_S = 300.0  # of one call; a 72 h outage is the caller's queue to bridge, not a coroutine's
CLIENT_ANSWER_S_MAX = 60.0  # one answer; the router gives up on its broker after 10 s
CLIENT_CONNECT_S_MAX = 5.0  # a router that does not accept within it is another try's business
CLIENT_CALLS_IN_FLIGHT_MAX = 8  # of one process: more connections would only queue at the router
CLIENT_ANSWER_BYTES_MAX = 100_000_000  # a page of replay is as large as the largest delivery
RECEIVER_BODY_BYTES_MAX = 100_000_000  # the published example of maxPayloadSize
RECEIVER_SKEW_S = 300.0  # as the router's own default; the published documents name none
RECEIVER_IDS_MAX = 200_000  # remembered in memory, 30 MB: hours of a large supplier; a database keeps more
assert CLIENT_WAIT_S_MIN < CLIENT_WAIT_S_MAX < CLIENT_GIVE_UP_S
assert CLIENT_CONNECT_S_MAX < CLIENT_ANSWER_S_MAX < CLIENT_GIVE_UP_S

# --- The archive (pipeline/archive) ------------------------------------------------------------------------
SEGMENT_RECORDS_MAX = 100_000  # of one segment: its file of leaves stays under the 4 MB that are read at once
SEGMENT_BYTES = 16_000_000  # of one segment, before compression: some 3 MB stored, worth a request of its own
ARCHIVE_BUFFER_BYTES = (
    256_000_000  # of all open segments; beyond it the largest are sealed early, or reading waits
)
ARCHIVE_RETRY_S = (1.0, 60.0)  # between tries of a storage that is away: first, longest
ARCHIVE_HOUSEKEEPING_S = 600.0  # how often old records are looked for on the topics; they may wait 14 days
ARCHIVE_POLL_S = 0.5  # a fetch without records returns after this, so that a stop is noticed
ARCHIVE_BATCH = 2_000  # records taken from the client at a time
ARCHIVE_TRAIL_S = 120.0  # beyond the age of sealing: how old an unarchived record may be without an alarm
ARCHIVE_STEP_S_MAX = 300.0  # one step writes a round of segments; on a slow storage each may take seconds
LEFTOVERS_DAYS = 2  # files of no segment may be a seal under way, but not for so long
ARCHIVE_KEEP_DAYS_MIN = 731  # two years, one of them a leap year
ARCHIVE_OBJECT_BYTES_MAX = 500_000_000  # an object that says it is larger is not one of ours
REPLAY_MESSAGES_MAX = 500_000  # of one `dip replay`: what the audit says of each is held, 200 MB
REPLAY_EXAMPLES_MAX = 20  # differences named in a dry run; the counts have all
FINDINGS_MAX = 10_000  # of one verification; an archive with more is not worth the rest of the list
assert SEGMENT_BYTES < ARCHIVE_BUFFER_BYTES

# --- Benches ----------------------------------------------------------------------------------------------
BENCH_RECORDS = 160_000  # over 1 s of CPU for the engine: shorter runs measure its warming up
BENCH_RECOVERY_RECORDS = 300_000  # several seconds at the target of 30,000 keys/s
BENCH_LATENCY_S = 30  # of a steady rate: 9,000 samples at 300/s
BENCH_RUN_S_MAX = 240  # one variant; stock needs 5-10 s
PEERS_STALL_S_MAX = 75  # without an output: longer than any peer's session and transaction time-outs together
PEERS_SLOW_S_MAX = 300  # the same while it has not read its input: a JVM may need minutes to join a group
PEERS_SESSION_S = 10  # of every peer's group: a member that was killed is missed for so long
PEERS_STOP_S_MAX = 10  # after SIGTERM; what a peer still writes is not measured
PEERS_SETUP_S_MAX = 600  # fetching and unpacking a peer's packages on a slow line

# --- dip lint and the document (docs/API.md) -------------------------------------------------------------
LINT_BYTES_MAX = 64_000_000  # a file of 10,000 consumption messages; as a tree it takes some 1 GB
LINT_FINDINGS_MAX = 1_000  # nobody reads more, and a mend of the first often mends the rest

# --- Metrics (operations.md 6) --------------------------------------------------------------------------
METRIC_SERIES_MAX = (
    2_000  # of one metric: every participant of the market with some statuses; beyond it `other`
)
METRIC_RECIPIENTS_MAX = 500  # with a histogram each (2 x 19 series); the market has some 200
SILENCE_S_MAX = 60.0  # of the broker or of fetches, before a worker is not ready: a leader change takes 10 s
METRIC_LANES_MAX = (
    50  # lanes in trouble shown one by one, the largest backlog first; all others are in the totals
)
TRACES_REMEMBERED_MAX = (
    20_000  # traces of undelivered copies that a delivery worker knows, where traces are on: 6 MB
)
TRACES_END_S_MAX = (
    3.0  # for the last spans of a process that ends; a pod is killed some time after it is asked to end
)

# --- The console (docs/CONSOLE.md) ------------------------------------------------------------------------
CONSOLE_PASSWORD_CHARS_MIN = 12  # with scrypt below: years of a GPU for a word that is not on a list
CONSOLE_PASSWORD_CHARS_MAX = 256  # more is no password, and hashing costs by its length
CONSOLE_SCRYPT_N = 32_768  # 34 MB and 0.1 s of CPU a try
CONSOLE_LOGINS_AT_ONCE_MAX = 2  # hashing at a time: cores, and 34 MB each
CONSOLE_LOGINS_WAITING_MAX = 20  # two seconds of hashing; more are told to come back
CONSOLE_LOGIN_TRIES_PER_S = 1 / 30  # of wrong passwords, after the burst
CONSOLE_LOGIN_TRIES_BURST = 5  # of one account from one address: people mistype
CONSOLE_LOGIN_TRIES_OF_ADDRESS = 20  # of all accounts: an office behind one address
CONSOLE_LOGINS_WATCHED_MAX = 10_000  # pairs of account and address with wrong tries, 200 bytes each
CONSOLE_COOKIE_CHARS_MAX = 512  # ours have about 200
CONSOLE_FORM_BYTES_MAX = 16_384  # of a POST: a few short fields
CONSOLE_FIELD_CHARS_MAX = 500  # of one field; a reason is a sentence
CONSOLE_LOOK_S = 10.0  # between two looks at the processes: as a monitor does
CONSOLE_LOOKS_KEPT = 180  # half an hour of rates, a few numbers each
CONSOLE_METRICS_BYTES_MAX = 8_000_000  # of one page of /metrics: 500 recipients with histograms have 2 MB
CONSOLE_PROCESSES_MAX = 200  # processes looked at
CONSOLE_CALL_S_MAX = 3.0  # of one page of a process: it answers in milliseconds
CONSOLE_READERS_MAX = 3  # questions that read Kafka at a time, each a thread and a consumer
CONSOLE_WAIT_S_MAX = 15.0  # for one of those places; then the page says so
CONSOLE_FOUND_MAX = 200  # messages or letters on a page; more are asked for more narrowly
CONSOLE_RECORDS_READ_MAX = 500_000  # of one search without an index: some ten seconds
CONSOLE_LANES_SHOWN_MAX = 300  # rows of the page of lanes, those in trouble first
CONSOLE_DRAWN_ROWS_MAX = 60  # rows of a drawing; the table below it has all
CONSOLE_NOTES_MAX = 1_000  # "done" messages that wait for the next page of their session
