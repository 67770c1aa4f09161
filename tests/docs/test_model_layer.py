"""The guide to the model layer runs from its first line to its last, against a vendor like OpenAI."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nexusai.providers import errors
from tests.docs.test_documents import ROOT, blocks
from tests.docs.test_providers import run

DOCUMENT = "docs/model_layer.md"
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


class Vendor(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != "Bearer sk-reader":
            return self._answer(401, {"error": {"message": "Incorrect API key"}}, {})
        if "busy" in body["messages"][-1]["content"]:
            return self._answer(429, {"error": {"message": "Too many requests"}}, {"retry-after": "90"})
        if body.get("stream"):
            return self._stream("Sunlight, mostly.")
        choice = {"index": 0, "message": self._message(body), "finish_reason": "stop"}
        return self._answer(200, {"id": "1", "model": body["model"], "choices": [choice], "usage": USAGE}, {})

    def _message(self, body: Any) -> Any:
        if body.get("response_format", {}).get("type") == "json_schema":
            fields = body["response_format"]["json_schema"]["schema"]["properties"]
            known = {"name": "Paris", "inhabitants": 2_100_000}
            return {"role": "assistant", "content": json.dumps({name: known[name] for name in fields})}
        if body.get("tools"):
            written = {"language": "python", "code": "print(sum(range(101)))"}
            function = {"name": body["tools"][0]["function"]["name"], "arguments": json.dumps(written)}
            call = {"id": "call_1", "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        return {"role": "assistant", "content": "Whale oil."}

    def _stream(self, text: str) -> None:
        deltas = [{"choices": [{"delta": {"content": f"{word} "}}]} for word in text.split()]
        last = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE}
        events = b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in [*deltas, last])
        self._send(200, "text/event-stream", events + b"data: [DONE]\n\n", {})

    def _answer(self, status: int, body: Any, headers: Any) -> None:
        self._send(status, "application/json", json.dumps(body).encode(), headers)

    def _send(self, status: int, kind: str, body: bytes, headers: Any) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def vendor() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Vendor) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_the_guide_runs(tmp_path: Path, vendor: str):
    told = run(tmp_path, DOCUMENT, OPENAI_API_KEY="sk-reader", OPENAI_BASE_URL=vendor).splitlines()
    assert told[0] == "Whale oil."
    assert told[1].startswith("stop 13 Cost(")
    assert told[2].strip() == "Sunlight, mostly."
    assert "Paris" in told
    assert "python print(sum(range(101)))" in told
    assert any(
        "the budget of tag 'search' is 1e-05 USD, of which 2.05e-05 are spent" in line for line in told
    )
    assert "local text" in told
    assert "openai gpt-5.4-mini 429 90.0" in told
    assert float(told[-1]) > 0


def test_a_block_is_run_or_says_why_not():
    for block in blocks(DOCUMENT):
        assert block.language in ("python", "shell"), block.line
        assert not block.note or block.note.startswith("not run: "), block.line


def test_the_guide_lists_every_error():
    page = (ROOT / DOCUMENT).read_text("utf-8")
    assert all(f"`{name}`" in page for name in errors.__all__)
