"""The SDK beside httpx, openai and replicate, on this machine. Prints a table.

    python benchmarks/sdk.py [--rounds 9]

All of them take turns against the same server in a process of its own, and only the processor time of the
process that asks counts. How late a result is, the clock says, against the embedded platform.
`pip install -e '.[bench]'` installs those that are compared; one that is missing is named and left out.
Linux alone.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.answers import TASK_ID
from benchmarks.sdk_requests import asynchronous, synchronous
from benchmarks.turns import Row, in_turns, print_table, row
from nexusai import NexusAIClient
from nexusai.testing import Platform, _free_port

COLUMNS = ("nexusai", "httpx", "openai", "replicate")
UPLOAD = 256 << 20
SIMULATE: Any = {"provider": "local", "model": "simulate"}

IMPORTS = {
    "nexusai": "import nexusai",
    "httpx": "import httpx, pydantic",
    "openai": "import openai",
    "replicate": "import replicate",
}
FIRST_ANSWERS = {
    "nexusai": "import nexusai; nexusai.NexusAIClient('nxs_1', '{url}/api/v1').tasks.get('{task}')",
    "httpx": "import httpx, pydantic; httpx.Client().get('{url}/api/v1/tasks/{task}').json()",
    "openai": "import openai; openai.OpenAI(api_key='x', base_url='{url}/v1').models.retrieve('simulate')",
}
UPLOADS = {
    "nexusai": "import nexusai; up = nexusai.NexusAIClient('nxs_1', '{url}/api/v1').files.upload",
    "httpx": "import httpx; c = httpx.Client(base_url='{url}', timeout=60)\n"
    "up = lambda p: c.post('/files', files={{'file': open(p, 'rb')}})",
    "openai": "import openai, pathlib; c = openai.OpenAI(api_key='x', base_url='{url}/v1')\n"
    "up = lambda p: c.files.create(file=pathlib.Path(p), purpose='batch')",
}
ASYNC_UPLOADS = {
    "nexusai": "import asyncio, nexusai; c = nexusai.AsyncNexusAIClient('nxs_1', '{url}/api/v1')\n"
    "up = lambda p: asyncio.run(c.files.upload(p))",
}
IMPORTING = """
import os, time
pages = lambda: int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before, begun = pages(), time.perf_counter()
{code}
print(time.perf_counter() - begun, pages() - before)
"""
UPLOADING = """
import re, sys
size = lambda name: int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
{code}
up(sys.argv[1])
open("/proc/self/clear_refs", "w").write("5")
before = size("VmRSS")
up(sys.argv[2])
print(size("VmHWM") - before)
"""

SLEEPING = """
import socket, struct, time
writer = socket.create_connection(("127.0.0.1", {port}))
time.sleep({seconds})
writer.sendall(struct.pack("d", time.time()))
"""


def present(contestants: Mapping[str, Any]) -> dict[str, Any]:
    """Those whose packages are here."""
    return {name: work for name, work in contestants.items() if find_spec(name)}


def child(code: str, *arguments: str) -> list[float]:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(number) for number in done.stdout.split()]


def imports(url: str, rounds: int) -> Iterator[Row]:
    """Time and memory of an import, and of the way to a first answer, each in a new process."""
    for what, codes in (("import", IMPORTS), ("import to first answer", FIRST_ANSWERS)):
        sizes: dict[str, list[float]] = {name: [] for name in codes}

        def timed(name: str, code: str, sizes: dict[str, list[float]] = sizes) -> float:
            seconds, size = child(IMPORTING.format(code=code.format(url=url, task=TASK_ID)))
            sizes[name].append(size / 2**20)
            return seconds * 1000

        contestants = present({name: lambda n=name, c=code: timed(n, c) for name, code in codes.items()})
        measured = in_turns(rounds, contestants)
        bar = "<= 60 ms, <= 0.1 x openai" if codes is IMPORTS else ""
        within = _quick if bar else _any
        yield row(f"{what}, ms", measured, "{:.1f}", beside="openai", bar=bar, met=within)
        yield row(f"{what}, MiB", {name: sizes[name] for name in contestants}, "{:.1f}", beside="openai")


def _quick(ours: float, ratio: float) -> bool:
    return ours <= 60 and not ratio > 0.1  # no openai, no ratio


def _any(ours: float, ratio: float) -> bool:
    return True


def uploads(url: str, _rounds: int) -> Iterator[Row]:
    """What a file of 256 MiB adds to the memory of the process that sends it, at its peak."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        small.write_bytes(b"0")
        with large.open("wb") as file:
            file.truncate(UPLOAD)
        for kind, codes in (("sync", UPLOADS), ("async", ASYNC_UPLOADS)):
            added = {
                name: [child(UPLOADING.format(code=code.format(url=url)), str(small), str(large))[0] / 2**20]
                for name, code in present(codes).items()
            }
            what = f"upload of 256 MiB, {kind}, MiB added"
            yield row(what, added, "{:.1f}", bar="<= 8 MiB", met=lambda ours, _: ours <= 8)


def lateness() -> Iterator[Row]:
    """From the end of a task, by its own `finished_at` (in whole milliseconds), to the return of the call."""
    with Platform() as platform, platform.client() as client:
        trip = _round_trip(platform)
        yield Row("round trip to the platform, ms", {"nexusai": f"{trip:.1f}"})
        for latency, times in ((0.3, 7), (3.1, 3)):
            config = {"latency": latency, "tokens": 1}
            asleep = [_woken_late(latency) for _ in range(times)]
            yield Row(
                f"late, eight bytes after {latency} s, ms", {"nexusai": f"{statistics.median(asleep):.1f}"}
            )

            def generate(config: Any = config) -> Any:
                return client.text.generate("hi", **SIMULATE, config=config), time.time()

            async def generate_async(config: Any = config) -> Any:
                async with platform.async_client() as other:
                    return await other.text.generate("hi", **SIMULATE, config=config), time.time()

            for kind, work in (("sync", generate), ("async", lambda: asyncio.run(generate_async()))):
                late = {"nexusai": [_late(client, *work()) for _ in range(times)]}
                what, bar = f"late, a task of {latency} s, {kind}, ms", "<= one round trip + 10 ms"
                yield row(what, late, "{:.1f}", bar=bar, met=lambda ours, _: ours <= trip + 10)


def _late(client: NexusAIClient, text: Any, returned: float) -> float:
    finished = client.tasks.get(text.task_id).finished_at
    assert finished is not None
    return (returned - finished.timestamp()) * 1000


def _woken_late(seconds: float) -> float:
    """Milliseconds from the writing to the reading of a socket that was silent: what waking up takes here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = SLEEPING.format(port=server.getsockname()[1], seconds=seconds)
        with subprocess.Popen([sys.executable, "-c", code]) as child, server.accept()[0] as reader:
            (written,) = struct.unpack("d", reader.recv(8))
            late = time.time() - written
            child.wait()
    return late * 1000


def _round_trip(platform: Platform) -> float:
    """Milliseconds of a small request, by httpx."""
    with httpx.Client(headers={"Authorization": f"Bearer {platform.api_key}"}) as http:
        taken = []
        for _ in range(50):
            begun = time.perf_counter()
            http.get(f"{platform.base_url}/tasks", params={"limit": 1}).raise_for_status()
            taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


@contextmanager
def answers() -> Iterator[str]:
    """A server of constants in a process of its own; its address."""
    port = _free_port()
    command = [sys.executable, str(Path(__file__).with_name("answers.py")), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contestant")
    rounds = parser.parse_args().rounds
    missing = [name for name in COLUMNS if not find_spec(name)]
    if missing:
        print(f"Not here and left out: {', '.join(missing)}. pip install -e '.[bench]'", file=sys.stderr)
    rows: list[Row] = []
    with answers() as url:
        for measure in (imports, synchronous, asynchronous, uploads):
            rows += measure(url, rounds)
            print(f"{measure.__name__}: done", file=sys.stderr)
    rows += lateness()
    print_table(rows, COLUMNS)


if __name__ == "__main__":
    main()
