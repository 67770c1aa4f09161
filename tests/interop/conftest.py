"""LiteLLM's proxy, which translates Anthropic's and Gemini's protocols to OpenAI's, before our fake of that.

`NEXUS_LITELLM` names its executable, in an environment of its own: `make interop` makes it and sets that.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.openai_upstream import Upstream, running_upstream

PATIENCE = 120.0


@dataclass
class Proxy:
    url: str
    api_key: str
    upstream: Upstream


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    program = os.environ.get("NEXUS_LITELLM")
    if not program:
        pytest.skip("LiteLLM is not installed: `make interop` installs it and runs these")
    folder = tmp_path_factory.mktemp("litellm")
    with running_upstream() as upstream, _running(program, folder, upstream) as proxy:
        yield proxy


@contextlib.contextmanager
def _running(program: str, folder: Path, upstream: Upstream) -> Iterator[Proxy]:
    key, port = f"sk-{secrets.token_hex(24)}", _free_port()
    settings = folder / "litellm.yaml"
    settings.write_text(
        "model_list:\n"
        '  - model_name: "*"\n'
        "    litellm_params:\n"
        f'      {{model: "hosted_vllm/*", api_base: "{upstream.base_url}", api_key: {upstream.api_key}}}\n'
        "router_settings: {num_retries: 0, disable_cooldowns: true}\n"
        f"general_settings: {{master_key: {key}}}\n"
    )
    command = [program, "--config", str(settings), "--host", "127.0.0.1", "--port", str(port)]
    environ = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environ)
        try:
            _wait(process, port, folder / "log")
            yield Proxy(f"http://127.0.0.1:{port}", key, upstream)
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as web,
        ):
            web.request("GET", "/health/liveliness")
            if web.getresponse().status == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"LiteLLM's proxy did not start:\n{log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
