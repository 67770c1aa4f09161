"""The embedded platform under load, over HTTP, beside its floor. Prints a table.

    python benchmarks/tasks.py [--seconds 3] [--rounds 5]

Everything runs on this machine: quote ratios and medians. The tasks are `local/simulate`: a no-op, or one
that takes a second. The platform's figures include running the tasks that are submitted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.load import request, send_all, throughput
from nexusai.testing import Platform, _free_port

CONNECTIONS = 64
SLEEPERS = 1000


class Figure(NamedTuple):
    what: str
    value: str
    bar: str = ""
    met: bool = True


def invoke_body(latency: float = 0.0) -> bytes:
    config = {"latency": latency, "tokens": 1}
    body = {
        "task_type": "text_generation",
        "provider": "local",
        "model": "simulate",
        "input": {"prompt": "hi"},
    }
    return json.dumps(body | {"config": config}).encode()


def submission(key: str, latency: float = 0.0) -> bytes:
    return request("POST", "/api/v1/invoke", key, invoke_body(latency), "Prefer: respond-async\r\n")


def submissions(platform: Platform, seconds: float, rounds: int) -> list[Figure]:
    """Submissions per second beside the floor's, in turns, so that a drifting machine hits both."""
    port = _free_port()
    message = submission(platform.api_key)
    floor = subprocess.Popen([sys.executable, str(Path(__file__).with_name("floor.py")), str(port)])
    ours, floors, done = [], [], []
    try:
        _until_open(port)
        for _ in range(rounds):
            begun = time.perf_counter()
            rate = asyncio.run(throughput(platform.port, message, CONNECTIONS, seconds, b"202"))
            _until_idle(platform)
            ours.append(rate.per_second)
            done.append(rate.total / (time.perf_counter() - begun))
            floors.append(asyncio.run(throughput(port, message, CONNECTIONS, seconds, b"202")).per_second)
    finally:
        floor.kill()
    ratios = sorted(a / b for a, b in zip(ours, floors, strict=True))
    ratio = statistics.median(ratios)
    spread = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
    return [
        Figure("submissions/s, 64 connections", f"{statistics.median(ours):,.0f}"),
        Figure("  the floor: a constant, same stack", f"{statistics.median(floors):,.0f}"),
        Figure("  ratio, pair by pair", f"{ratio:.2f} ({spread})", ">= 0.5", ratio >= 0.5),
        Figure("  completed/s, until the last one is", f"{statistics.median(done):,.0f}"),
        Figure("  peak memory after them", f"{_status(platform.pid, 'VmHWM') / 1024:.0f} MiB"),
    ]


def latencies(platform: Platform, count: int = 300) -> list[Figure]:
    """One after the other: a no-op is submitted, then waited for with a long poll."""
    accepted, started, known = [], [], []
    headers = {"Authorization": f"Bearer {platform.api_key}", "Content-Type": "application/json"}
    with httpx.Client(base_url=platform.base_url, headers=headers) as http:
        for _ in range(count):
            begun = time.perf_counter()
            answer = http.post("/invoke", content=invoke_body(), headers={"Prefer": "respond-async"})
            accepted.append(time.perf_counter() - begun)
            task = http.get(f"/tasks/{answer.json()['task_id']}", headers={"Prefer": "wait=30"}).json()
            known.append(time.perf_counter() - begun)
            assert task["status"] == "completed", task
            started.append(_seconds(task["started_at"]) - _seconds(task["created_at"]))
    p50 = _percentile(known, 50)
    return [
        Figure("submit -> accepted, p50 / p99", _pair(accepted)),
        Figure("submit -> start (by the row, 1 ms steps), p50 / p99", _pair(started)),
        Figure("submit -> known to the waiter, p50 / p99", _pair(known), "p50 <= 10 ms", p50 <= 0.010),
    ]


def sleepers(platform: Platform) -> list[Figure]:
    """A thousand tasks of one second, submitted at once, until the last is known to be completed."""
    took = asyncio.run(_sleepers(platform))
    return [Figure("1,000 tasks of 1 s at once, wall", f"{took:.2f} s", "<= 2.2 s", took <= 2.2)]


async def _sleepers(platform: Platform) -> float:
    limits = httpx.Limits(max_connections=CONNECTIONS)
    headers = {"Authorization": f"Bearer {platform.api_key}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(
        base_url=platform.base_url, headers=headers, limits=limits, timeout=60
    ) as http:
        begun = time.perf_counter()
        message = submission(platform.api_key, latency=1.0)
        await send_all(platform.port, message, CONNECTIONS, SLEEPERS, b"202")
        return await _all_completed(http, SLEEPERS) - begun


async def _all_completed(http: httpx.AsyncClient, count: int) -> float:
    """Wait for the newest task, then look at all; the time when the last was known to be completed."""
    newest = (await http.get("/tasks", params={"limit": 1})).json()["data"][0]["task_id"]
    await http.get(f"/tasks/{newest}", headers={"Prefer": "wait=30"})
    while (await http.get("/tasks", params={"limit": 1, "status": "running"})).json()["data"]:
        await asyncio.sleep(0.005)  # the list cannot be waited for
    moment = time.perf_counter()
    seen: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next_cursor": None}
    while len(seen) < count:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = (await http.get("/tasks", params={"limit": 100, **cursor})).json()
        seen += page["data"]
    slept = [_seconds(task["finished_at"]) - _seconds(task["started_at"]) for task in seen[:count]]
    assert {task["status"] for task in seen[:count]} == {"completed"}
    assert min(slept) > 0.99, min(slept)
    return moment


def idle(platform: Platform, seconds: float = 10.0) -> list[Figure]:
    """CPU of the platform with nothing to do."""
    time.sleep(1)
    before, begun = _cpu(platform.pid), time.perf_counter()
    time.sleep(seconds)
    share = 100 * (_cpu(platform.pid) - before) / (time.perf_counter() - begun)
    return [Figure("idle CPU", f"{share:.2f} %", "<= 0.5 %", share <= 0.5)]


def memory(platform: Platform) -> list[Figure]:
    peak = _status(platform.pid, "VmHWM") / 1024
    return [Figure("peak memory (resident)", f"{peak:.0f} MiB", "<= 160 MiB", peak <= 160)]


def start_up() -> list[Figure]:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        with Platform():
            times.append(time.perf_counter() - begun)
    median = statistics.median(times)
    return [Figure("first start, no configuration, until it answers", f"{median:.2f} s", "< 2 s", median < 2)]


def _until_open(port: int) -> None:
    for _ in range(200):
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError("the floor did not start")


def _until_idle(platform: Platform) -> None:
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    for status in ("queued", "running"):
        url = f"{platform.base_url}/tasks?limit=1&status={status}"
        while httpx.get(url, headers=headers).json()["data"]:
            time.sleep(0.1)


def _seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _pair(values: list[float]) -> str:
    return f"{_percentile(values, 50) * 1000:.1f} / {_percentile(values, 99) * 1000:.1f} ms"


def _cpu(pid: int) -> float:
    """Seconds of processor time of a process, from /proc (Linux)."""
    import os

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    """A size of a process in KiB, from /proc (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RuntimeError(f"no {name} for {pid}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one throughput run")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of throughput runs")
    options = parser.parse_args()
    figures = start_up()
    with Platform() as platform:
        for measure in (idle, latencies, sleepers, memory):
            figures += measure(platform)
            print(f"{measure.__name__}: done", file=sys.stderr)
        figures += submissions(platform, options.seconds, options.rounds)
    print(f"{'':52}{'measured':>24}   bar")
    for figure in figures:
        verdict = f"{figure.bar:<14}{'met' if figure.met else 'MISSED'}" if figure.bar else ""
        print(f"{figure.what:<52}{figure.value:>24}   {verdict}")


if __name__ == "__main__":
    main()
