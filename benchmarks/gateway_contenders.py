"""The gateways that are measured, each a process of its own before the same upstream."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.gateway_upstream import MODEL
from nexusai import NexusAIClient
from nexusai.testing import _free_port, _is_foreign

__all__ = ["NAMES", "Contender", "missing", "running", "upstream"]

ROOT = Path(__file__).resolve().parents[1]
LITELLM = ROOT / ".venv/litellm/bin/litellm"
PORTKEY = ROOT / ".venv/portkey/node_modules/@portkey-ai/gateway"
NAMES = ("nexusai", "bare", "litellm", "portkey")
PATIENCE = 120.0
PLENTY = 1_000_000_000


@dataclass(frozen=True)
class Contender:
    """A server that takes chats at `/v1/chat/completions`."""

    name: str
    pid: int
    port: int
    key: str = "sk-bench"
    model: str = MODEL
    headers: str = ""
    about: str = ""
    admin: str = ""
    """A key that may read the usage, where there is one."""


def missing(name: str) -> str:
    """Why a contender cannot be run here; nothing when it can."""
    if name == "litellm" and not LITELLM.exists():
        return "it is not installed: `make bench-gateway` does that"
    if name == "portkey" and not shutil.which("node"):
        return "there is no node here"
    if name == "portkey" and not PORTKEY.exists():
        return "it is not installed: `make bench-gateway` does that"
    return ""


@contextmanager
def upstream(folder: Path) -> Iterator[Contender]:
    """The vendor, which is a contender too: the floor of what a request can take."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.gateway_upstream", str(port)]
    with _process("upstream", command, port, folder, "/") as pid:
        yield Contender("upstream", pid, port, about="the vendor itself, without a gateway")


@contextmanager
def running(name: str, upstream_url: str, folder: Path) -> Iterator[Contender]:
    """One gateway, from its start to its end; its log is in the folder."""
    start = {"nexusai": _nexusai, "bare": _bare, "litellm": _litellm, "portkey": _portkey}[name]
    with start(upstream_url, folder, _free_port()) as contender:
        yield contender


@contextmanager
def _nexusai(upstream_url: str, folder: Path, port: int) -> Iterator[Contender]:
    home, first = folder / "home", f"nxs_{secrets.token_urlsafe(32)}"
    command = [
        sys.executable,
        "-m",
        "nexusai",
        "serve",
        "--port",
        str(port),
        "--data-dir",
        str(home / "data"),
    ]
    environ = {
        "NEXUS_HOME": str(home),
        "NEXUS_BOOTSTRAP_API_KEY": first,
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": upstream_url,
    }
    with _process("nexusai", command, port, folder, "/health", environ) as pid:
        with NexusAIClient(first, f"http://127.0.0.1:{port}/api/v1") as client:
            key = client.keys.create(
                "bench",
                allowed_models=["openai/*"],
                rate_limits={
                    "requests_per_minute": PLENTY,
                    "tokens_per_minute": PLENTY * 1000,
                    "concurrent_tasks": 10_000,
                },
                budget={"per_day": PLENTY, "per_month": PLENTY},
            )
        about = (
            f"nexusai serve {_version('nexusai')} as it comes, with: key check, allowed models, requests and "
            "tokens per minute, calls at once, budgets per day and month, cost, a row of usage and a line of "
            "the log for each call, metrics"
        )
        assert key.api_key is not None
        yield Contender("nexusai", pid, port, key.api_key, f"openai/{MODEL}", about=about, admin=first)


@contextmanager
def _bare(upstream_url: str, folder: Path, port: int) -> Iterator[Contender]:
    command = [sys.executable, "-m", "benchmarks.gateway_bare", str(port), upstream_url]
    with _process("bare", command, port, folder, "/") as pid:
        about = "Starlette, aiohttp, uvicorn, uvloop, httptools: a body in, a body out, nothing else"
        yield Contender("bare", pid, port, about=about)


@contextmanager
def _litellm(upstream_url: str, folder: Path, port: int) -> Iterator[Contender]:
    """With one key and no database, callbacks or budgets: the least that it can be asked to do."""
    settings, key = folder / "litellm.json", f"sk-{secrets.token_hex(24)}"
    parameters = {"model": f"openai/{MODEL}", "api_base": upstream_url, "api_key": "sk-upstream"}
    written = {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "general_settings": {"master_key": key},
        "litellm_settings": {"request_timeout": 600, "set_verbose": False},
    }
    settings.write_text(json.dumps(written))  # JSON is YAML too
    command = [str(LITELLM), "--config", str(settings), "--host", "127.0.0.1", "--port", str(port)]
    environ = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "DO_NOT_TRACK": "1",
    }
    with _process(
        "litellm", [*command, "--num_workers", "1"], port, folder, "/health/liveliness", environ
    ) as pid:
        about = (
            f"its proxy {_version('litellm', LITELLM.parent)}, one worker, one key, no database, no budget"
        )
        yield Contender("litellm", pid, port, key, about=about)


@contextmanager
def _portkey(upstream_url: str, folder: Path, port: int) -> Iterator[Contender]:
    version = json.loads((PORTKEY / "package.json").read_text())["version"]
    command = ["node", str(PORTKEY / "build/start-server.js"), f"--port={port}", "--headless"]
    environ = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    with _process("portkey", command, port, folder, "/", environ) as pid:
        headers = f"x-portkey-provider: openai\r\nx-portkey-custom-host: {upstream_url}\r\n"
        about = f"its gateway {version}, the key given on, no limits, no usage"
        yield Contender("portkey", pid, port, headers=headers, about=about)


@contextmanager
def _process(
    name: str,
    command: Sequence[str],
    port: int,
    folder: Path,
    path: str,
    environ: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """A server that answers, by its process id; it is asked to end afterwards, and made to."""
    own = {key: value for key, value in os.environ.items() if not _is_foreign(key)}
    own |= {"PYTHONPATH": str(ROOT), **(environ or {})}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=own, cwd=folder
        )
        try:
            _until_open(process, f"http://127.0.0.1:{port}{path}", folder / f"{name}.log")
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_open(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            httpx.get(url, timeout=5)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"{log.stem} did not start:\n{log.read_text()[-2000:]}")


def _version(package: str, binaries: Path | None = None) -> str:
    """Of a package in another environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    python = str(binaries / "python") if binaries else sys.executable
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()
