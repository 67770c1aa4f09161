"""Ids: a prefix that names the kind, then a part that sorts by the time it was made."""

from __future__ import annotations

import os
import random
import time

# Unique is enough: an id opens nothing. Asking the system for each gives up the interpreter lock (20 µs).
_chance = random.Random(os.urandom(32))


def new_id(prefix: str) -> str:
    """`prefix_` and 32 hex digits: 14 of microseconds since 1970, 18 of chance."""
    return f"{prefix}_{time.time_ns() // 1000:014x}{_chance.getrandbits(72):018x}"
