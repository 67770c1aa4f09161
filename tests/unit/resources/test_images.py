from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from freezegun import freeze_time
from PIL import Image as Picture
from pytest_httpx import HTTPXMock

from nexusai import AsyncImage, Image
from nexusai.error import (
    APIError,
    APITimeoutError,
    ConfigurationError,
    InvalidRequestError,
    TaskFailedError,
    TaskTimeoutError,
)
from nexusai.models import File
from tests.fixtures.sdk import BASE, KEY, Both

OUTPUT = {"image_url": "https://files.test/sunset.png", "width": 1024, "height": 768}


def accept(httpx_mock: HTTPXMock, task_id: str = "task_123", **options: Any) -> None:
    httpx_mock.add_response(
        method="POST",
        url=f"{BASE}/invoke",
        status_code=202,
        json={"task_id": task_id, "status": "queued"},
        **options,
    )


def finish(
    httpx_mock: HTTPXMock, task_id: str = "task_123", status: str = "completed", **fields: Any
) -> None:
    httpx_mock.add_response(
        method="GET", url=f"{BASE}/tasks/{task_id}", json={"task_id": task_id, "status": status, **fields}
    )


def body(httpx_mock: HTTPXMock) -> Any:
    return json.loads(httpx_mock.get_requests()[0].content)


def test_an_image_is_generated_and_waited_for(sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    finish(httpx_mock, output=OUTPUT)
    image = sdk(lambda client: client.images.generate("A beautiful sunset"))

    assert isinstance(image, AsyncImage if sdk.asynchronous else Image)
    assert (image.image_url, image.width, image.height) == (OUTPUT["image_url"], 1024, 768)
    assert image.task_id == "task_123"
    assert body(httpx_mock) == {"task_type": "image_generation", "input": {"prompt": "A beautiful sunset"}}


def test_a_task_that_never_ends_is_a_timeout_at_poll_timeout(
    sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    accept(httpx_mock)
    httpx_mock.add_response(
        method="GET",
        url=f"{BASE}/tasks/task_123",
        json={"task_id": "task_123", "status": "running"},
        is_reusable=True,
    )
    with freeze_time("2025-01-01", real_asyncio=True), pytest.raises(APITimeoutError) as raised:
        sdk(lambda client: client.images.generate("A beautiful sunset"), poll_timeout=10)

    assert isinstance(raised.value, TaskTimeoutError)
    assert raised.value.task.status == "running"
    assert "task_123 is still running after 10 s" in str(raised.value)
    assert sum(naps) == pytest.approx(10)


def test_a_clock_that_moves_ends_the_wait_as_well(naps: list[float], httpx_mock: HTTPXMock):
    accept(httpx_mock)
    httpx_mock.add_response(method="GET", json={"task_id": "task_123", "status": "running"}, is_reusable=True)
    with freeze_time("2025-01-01", auto_tick_seconds=1), pytest.raises(APITimeoutError):
        Both(asynchronous=False)(lambda client: client.images.generate("A beautiful sunset", timeout=60))


def test_a_failed_task_is_an_error_with_its_message_and_code(sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    finish(httpx_mock, status="failed", error={"code": "PROVIDER_ERROR", "message": "No paint left."})
    with pytest.raises(APIError, match="No paint left") as raised:
        sdk(lambda client: client.images.generate("A beautiful sunset"))

    assert isinstance(raised.value, TaskFailedError)
    assert raised.value.error_code == "PROVIDER_ERROR"


def test_options_stand_where_the_contract_has_them(sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    finish(httpx_mock, output=OUTPUT)
    sdk(
        lambda client: client.images.generate(
            "A sunset",
            provider="local",
            model="local/image",
            size="1024x768",
            quality=None,
            metadata={"job": "7"},
            task_timeout=20,
            style="oil",
            config={"grain": 2},
        )
    )
    assert body(httpx_mock) == {
        "task_type": "image_generation",
        "input": {"prompt": "A sunset"},
        "provider": "local",
        "model": "local/image",
        "metadata": {"job": "7"},
        "timeout": 20,
        "config": {"grain": 2, "size": "1024x768", "style": "oil"},
    }


@pytest.mark.parametrize("prompt", ["", "  "])
def test_an_empty_prompt_is_refused_before_anything_is_sent(prompt: str, sdk: Both):
    with pytest.raises(InvalidRequestError, match="prompt is empty"):
        sdk(lambda client: client.images.generate(prompt))


def test_a_prompt_is_text(sdk: Both):
    with pytest.raises(TypeError, match="prompt is a str, not int"):
        sdk(lambda client: client.images.generate(7))


def test_many_images_of_one_task(sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    pictures = [{**OUTPUT, "file_id": f"file_{index}", "index": index} for index in range(3)]
    finish(httpx_mock, output={**OUTPUT, "images": pictures, "provider": "local"})
    images = sdk(lambda client: client.images.generate_many("A sunset", 3))

    assert [image.file_id for image in images] == ["file_0", "file_1", "file_2"]
    assert body(httpx_mock)["config"] == {"num_images": 3}


def test_one_image_has_the_file_id_that_stands_in_the_list(sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    finish(httpx_mock, output={**OUTPUT, "images": [{**OUTPUT, "file_id": "file_0", "index": 0}]})
    assert sdk(lambda client: client.images.generate("A sunset")).file_id == "file_0"


def test_more_images_than_a_task_can_make_are_several_tasks(sdk: Both, httpx_mock: HTTPXMock):
    for task_id, count in (("task_1", 8), ("task_2", 2)):
        accept(httpx_mock, task_id)
        finish(httpx_mock, task_id, output={"images": [OUTPUT] * count})
    images = sdk(lambda client: client.images.generate_many("A sunset", 10))

    assert [image.task_id for image in images] == ["task_1"] * 8 + ["task_2"] * 2
    sent = [json.loads(request.content) for request in httpx_mock.get_requests(method="POST")]
    assert [one["config"]["num_images"] for one in sent] == [8, 2]


def test_a_server_that_makes_one_image_at_a_time(sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    finish(httpx_mock, output=OUTPUT)
    assert [image.width for image in sdk(lambda client: client.images.generate_many("A sunset", 1))] == [1024]


def test_no_images_are_refused(sdk: Both):
    with pytest.raises(InvalidRequestError, match="n=0"):
        sdk(lambda client: client.images.generate_many("A sunset", 0))


def test_a_submitted_image_is_waited_for_later(sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    handle = sdk(lambda client: client.images.submit("A sunset"))
    assert (handle.id, handle.status) == ("task_123", "queued")


def media(httpx_mock: HTTPXMock, url: str = "https://files.test/sunset.png?sig=1") -> None:
    accept(httpx_mock)
    finish(httpx_mock, output={**OUTPUT, "image_url": url})
    httpx_mock.add_response(url=url, content=b"PNG")


def generated(sdk: Both, then: Any) -> Any:
    """What `then` makes of an image, while its client is open."""

    async def later(client: Any) -> Any:
        return await then(await client.images.generate("A sunset"))

    return sdk(later if sdk.asynchronous else lambda client: then(client.images.generate("A sunset")))


def test_an_image_is_read_without_the_key(sdk: Both, httpx_mock: HTTPXMock):
    media(httpx_mock)
    assert generated(sdk, lambda image: image.read()) == b"PNG"
    assert KEY not in str(httpx_mock.get_requests()[-1].headers.raw)


def test_an_image_is_saved(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    media(httpx_mock, "http://platform.test/files/f?sig=1")
    path = tmp_path / "sunset.png"
    assert generated(sdk, lambda image: image.save(str(path))) == path
    assert path.read_bytes() == b"PNG"


def png(size: tuple[int, int] = (3, 2)) -> bytes:
    data = io.BytesIO()
    Picture.new("RGB", size).save(data, "PNG")
    return data.getvalue()


def test_an_image_is_opened_by_pillow(sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    finish(httpx_mock, output=OUTPUT)
    httpx_mock.add_response(url=OUTPUT["image_url"], content=png())
    picture = generated(sdk, lambda image: image.to_pil())
    assert (picture.size, picture.format) == ((3, 2), "PNG")


def test_without_pillow_an_image_says_what_to_do(
    sdk: Both, httpx_mock: HTTPXMock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    accept(httpx_mock)
    finish(httpx_mock, output=OUTPUT)
    with pytest.raises(ConfigurationError, match=r"pip install pillow.*read\(\) or save\(path\)"):
        generated(sdk, lambda image: image.to_pil())


def test_many_tasks_of_one_call_have_keys_of_one_make(sdk: Both, httpx_mock: HTTPXMock):
    for task_id, count in (("task_1", 8), ("task_2", 1)):
        accept(httpx_mock, task_id)
        finish(httpx_mock, task_id, output={"images": [OUTPUT] * count})
    sdk(lambda client: client.images.generate_many("A sunset", 9, idempotency_key="order"))
    sent = httpx_mock.get_requests(method="POST")
    assert [one.headers["idempotency-key"] for one in sent] == ["order", "order-1"]


def test_many_images_are_all_cancelled_when_they_are_late(
    sdk: Both, naps: list[float], httpx_mock: HTTPXMock
):
    for task_id in ("task_1", "task_2"):
        accept(httpx_mock, task_id)
        running = {"task_id": task_id, "status": "running"}
        httpx_mock.add_response(
            url=f"{BASE}/tasks/{task_id}", json=running, is_reusable=True, is_optional=True
        )
        cancelled = {"task_id": task_id, "status": "cancelled"}
        httpx_mock.add_response(method="POST", url=f"{BASE}/tasks/{task_id}/cancel", json=cancelled)
    with freeze_time("2025-01-01", real_asyncio=True), pytest.raises(TaskTimeoutError) as raised:
        sdk(lambda client: client.images.generate_many("A sunset", 9, timeout=3, on_timeout="cancel"))
    assert "Task task_2 was asked to stop and is cancelled." in raised.value.message
    assert raised.value.handle.status == "cancelled"


def test_the_progress_of_many_images_is_heard_of_each(sdk: Both, httpx_mock: HTTPXMock):
    for task_id, count in (("task_1", 8), ("task_2", 1)):
        accept(httpx_mock, task_id)
        finish(httpx_mock, task_id, output={"images": [OUTPUT] * count})
    heard: list[str] = []
    sdk(
        lambda client: client.images.generate_many(
            "A sunset", 9, on_progress=lambda task: heard.append(f"{task.id} {task.status}")
        )
    )
    assert heard == ["task_1 queued", "task_1 completed", "task_2 queued", "task_2 completed"]


# Edits


def store(httpx_mock: HTTPXMock, *file_ids: str) -> None:
    for file_id in file_ids:
        httpx_mock.add_response(
            method="POST", url=f"{BASE}/files", status_code=201, json={"file_id": file_id}
        )


def edited(httpx_mock: HTTPXMock) -> Any:
    return json.loads(httpx_mock.get_requests(url=f"{BASE}/invoke")[0].content)


def test_a_local_image_is_uploaded_and_edited(sdk: Both, httpx_mock: HTTPXMock, tmp_path: Path):
    (tmp_path / "sea.png").write_bytes(png())
    store(httpx_mock, "file_sea", "file_mask")
    accept(httpx_mock)
    finish(httpx_mock, output=OUTPUT)
    image = sdk(
        lambda client: client.images.edit(
            "Add a boat", image=tmp_path / "sea.png", mask=("mask.png", png()), quality="high"
        )
    )

    assert isinstance(image, AsyncImage if sdk.asynchronous else Image)
    sent = [str(one.url.path).rpartition("/")[2] for one in httpx_mock.get_requests()]
    assert sent == ["files", "files", "invoke", "task_123"]
    assert b'filename="sea.png"' in httpx_mock.get_requests()[0].content
    assert edited(httpx_mock) == {
        "task_type": "image_generation",
        "input": {"prompt": "Add a boat", "image_file_ids": ["file_sea"], "mask_file_id": "file_mask"},
        "config": {"quality": "high"},
    }


def test_stored_images_are_edited_as_they_are(sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    finish(httpx_mock, output=OUTPUT)
    sdk(
        lambda client: client.images.edit("Mix them", image=["file_1", File(file_id="file_2")], mask="file_3")
    )
    assert edited(httpx_mock)["input"] == {
        "prompt": "Mix them",
        "image_file_ids": ["file_1", "file_2"],
        "mask_file_id": "file_3",
    }


def test_a_key_of_the_callers_own_is_for_the_uploads_too(sdk: Both, httpx_mock: HTTPXMock):
    store(httpx_mock, "file_1", "file_2", "file_3")
    accept(httpx_mock)
    finish(httpx_mock, output=OUTPUT)
    sdk(lambda client: client.images.edit("x", image=[b"a", b"b"], mask=b"c", idempotency_key="order"))
    keys = [one.headers["idempotency-key"] for one in httpx_mock.get_requests(method="POST")]
    assert keys == ["order-image-0", "order-image-1", "order-mask", "order"]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"image": "https://a.test/b.png"}, InvalidRequestError, "image is a path.*and no URL"),
        ({"image": "file_1", "mask": "data:image/png;base64,AA"}, InvalidRequestError, "mask is a path"),
        ({"image": []}, InvalidRequestError, "image is empty"),
        ({"image": 7}, TypeError, "a file is a path.*not int"),
        ({"image": b"a", "prompt": " "}, InvalidRequestError, "prompt is empty"),
    ],
)
def test_a_wrong_edit_is_refused_before_anything_is_sent(
    wrong: dict[str, Any], error: type[Exception], message: str, sdk: Both, httpx_mock: HTTPXMock
):
    with pytest.raises(error, match=message):
        sdk(lambda client: client.images.edit(**{"prompt": "x", **wrong}))
    assert httpx_mock.get_requests() == []


def test_uploads_and_edit_share_one_time(sdk: Both, naps: list[float], httpx_mock: HTTPXMock):
    with freeze_time("2025-01-01", real_asyncio=True) as clock:

        def slow(_: httpx.Request) -> httpx.Response:
            clock.tick(4)
            return httpx.Response(201, json={"file_id": "file_1"})

        httpx_mock.add_callback(slow, url=f"{BASE}/files")
        accept(httpx_mock)
        running = {"task_id": "task_123", "status": "running"}
        httpx_mock.add_response(url=f"{BASE}/tasks/task_123", json=running, is_reusable=True)
        with pytest.raises(TaskTimeoutError, match="after 6 s"):
            sdk(lambda client: client.images.edit("x", image=b"a", timeout=6))
    assert httpx_mock.get_requests(url=f"{BASE}/invoke")[0].extensions["timeout"]["read"] == 2


@pytest.mark.parametrize("n", ["3", 2.0, True])
def test_a_number_of_images_is_a_whole_number(n: Any, sdk: Both):
    with pytest.raises(TypeError, match=f"n is how many pictures.*not {type(n).__name__}"):
        sdk(lambda client: client.images.generate_many("a sea", n))


@pytest.mark.parametrize("link", ["http://[half", "http://a.test:port/x"])
def test_a_link_that_leads_nowhere_is_said(link: str, sdk: Both, httpx_mock: HTTPXMock):
    accept(httpx_mock)
    finish(httpx_mock, output={**OUTPUT, "image_url": link})
    with pytest.raises(APIError, match="link is no URL"):
        generated(sdk, lambda image: image.read())
