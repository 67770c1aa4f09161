from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from nexusai import AsyncTTSResponse, TTSResponse
from nexusai.error import InvalidRequestError
from tests.fixtures.sdk import Both

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
