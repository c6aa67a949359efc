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
MESSAGE_BYTES_MAX = 2_000_000  # IF-021 with its 200 days is 0.75 MB; a Kafka record must hold it with its envelope
JSON_DEPTH_MAX = 32  # the deepest published message has 9 levels
RECORD_BYTES_MAX = 4_000_000  # message.max.bytes of our topics and clients: egress adds D0 and A0
assert MESSAGE_BYTES_MAX < RECORD_BYTES_MAX

# --- Keeping (design.md 5, protocol.md 13) --------------------------------------------------------------
RETENTION_DAYS = 14  # online retention of the published targets; the window in which a duplicate is known
RETENTION_MARGIN_DAYS = 1  # a pointer into a topic must outlive the longest hold

# --- The local stack (operations.md 4, 5) ---------------------------------------------------------------
FETCH_THREADS = 16  # 91 small jars: the wait is round trips, not bytes; 13 s against 27 s with 8
FETCH_TIMEOUT_S_MAX = 30  # one silent connection; a whole download may take longer
FETCH_TRIES_MAX = 3  # a dropped connection in 92 downloads is not news
STACK_START_S_MAX = 90  # ready in 4 s alone; a loaded 2-core machine that compiles meanwhile is slow
STACK_START_TRIES_MAX = 3  # a free port can be taken between choosing and binding
CHILD_STOP_S_MAX = 20  # an orderly broker shutdown takes 1-3 s; then it is killed, which it survives
CHILD_RESTARTS_MAX = 5  # a process that crashes more often than this needs a human
CHILD_RESTART_DELAYS_S = (0.5, 1, 2, 4, 8)
assert len(CHILD_RESTART_DELAYS_S) == CHILD_RESTARTS_MAX
