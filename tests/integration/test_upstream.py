"""The platform in front of a provider that speaks OpenAI's protocol: a fake one, in a process of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image as Picture

from nexusai import TaskCancelledError, TaskFailedError
from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream

Use = Callable[..., Any]


@pytest.fixture(autouse=True)
def well_again(connected_sdk: Use) -> None:
    """A good call, so that the faults of several tests in a row do not open the provider's circuit."""
    connected_sdk(lambda client: client.text.generate("How are you?"))


def test_a_chat_goes_to_the_provider_by_default(connected_sdk: Use) -> None:
    text = connected_sdk(lambda client: client.text.generate("你好 world", system="Be brief."))
    assert (text.provider, text.model) == ("openai_compatible", "echo")
    assert "world" in text.text
    assert text.usage.source == "provider"


def test_a_chat_streams_through(connected_sdk: Use) -> None:
    def read(client: Any) -> Any:
        stream = client.text.stream("one two three four")
        return read_async(stream) if hasattr(stream, "__aiter__") else "".join(chunk.text for chunk in stream)

    async def read_async(stream: Any) -> str:
        return "".join([chunk.text async for chunk in stream])

    assert connected_sdk(read) == "one two three four"


def test_an_image_of_the_provider_is_stored_and_linked(connected_sdk: Use, tmp_path: Path) -> None:
    image = connected_sdk(lambda client: client.images.generate("a cat"))
    path = connected_sdk(lambda client: client.files.download(image.file_id, tmp_path / "cat.png"))
    with Picture.open(path) as picture:
        assert picture.size == (image.width, image.height)


def test_speech_of_the_provider_has_its_length(connected_sdk: Use) -> None:
    speech = connected_sdk(lambda client: client.audio.synthesize("hello"))
    assert speech.format == "wav"
    assert speech.duration > 0


def test_a_busy_provider_is_asked_again(connected_sdk: Use, upstream: Upstream) -> None:
    prompt = f"busy {time.monotonic()}"
    text = connected_sdk(lambda client: client.text.generate(f"{prompt} [[status=503 times=1]]"))
    assert text.text == prompt
    calls = [call for call in upstream.calls("/v1/chat/completions") if prompt in str(call["body"])]
    assert [call["status"] for call in calls] == [503, 200]


@pytest.mark.parametrize(
    ("directive", "code", "retryable"),
    [
        ("[[status=400]]", "INVALID_REQUEST", False),
        ("[[status=401]]", "PROVIDER_ERROR", False),
        ("[[status=429 retry_after=0]]", "RATE_LIMIT_EXCEEDED", True),
        ("[[status=500]]", "PROVIDER_ERROR", True),
        ("[[html]]", "PROVIDER_ERROR", True),
        ("[[drop=0]]", "PROVIDER_ERROR", True),
    ],
)
def test_a_provider_s_failure_is_the_task_s(
    connected_sdk: Use, directive: str, code: str, retryable: bool
) -> None:
    with pytest.raises(TaskFailedError) as caught:
        connected_sdk(lambda client: client.text.generate(f"fail {directive}"))
    assert (caught.value.error_code, caught.value.retryable) == (code, retryable)


def test_the_provider_s_key_is_in_no_error(connected_sdk: Use, upstream: Upstream) -> None:
    with pytest.raises(TaskFailedError) as caught:
        connected_sdk(lambda client: client.text.generate("fail [[status=401]]"))
    assert upstream.api_key not in f"{caught.value!r} {caught.value} {caught.value.task!r}"


def test_an_unknown_model_is_the_caller_s_mistake(connected_sdk: Use) -> None:
    with pytest.raises(TaskFailedError, match="no-such-model"):
        connected_sdk(lambda client: client.text.generate("x", model="no-such-model"))


def test_cancelling_a_task_hangs_up_on_the_provider(connected: Platform, upstream: Upstream) -> None:
    prompt = f"hang {time.monotonic()}"

    def call() -> list[dict[str, Any]]:
        return [call for call in upstream.calls("/v1/chat/completions") if prompt in str(call["body"])]

    with connected.client() as client:
        handle = client.text.generate_async(f"{prompt} [[hang]]")
        cancelled = threading.Timer(0.2, lambda: client.tasks.cancel(handle.id))
        cancelled.start()
        with pytest.raises(TaskCancelledError):
            handle.wait(20)
        cancelled.join()
    deadline = time.monotonic() + 5
    while not call()[0]["hung_up"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert len(call()) == 1


@pytest.mark.parametrize("wait", ["wait=30", "respond-async"])
def test_the_callers_trace_goes_along_to_the_provider(
    connected: Platform, upstream: Upstream, wait: str
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {
        "Authorization": f"Bearer {connected.api_key}",
        "Prefer": wait,
        "traceparent": parent,
        "tracestate": "mine=1",
    }
    prompt = f"traced {wait} {time.monotonic()}"
    body = {"task_type": "text_generation", "input": {"prompt": prompt}}
    with httpx.Client(base_url=connected.base_url, headers=headers, trust_env=False) as http:
        task = http.post("/invoke", json=body).json()["task_id"]
        http.get(f"/tasks/{task}", headers={"Prefer": "wait=30"})
    [call] = [call for call in upstream.calls() if prompt in str(call["body"])]
    assert (call["headers"]["traceparent"], call["headers"]["tracestate"]) == (parent, "mine=1")
