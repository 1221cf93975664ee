"""Limit of open files of the process, which bounds the connections that a worker can accept."""

import resource

#: Beyond this number of open files the limit is not raised: some systems allow a billion, for which no tool is made.
MAX_OPEN_FILES = 1_048_576
#: Files that stay free for the store, for models that are loaded, for metrics and logs.
RESERVED_FILES = 128


def raise_limit() -> int:
    """Raise the limit of open files to the hard limit, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
