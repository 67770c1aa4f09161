"""The platform as a gateway, beside LiteLLM's, Portkey's and a bare pass-through. Prints a table.

    python benchmarks/gateway.py [--quick] [--only nexusai,bare] [--rounds 5] [--seconds 2]

Every gateway is one process before the same upstream, and takes its turn at each load in each round; they
run on one core, the load and the upstream on another. Ours has key check, limits, budgets, usage and cost
switched on. Every answer is looked at whole. `added` is what comes on top of the upstream's own time, round
by round. Quote ratios: they are taken pair by pair, within a round. Linux alone.

`make bench-gateway` puts the others into .venv/litellm and .venv/portkey; one that is missing is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gateway_contenders import NAMES, Contender, missing, running, upstream
from benchmarks.gateway_load import Outcome, is_stream_of, is_whole, run
from benchmarks.gateway_table import Memory, Sample, print_memory, print_table, print_verdicts
from benchmarks.load import request
from benchmarks.processes import cpu_seconds, memory_kib, pin
from nexusai import NexusAIClient

SETTLING = 0.4
"""Seconds after a load, for what a server writes behind it."""

T = TypeVar("T")


class Shape(NamedTuple):
    """One kind of load."""

    name: str
    connections: int
    chunks: int = 0
    pause: int = 0
    """Milliseconds between the chunks."""


SHAPES = (
    Shape("1", 1),
    Shape("16", 16),
    Shape("64", 64),
    Shape("stream", 16, 100),
    Shape("slow stream", 16, 40, 10),
)


@dataclass(frozen=True)
class Options:
    rounds: int
    seconds: float
    requests: int
    body: int
    only: Sequence[str]
    memory: bool


def message(contender: Contender, shape: Shape, size: int) -> bytes:
    """A chat of some turns, about `size` bytes of it."""
    said = "The lamp is lit at dusk and put out at dawn; who does that, and what is it that they burn? "
    turns: list[dict[str, str]] = [
        {"role": "system", "content": f"You answer in short. chunks={shape.chunks} pause={shape.pause}"}
    ]
    turns += [
        {"role": "assistant" if number % 2 else "user", "content": (said * 7)[:512]}
        for number in range(max(1, size // 512))
    ]
    body: dict[str, Any] = {
        "model": contender.model,
        "messages": turns,
        "temperature": 0.2,
        "max_tokens": 400,
    }
    if shape.chunks:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return request(
        "POST", "/v1/chat/completions", contender.key, json.dumps(body).encode(), contender.headers
    )


class Bench:
    """The gateways that run, and what each answered."""

    def __init__(self, contenders: Sequence[Contender], options: Options) -> None:
        self.contenders = contenders
        self.options = options
        self.answered = dict.fromkeys((each.name for each in contenders), 0)
        self.faults: dict[str, dict[str, int]] = {}

    def load(self, contender: Contender, shape: Shape, seconds: float, count: int = 0) -> Outcome:
        check = is_stream_of(shape.chunks) if shape.chunks else is_whole
        sent = message(contender, shape, self.options.body)
        work = run(contender.port, sent, check, shape.connections, seconds=seconds, count=count)
        outcome = _on_uvloop(work)
        self.answered[contender.name] += outcome.answered
        faults = self.faults.setdefault(contender.name, {})
        for fault, times in outcome.faults.items():
            faults[fault] = faults.get(fault, 0) + times
        return outcome

    def warm(self) -> None:
        for contender in self.contenders:
            for shape in SHAPES:
                self.load(contender, shape, 1.0)

    def sample(self, contender: Contender, shape: Shape) -> Sample:
        before = cpu_seconds(contender.pid)
        outcome = self.load(contender, shape, self.options.seconds)
        time.sleep(SETTLING)
        cpu = cpu_seconds(contender.pid) - before
        return Sample.of(outcome, cpu)

    def rounds(self) -> dict[str, dict[str, list[Sample]]]:
        """Samples by shape and name; every other round goes backwards, so that no place in it is the best."""
        found: dict[str, dict[str, list[Sample]]] = {
            shape.name: {each.name: [] for each in self.contenders} for shape in SHAPES
        }
        for number in range(self.options.rounds):
            turns = self.contenders[::-1] if number % 2 else self.contenders
            for shape in SHAPES:
                for contender in turns:
                    gc.collect()
                    found[shape.name][contender.name].append(self.sample(contender, shape))
            _say(f"round {number + 1} of {self.options.rounds}: done")
        return found

    def memory(self, contender: Contender) -> Memory:
        """At rest, and after a tenth, a half and all of many requests."""
        total = self.options.requests
        steps = [total // 10, total // 2 - total // 10, total - total // 2]
        sizes = [memory_kib(contender.pid)]
        for count in steps:
            self.load(contender, SHAPES[1], 0, count)
            time.sleep(SETTLING)
            sizes.append(memory_kib(contender.pid))
        _say(f"{contender.name}, {total:,} requests for its memory: done")
        return Memory(*sizes)


def usage_of(contender: Contender) -> int:
    """How many calls the platform wrote down."""
    with NexusAIClient(contender.admin, f"http://127.0.0.1:{contender.port}/api/v1") as client:
        return sum(row.requests for row in client.usage.get(group_by="model"))


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, _interrupted)
    cores = sorted(os.sched_getaffinity(0))
    servers, others = ({cores[0]}, set(cores[1:3])) if len(cores) > 1 else (set[int](), set[int]())
    with tempfile.TemporaryDirectory(prefix="bench-") as written, ExitStack() as stack:
        folder = Path(written)
        pin(others)
        vendor = stack.enter_context(upstream(folder))
        pin(servers)
        url = f"http://127.0.0.1:{vendor.port}/v1"
        gateways = [stack.enter_context(running(name, url, folder)) for name in options.only]
        pin(others)
        bench = Bench([*gateways, vendor], options)
        time.sleep(1)
        memory = {each.name: bench.memory(each) for each in gateways} if options.memory else {}
        gc.disable()
        bench.warm()
        found = bench.rounds()
        _report(bench, found, memory)


def _report(bench: Bench, found: dict[str, dict[str, list[Sample]]], memory: dict[str, Memory]) -> None:
    for each in bench.contenders:
        print(f"{each.name}: {each.about}")
    print_table(found, [each.name for each in bench.contenders])
    print_memory(memory, bench.options.requests)
    print_verdicts(found, memory)
    for each in bench.contenders:
        faults = bench.faults[each.name]
        print(f"{each.name}: {bench.answered[each.name]:,} good answers, {sum(faults.values()):,} faults")
        for fault, times in faults.items():
            print(f"    {times:,} x {fault}")
        if each.admin:
            print(f"    and {usage_of(each):,} calls in its usage")


def _on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    loop = uvloop.new_event_loop()
    task = loop.create_task(work)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # an exception in a protocol's callback would go no further
        loop.add_signal_handler(number, task.cancel)
    try:
        return loop.run_until_complete(task)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        loop.close()
        signal.signal(signal.SIGTERM, _interrupted)  # the loop has put back the default


def _options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="two short rounds and 2,000 requests")
    parser.add_argument("--only", default=",".join(NAMES), help=f"of {','.join(NAMES)}")
    parser.add_argument("--rounds", type=int, help="turns of each gateway at each load (5)")
    parser.add_argument("--seconds", type=float, help="length of a turn (2)")
    parser.add_argument("--requests", type=int, help="after which memory is looked at (50,000)")
    parser.add_argument("--body", type=int, default=4096, help="bytes of messages in a request (4096)")
    parser.add_argument("--skip-memory", action="store_true", help="leave those requests out")
    given = parser.parse_args()
    quick = given.quick
    return Options(
        rounds=given.rounds or (2 if quick else 5),
        seconds=given.seconds or (1.0 if quick else 2.0),
        requests=given.requests or (2_000 if quick else 50_000),
        body=given.body,
        only=_present(given.only.replace("ours", "nexusai").split(","), parser),
        memory=not given.skip_memory,
    )


def _present(names: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    for name in names:
        if name not in NAMES:
            parser.error(f"--only takes {', '.join(NAMES)}, not {name!r}")
        if missing(name):
            _say(f"{name} is left out: {missing(name)}")
    return [name for name in names if not missing(name)]


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _say(what: str) -> None:
    print(what, file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
