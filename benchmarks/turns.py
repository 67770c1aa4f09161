"""Several contestants measured in turns, so that a drifting machine hits all of them, and a table of it."""

from __future__ import annotations

import gc
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["Row", "in_turns", "print_table", "row"]

OURS = "nexusai"


class Row(NamedTuple):
    """One line of the table. `ratio` is ours to the contestant that the bar names, pair by pair."""

    what: str
    values: Mapping[str, str]
    ratio: str = ""
    bar: str = ""
    met: bool = True


def in_turns(rounds: int, contestants: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """What each measures, `rounds` times, after a turn that does not count.

    Nobody pays for another's garbage.
    """
    for contestant in contestants.values():
        contestant()
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            gc.collect()
            measured[name].append(contestant())
    return measured


def row(
    what: str,
    measured: Mapping[str, Sequence[float]],
    form: str,
    *,
    beside: str | None = None,
    bar: str = "",
    met: Callable[[float, float], bool] = lambda ours, ratio: True,
) -> Row:
    """Medians, and the median of our ratios to `beside`; `met` gets our median and that."""
    ratios = [a / b for a, b in zip(measured[OURS], measured.get(beside or "", ()), strict=False)]
    ratio = statistics.median(ratios) if ratios else float("nan")
    values = {name: form.format(statistics.median(numbers)) for name, numbers in measured.items()}
    shown = f"{ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else ""
    return Row(what, values, shown, bar, met(statistics.median(measured[OURS]), ratio))


def print_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    print(f"{'medians':<40}" + "".join(f"{name:>13}" for name in columns) + f"{'ratio':>20}   bar")
    for line in rows:
        cells = "".join(f"{line.values.get(name, ''):>13}" for name in columns)
        verdict = f"{line.bar:<28}{'met' if line.met else 'MISSED'}" if line.bar else ""
        print(f"{line.what:<40}{cells}{line.ratio:>20}   {verdict}".rstrip())
    if not all(line.met for line in rows):
        print("A bar was missed: is the machine busy?", file=sys.stderr)
