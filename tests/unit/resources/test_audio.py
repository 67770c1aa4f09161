from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from freezegun import freeze_time
from pytest_httpx import HTTPXMock

from nexusai import AsyncTTSResponse, TranscriptionResponse, TTSResponse
from nexusai.error import InvalidRequestError, TaskTimeoutError
from nexusai.models import File
from tests.fixtures.sdk import BASE, Both

OUTPUT = {"audio_url": "https://files.test/a.wav", "file_id": "file_1", "format": "wav", "duration": 1.5}


@pytest.mark.parametrize("name", ["synthesize", "text_to_speech"])
def test_a_text_is_spoken(name: str, sdk: Both, httpx_mock: HTTPXMock):
    httpx_mock.add_response(method="POST", status_code=202, json={"task_id": "task_1", "status": "queued"})
    httpx_mock.add_response(method="GET", json={"task_id": "task_1", "status": "completed", "output": OUTPUT})
    speech: Any = sdk(
        lambda client: getattr(client.audio, name)("Hello", voice="en", speed=1.2, format="wav")
    )

    assert isinstance(speech, AsyncTTSResponse if sdk.asynchronous else TTSResponse)
    assert (speech.audio_url, speech.file_id, speech.duration) == ("https://files.test/a.wav", "file_1", 1.5)
    assert json.loads(httpx_mock.get_requests()[0].content) == {
        "task_type": "text_to_speech",
        "input": {"text": "Hello"},
        "config": {"voice": "en", "speed": 1.2, "format": "wav"},
    }


def test_an_empty_text_is_refused(sdk: Both):
    with pytest.raises(InvalidRequestError, match="text is empty"):
        sdk(lambda client: client.audio.synthesize(""))


HEARD = {
    "text": "Hello, world.",
    "language": "en",
    "duration": 1.5,
    "segments": [{"start": 0, "end": 0.7, "text": "Hello,"}, {"start": 0.7, "end": 1.5, "text": "world."}],
}


def hear(httpx_mock: HTTPXMock, output: dict[str, Any] = HEARD) -> None:
    accepted = {"task_id": "task_1", "status": "queued"}
    httpx_mock.add_response(method="POST", url=f"{BASE}/invoke", status_code=202, json=accepted)
    httpx_mock.add_response(method="GET", json={"task_id": "task_1", "status": "completed", "output": output})


def store(httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(method="POST", url=f"{BASE}/files", status_code=201, json={"file_id": "file_7"})


def invoked(httpx_mock: HTTPXMock) -> Any:
    return json.loads(httpx_mock.get_requests(url=f"{BASE}/invoke")[0].content)


def test_a_local_sound_is_uploaded_and_written_down(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    (tmp_path / "hello.wav").write_bytes(b"RIFF....WAVE")
    store(httpx_mock)
    hear(httpx_mock)
    heard = sdk(
        lambda client: client.audio.transcribe(tmp_path / "hello.wav", language="en", timestamps=True)
    )

    assert isinstance(heard, TranscriptionResponse)
    assert (str(heard), heard.language, heard.duration, heard.task_id) == (
        "Hello, world.",
        "en",
        1.5,
        "task_1",
    )
    assert [(part.start, part.end, part.text) for part in heard.segments] == [
        (0, 0.7, "Hello,"),
        (0.7, 1.5, "world."),
    ]
    assert b'filename="hello.wav"' in httpx_mock.get_requests()[0].content
    assert invoked(httpx_mock) == {
        "task_type": "speech_to_text",
        "input": {"file_id": "file_7"},
        "config": {"language": "en", "timestamps": True},
    }


@pytest.mark.parametrize(
    "given", [{"file_id": "file_7"}, {"file": "file_7"}, {"file": File(file_id="file_7")}]
)
def test_a_stored_sound_is_written_down_as_it_is(given: dict[str, Any], sdk: Both, httpx_mock: HTTPXMock):
    hear(httpx_mock, {"text": "Hi"})
    heard = sdk(lambda client: client.audio.transcribe(**given))
    assert (heard.text, heard.segments) == ("Hi", None)
    assert invoked(httpx_mock)["input"] == {"file_id": "file_7"}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, InvalidRequestError, "there is neither"),
        ({"file": b"x", "file_id": "file_7"}, InvalidRequestError, "there is both"),
        ({"file": "https://a.test/b.wav"}, InvalidRequestError, "file is a path.*and no URL"),
        ({"file": 7}, TypeError, "a file is a path.*not int"),
        ({"file_id": ""}, InvalidRequestError, "file_id is empty"),
    ],
)
def test_what_cannot_be_heard_is_refused_before_anything_is_sent(
    given: dict[str, Any], error: type[Exception], message: str, sdk: Both, httpx_mock: HTTPXMock
):
    with pytest.raises(error, match=message):
        sdk(lambda client: client.audio.transcribe(**given))
    assert httpx_mock.get_requests() == []


def test_upload_and_transcription_share_one_time(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    with freeze_time("2025-01-01", real_asyncio=True) as clock:

        def slow(_: httpx.Request) -> httpx.Response:
            clock.tick(4)
            return httpx.Response(201, json={"file_id": "file_7"})

        httpx_mock.add_callback(slow, url=f"{BASE}/files")
        accepted = {"task_id": "task_1", "status": "queued"}
        httpx_mock.add_response(method="POST", url=f"{BASE}/invoke", status_code=202, json=accepted)
        httpx_mock.add_response(method="GET", json=accepted, is_reusable=True)
        with pytest.raises(TaskTimeoutError, match="after 6 s"):
            sdk(lambda client: client.audio.transcribe(b"x", timeout=6))
    assert httpx_mock.get_requests(url=f"{BASE}/invoke")[0].extensions["timeout"]["read"] == 2
