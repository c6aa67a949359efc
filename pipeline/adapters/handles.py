"""File handles of this process: every connection takes one, and the usual soft limit is 1,024."""

import logging
import resource

log = logging.getLogger(__name__)


def allow_handles(count: int) -> int:
    """Raise the soft limit to a count, as far as the hard limit lets us; return how many there may be now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        soft = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < count:
            log.warning(
                "only %d file handles are allowed to this process; raise its hard limit to %d", soft, count
            )
    return count if soft == resource.RLIM_INFINITY else soft
