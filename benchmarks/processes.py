"""What processes use, children included, from /proc (Linux)."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

__all__ = ["cpu_seconds", "memory_kib", "pin"]

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process with all of its threads, and of its children that ended or run."""
    spent = 0.0
    for each in _family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            spent += sum(int(field) for field in fields[11:15]) / TICK
    return spent


def memory_kib(pid: int) -> tuple[int, int]:
    """Resident and proportional size of a process and its children."""
    resident = proportional = 0
    for each in _family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            sizes = dict(
                re.findall(r"^(Rss|Pss): +(\d+)", Path(f"/proc/{each}/smaps_rollup").read_text(), re.M)
            )
            resident += int(sizes["Rss"])
            proportional += int(sizes["Pss"])
    return resident, proportional


def pin(cores: set[int]) -> None:
    """Keep this process, and those that it starts from now on, to some cores."""
    if cores:
        os.sched_setaffinity(0, cores)


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, children.read_text().split())
    return found
