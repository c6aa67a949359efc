"""The bounds of the archive, each with its reason; all others are in `pipeline.limits`."""

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
FINDINGS_MAX = 10_000  # of one verification; an archive with more is not worth the rest of the list
assert SEGMENT_BYTES < ARCHIVE_BUFFER_BYTES
