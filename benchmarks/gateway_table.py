"""The table of benchmarks/gateway.py."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.gateway_load import Outcome

__all__ = ["Memory", "Sample", "print_memory", "print_table", "print_verdicts"]

OURS, BARE, UPSTREAM = "nexusai", "bare", "upstream"
STREAMS = {"stream": 100, "slow stream": 40}
KiB = tuple[int, int]


class Sample(NamedTuple):
    """One turn of one gateway; seconds."""

    per_second: float
    p50: float
    p99: float
    first_p50: float
    first_p99: float
    cpu: float
    """Of the server, for one answer."""

    @classmethod
    def of(cls, outcome: Outcome, cpu: float) -> Sample:
        taken, first = sorted(outcome.taken), sorted(outcome.first)
        answers = outcome.answered or 1
        return cls(
            outcome.per_second, _at(taken, 50), _at(taken, 99), _at(first, 50), _at(first, 99), cpu / answers
        )


class Memory(NamedTuple):
    """Resident and proportional size in KiB."""

    rest: KiB
    tenth: KiB
    half: KiB
    whole: KiB


Samples = Mapping[str, Mapping[str, Sequence[Sample]]]


def _at(values: Sequence[float], percent: int) -> float:
    """NaN where nothing was answered."""
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else float("nan")


def _rows(found: Samples) -> Iterable[tuple[str, str, Callable[[Sample, Sample], float], str]]:
    """What, of which load, from a sample and the upstream's of that round, and how it is written."""
    for shape in ("1", "16", "64"):
        plural = "" if shape == "1" else "s"
        yield f"requests/s, {shape} connection{plural}", shape, lambda own, _: own.per_second, "{:,.0f}"
        yield "  added latency p50, ms", shape, lambda own, base: 1e3 * (own.p50 - base.p50), "{:,.2f}"
        yield "  added latency p99, ms", shape, lambda own, base: 1e3 * (own.p99 - base.p99), "{:,.2f}"
        yield "  CPU, us/request", shape, lambda own, _: 1e6 * own.cpu, "{:,.0f}"
    yield "chunks/s, 16 streams of 100", "stream", lambda own, _: 100 * own.per_second, "{:,.0f}"
    yield "  CPU, us/stream", "stream", lambda own, _: 1e6 * own.cpu, "{:,.0f}"
    yield "chunks/s, 16 streams, 10 ms a chunk", "slow stream", lambda own, _: 40 * own.per_second, "{:,.0f}"
    first = "slow stream"
    yield (
        "  added to first chunk p50, ms",
        first,
        lambda own, base: 1e3 * (own.first_p50 - base.first_p50),
        "{:,.2f}",
    )
    yield (
        "  added to first chunk p99, ms",
        first,
        lambda own, base: 1e3 * (own.first_p99 - base.first_p99),
        "{:,.2f}",
    )
    yield "  CPU, us/chunk", "slow stream", lambda own, _: 1e6 * own.cpu / 40, "{:,.0f}"


def print_table(found: Samples, names: Sequence[str]) -> None:
    """Medians, and below the rates the least and the most of all rounds."""
    print(f"\n{'medians (below: least-most)':<40}" + "".join(f"{name:>17}" for name in names))
    for what, shape, value, form in _rows(found):
        figures = {
            name: [
                value(own, base) for own, base in zip(found[shape][name], found[shape][UPSTREAM], strict=True)
            ]
            for name in names
        }
        bare_of_sense = UPSTREAM if "added" in what else ""
        cells = {name: form.format(statistics.median(each)) for name, each in figures.items()}
        print(
            f"{what:<40}" + "".join(f"{'' if name == bare_of_sense else cells[name]:>17}" for name in names)
        )
        if not what.startswith(" ") or "CPU" in what:
            spans = [f"{form.format(min(each))}-{form.format(max(each))}" for each in figures.values()]
            print(" " * 40 + "".join(f"{span:>17}" for span in spans))


def print_memory(memory: Mapping[str, Memory], requests: int) -> None:
    if not memory:
        return
    print(f"\n{'memory, MiB resident / proportional':<40}" + "".join(f"{name:>17}" for name in memory))
    marks = ("at rest", f"after {requests // 10:,}", f"after {requests // 2:,}", f"after {requests:,}")
    for at, mark in enumerate(marks):
        print(f"  {mark:<38}" + "".join(f"{_mib(each[at]):>17}" for each in memory.values()))


def _mib(size: KiB) -> str:
    return f"{size[0] / 1024:.1f} / {size[1] / 1024:.1f}"


def print_verdicts(found: Samples, memory: Mapping[str, Memory]) -> None:
    """Ours to the others, pair by pair, beside the bars."""
    print(f"\n{'ours to the others, pair by pair':<52}{'median (least-most)':>26}   bar")
    rates = found["16"]
    for name, least in (("litellm", 20.0), ("portkey", 3.0)):
        if name in rates:
            _verdict(
                f"requests/s to {name}'s, 16 connections",
                _ratios(rates, name, "per_second"),
                f">= {least:g}",
                lambda r, b=least: r >= b,
            )
            _verdict(f"chunks/s to {name}'s, 16 streams", _ratios(found["stream"], name, "per_second"))
            times = [1 / ratio for ratio in _ratios(rates, name, "cpu")]
            _verdict(f"CPU per request, {name}'s to ours, at 16", times)
    if BARE in rates:
        for shape in ("16", "1", "64"):
            ratios = _ratios(found[shape], BARE, "cpu")
            _verdict(f"CPU per request to bare, at {shape}", ratios, "<= 1.5", lambda r: r <= 1.5)
        for shape in STREAMS:
            ratios = _ratios(found[shape], BARE, "cpu")
            _verdict(f"CPU per {shape} to bare", ratios, "<= 1.5", lambda r: r <= 1.5)
    if OURS in memory:
        grown = memory[OURS].whole[0] / memory[OURS].tenth[0]
        _verdict("resident memory, all requests to a tenth", [grown], "<= 1.05", lambda r: r <= 1.05)
    print()


def _ratios(samples: Mapping[str, Sequence[Sample]], name: str, what: str) -> list[float]:
    pairs = zip(samples.get(OURS, ()), samples[name], strict=False)
    return [getattr(own, what) / getattr(other, what) for own, other in pairs if getattr(other, what)]


def _verdict(
    what: str, ratios: Sequence[float], bar: str = "", met: Callable[[float], bool] = lambda _: True
) -> None:
    if not ratios:
        return
    ratio = statistics.median(ratios)
    shown = f"{ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    verdict = f"{bar:<10}{'met' if met(ratio) else 'MISSED'}" if bar else ""
    print(f"{what:<52}{shown:>26}   {verdict}".rstrip())
