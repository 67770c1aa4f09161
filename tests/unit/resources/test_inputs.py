from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest

from nexusai.error import InvalidRequestError
from nexusai.models import File
from nexusai.resources._inputs import MOST_INLINE, with_pictures

PNG = b"\x89PNG\r\n\x1a\n" + bytes(9)
USER = {"role": "user", "content": "What is it?"}


def part(picture: Any) -> Any:
    """What one picture becomes in a message."""
    (message,) = with_pictures([USER], [picture])
    return message["content"][1]


def data_uri(media_type: str, data: bytes) -> dict[str, Any]:
    url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def test_pictures_follow_the_text_of_the_user():
    (message,) = with_pictures([USER], ["file_1", "https://a.test/b.png"])
    assert message == {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "file_id", "file_id": "file_1"},
            {"type": "image_url", "image_url": {"url": "https://a.test/b.png"}},
        ],
    }


def test_pictures_belong_to_what_the_user_said_last():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}]},
        {"role": "tool", "content": "42"},
    ]
    seen = with_pictures(messages, ["file_1"])
    assert [len(message["content"]) for message in seen] == [9, 2, 5, 2, 2]
    assert messages[3]["content"] == [{"type": "text", "text": "What is it?"}]


def test_no_pictures_are_fine():
    (message,) = with_pictures([USER], [])
    assert message["content"] == [{"type": "text", "text": "What is it?"}]


def test_a_user_who_only_shows_something():
    (message,) = with_pictures([{"role": "user"}], ["file_1"])
    assert message["content"] == [{"type": "file_id", "file_id": "file_1"}]


def test_pictures_without_a_user_are_refused():
    with pytest.raises(InvalidRequestError, match="messages has none"):
        with_pictures([{"role": "system", "content": "Be brief."}], ["file_1"])


@pytest.mark.parametrize("given", ["photo.png", PNG, Path("photo.png"), 7])
def test_one_picture_alone_is_no_list(given: Any):
    with pytest.raises(TypeError, match=r'images is a list, like images=\["photo.png"\], not'):
        with_pictures([USER], given)


def test_a_stored_file_is_named_by_its_id():
    assert part(File(file_id="file_7")) == {"type": "file_id", "file_id": "file_7"}


def test_a_data_uri_is_passed_on():
    assert part("data:image/png;base64,AAAA") == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,AAAA"},
    }


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\x0a\n\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_the_type_of_a_picture_is_read_from_it(data: bytes, media_type: str):
    assert part(data) == data_uri(media_type, data)


def test_a_local_picture_is_read(tmp_path: Path):
    path = tmp_path / "file_1.png"
    path.write_bytes(PNG)
    for given in (path, str(path), bytearray(PNG), io.BytesIO(PNG), ("a.png", PNG)):
        assert part(given) == data_uri("image/png", PNG)


def test_another_type_is_told_by_the_name_or_by_the_caller(tmp_path: Path):
    path = tmp_path / "a.bmp"
    path.write_bytes(b"BM......")
    assert part(path) == data_uri("image/bmp", b"BM......")
    assert part(("a", b"BM......", "image/x-bitmap")) == data_uri("image/x-bitmap", b"BM......")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        part(tmp_path / "none.png")


def test_what_is_no_picture_is_named():
    with pytest.raises(InvalidRequestError, match=r"images\[0\] is no picture that is known here"):
        part(b"%PDF-1.7")
    with pytest.raises(TypeError, match=r"a file is a path, bytes, an open file.*not int"):
        part(7)


def test_all_pictures_together_have_a_limit(tmp_path: Path):
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(PNG)
        file.truncate(MOST_INLINE - 10)
    with pytest.raises(InvalidRequestError, match=r"images\[1\] is too large: .* 20 MiB.*files\.upload"):
        with_pictures([USER], [path, PNG, PNG])
