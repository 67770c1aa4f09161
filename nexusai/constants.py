"""Defaults, once."""

DEFAULT_BASE_URL = "http://localhost:8000/api/v1"
"""The platform that `nexusai serve` starts on this machine."""

DEFAULT_TIMEOUT = 60.0
"""Longest silence in seconds before a request is sent again or given up."""

DEFAULT_MAX_RETRIES = 2
"""How often a request is sent again after it failed in a way that may pass."""

DEFAULT_POLL_INTERVAL = 2.0
"""Longest pause in seconds between two polls of a server that does not hold them."""

DEFAULT_POLL_TIMEOUT = 300.0
"""Seconds a call such as `images.generate` waits for its task, all requests included."""

LONG_POLL = 30
"""Seconds the SDK asks the server to hold a poll (`Prefer: wait=30`; the contract allows 60)."""

MAX_RETRY_AFTER = 60.0
"""A longer `Retry-After` than this many seconds is an error to report, not a pause to make."""

KEY_PREFIX = "nxs_"
"""How every key begins."""
