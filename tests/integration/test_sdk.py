"""What an application does with the SDK, against the platform as a newcomer has it."""

from __future__ import annotations

import inspect
import os
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image as Picture

import nexusai
from nexusai import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
)
from nexusai.testing import Platform

Use = Callable[..., Any]
SIMULATE = {"provider": "local", "model": "simulate"}


def test_a_text_is_generated(sdk: Use) -> None:
    text = sdk(lambda client: client.text.generate("hello", **SIMULATE, config={"tokens": 5}))
    assert len(text.text.split()) == 5
    assert (text.provider, text.model, text.finish_reason) == ("local", "simulate", "stop")
    assert text.usage.completion_tokens == 5
    assert text.cost.amount == 0
    assert text.task_id.startswith("task_")


def test_without_a_provider_the_demo_says_how_to_get_one(sdk: Use) -> None:
    text = sdk(lambda client: client.text.generate("Who are you?"))
    assert "OPENAI_API_KEY" in text.text
    assert text.demo is True


def test_a_stream_gives_the_same_text_in_pieces(sdk: Use) -> None:
    options = {**SIMULATE, "config": {"tokens": 12, "seed": 3}}
    whole = sdk(lambda client: client.text.generate("walk", **options))

    def read(client: Any) -> Any:
        stream = client.text.stream("walk", **options)
        if hasattr(stream, "__aiter__"):
            return read_async(stream)
        with stream:
            pieces = [chunk.text for chunk in stream]
            return pieces, stream.final()

    async def read_async(stream: Any) -> Any:
        async with stream:
            pieces = [chunk.text async for chunk in stream]
            return pieces, await stream.final()

    pieces, final = sdk(read)
    assert "".join(pieces) == final.text == whole.text
    assert len([piece for piece in pieces if piece]) == 12
    assert final.usage.completion_tokens == 12


def test_an_image_is_made_and_saved_from_its_link(sdk: Use, tmp_path: Path) -> None:
    path = tmp_path / "sea.png"

    def make(client: Any) -> Any:
        image = client.images.generate("the sea", size="320x200")
        if inspect.isawaitable(image):
            return make_async(image)
        image.save(path)
        return image

    async def make_async(coming: Any) -> Any:
        image = await coming
        await image.save(path)
        return image

    image = sdk(make)
    assert (image.width, image.height) == (320, 200)
    assert image.image_url.startswith("http://127.0.0.1:")
    with Picture.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (320, 200))


def test_many_images_differ(sdk: Use) -> None:
    images = sdk(lambda client: client.images.generate_many("hills", 3, size="64x64"))
    assert len({image.file_id for image in images}) == 3


def test_speech_is_made_and_downloaded(sdk: Use, tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    speech = sdk(lambda client: client.audio.synthesize("Hello, world."))
    assert sdk(lambda client: client.files.download(speech.file_id, path)) == path
    with wave.open(str(path)) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(speech.duration, abs=0.01)


def test_a_file_goes_up_and_comes_back(sdk: Use) -> None:
    data = bytes(range(256)) * 5000
    file = sdk(lambda client: client.files.upload(("データ.bin", data)))
    assert (file.filename, file.size) == ("データ.bin", len(data))
    assert sdk(lambda client: client.files.get(file.file_id)).sha256 == file.sha256
    assert sdk(lambda client: client.files.download(file.file_id)) == data
    sdk(lambda client: client.files.delete(file.file_id))
    with pytest.raises(NotFoundError):
        sdk(lambda client: client.files.get(file.file_id))


def test_files_are_listed_by_pages_and_iterated_over(sdk: Use) -> None:
    sent = [sdk(lambda client, n=n: client.files.upload((f"{n}.txt", b"x"))).file_id for n in range(5)]
    first = sdk(lambda client: client.files.list(page=1, per_page=2))
    second = sdk(lambda client: client.files.list(page=first.next_page, per_page=2))
    assert [file.file_id for file in [*first, *second]] == sent[:0:-1]
    assert first.total == second.total >= 5

    files = sdk(lambda client: client.files.iter(per_page=2))
    assert [file.file_id for file in files][:5] == sent[::-1]
    assert len(files) == first.total


def test_an_upload_tells_how_far_it_is(sdk: Use) -> None:
    told: list[tuple[int, int | None]] = []
    data = bytes(3_000_000)
    sdk(lambda client: client.files.upload(data, on_progress=lambda *bytes: told.append(bytes)))
    assert (told[0], told[-1]) == ((0, len(data)), (len(data), len(data)))
    assert told == sorted(told)
    assert len(told) > 10


def test_a_pipe_of_unknown_length_is_uploaded(sdk: Use) -> None:
    reader, writer = os.pipe()
    with open(writer, "wb") as end:
        end.write(b"through a pipe")
    with open(reader, "rb") as pipe:
        file = sdk(lambda client: client.files.upload(("pipe.txt", pipe)))
    assert sdk(lambda client: client.files.download(file.file_id)) == b"through a pipe"


def test_a_handle_is_waited_for_in_another_client(sdk: Use) -> None:
    handle = sdk(lambda client: client.text.generate_async("later", **SIMULATE, config={"latency": 0.2}))
    known = handle.to_dict()
    text = sdk(lambda client: client.tasks.attach(known).wait())
    assert text.task_id == handle.id


def test_a_task_that_takes_too_long_goes_on_without_its_caller(sdk: Use) -> None:
    with pytest.raises(TaskTimeoutError) as caught:
        sdk(lambda client: client.text.generate("slow", **SIMULATE, config={"latency": 0.6}, timeout=0.2))
    task = sdk(lambda client: client.tasks.wait(caught.value.task.task_id))
    assert task.status == "completed"


def test_a_running_task_is_cancelled(sdk: Use) -> None:
    handle = sdk(lambda client: client.text.generate_async("stop", **SIMULATE, config={"latency": 60}))
    assert sdk(lambda client: client.tasks.cancel(handle.id)).status == "cancelled"
    with pytest.raises(TaskCancelledError):
        sdk(lambda client: client.tasks.wait(handle.id))


def test_a_completed_task_cannot_be_cancelled(sdk: Use) -> None:
    text = sdk(lambda client: client.text.generate("done", **SIMULATE))
    with pytest.raises(ConflictError, match="completed"):
        sdk(lambda client: client.tasks.cancel(text.task_id))


def test_a_failed_task_tells_why(sdk: Use) -> None:
    fail = {"failure_rate": 1, "error_code": "RATE_LIMIT_EXCEEDED"}
    with pytest.raises(TaskFailedError) as caught:
        sdk(lambda client: client.text.generate("fail", **SIMULATE, config=fail))
    assert (caught.value.error_code, caught.value.retryable) == ("RATE_LIMIT_EXCEEDED", True)


def test_a_task_over_its_own_time_limit_fails(sdk: Use) -> None:
    with pytest.raises(TaskFailedError) as caught:
        sdk(lambda client: client.text.generate("slow", **SIMULATE, config={"latency": 9}, task_timeout=0.1))
    assert caught.value.error_code == "TIMEOUT"


def test_tasks_are_found_by_their_metadata(sdk: Use) -> None:
    label = {"test": f"found {uuid4()}"}
    texts = [sdk(lambda client: client.text.generate("x", **SIMULATE, metadata=label)) for _ in range(3)]
    first = sdk(lambda client: client.tasks.list(metadata=label, limit=2))
    rest = sdk(lambda client: client.tasks.list(metadata=label, limit=2, cursor=first.next_cursor))
    assert [task.task_id for task in [*first.data, *rest.data]] == [text.task_id for text in reversed(texts)]
    assert (first.has_more, rest.has_more) == (True, False)


def test_many_tasks_are_watched_as_they_complete(sdk: Use) -> None:
    handles = [
        sdk(lambda client, n=n: client.text.generate_async("x", **SIMULATE, config={"latency": 0.02 * n}))
        for n in range(20)
    ]
    seen = sdk(lambda client: client.tasks.as_completed(handles))
    assert {handle.id for handle in seen} == {handle.id for handle in handles}
    assert {handle.status for handle in seen} == {"completed"}


def test_an_unknown_task_is_not_found(sdk: Use) -> None:
    with pytest.raises(NotFoundError) as caught:
        sdk(lambda client: client.tasks.get("task_0"))
    assert caught.value.request_id.startswith("req_")


def test_a_wrong_option_is_named(sdk: Use) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        sdk(lambda client: client.text.generate("x", temperature=3))
    assert caught.value.errors[0]["loc"] == ["config", "temperature"]


def test_a_wrong_key_is_refused(sdk: Use) -> None:
    with pytest.raises(AuthenticationError, match="not known"):
        sdk(lambda client: client.text.generate("x"), api_key="nxs_wrong")


def test_module_level_calls_find_the_key_that_serve_left(
    embedded: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_HOME", str(embedded.home))
    nexusai.configure()
    try:
        assert nexusai.text.generate("hello", provider="local", model="simulate").text
        assert "".join(chunk.text for chunk in nexusai.text.stream("x", provider="local", model="simulate"))
    finally:
        nexusai.configure()
