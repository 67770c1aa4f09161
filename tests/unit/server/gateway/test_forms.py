from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import UploadFile
from starlette.requests import Request

from nexusai.server.gateway import forms
from nexusai.server.gateway.forms import fields_of, form_of, sizes_of
from nexusai.server.http import ClientGone, Problem

HEAD = {"content-type": "multipart/form-data; boundary=x"}


def part(name: str, value: str, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"\r\nContent-Type: image/png' if filename else ""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n{value}\r\n'.encode()


def request(*pieces: bytes, gone: bool = False, **headers: str) -> Request:
    messages: list[Any] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if gone else {"type": "http.request", "body": b""})
    told = HEAD | {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = [(name.encode(), value.encode()) for name, value in told.items()]

    async def receive() -> Any:
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "path": "/", "headers": pairs}, receive)


async def read(asked: Request) -> Any:
    async with form_of(asked, 2, 1000) as form:
        return form


async def test_fields_and_files_are_told_apart():
    asked = request(part("prompt", "a boat"), part("image", "bytes", "a.png"), b"--x--\r\n")
    async with form_of(asked, 2, 1000) as form:
        assert isinstance(form["image"], UploadFile)
        assert fields_of(form) == {"prompt": "a boat"}
        assert sizes_of(form) == {"prompt": "a boat", "image": "[image/png, 5 bytes]"}


@pytest.mark.parametrize("length", [{}, {"content_length": "10"}, {"content_length": "5000"}])
async def test_a_form_is_bounded_whatever_it_says_of_its_length(
    monkeypatch: pytest.MonkeyPatch, length: dict[str, str]
):
    monkeypatch.setattr(forms, "LARGEST", 1000)
    asked = request(
        part("image", "x" * 600, "a.png"), part("mask", "x" * 600, "b.png"), b"--x--\r\n", **length
    )
    with pytest.raises(Problem) as refused:
        await read(asked)
    assert refused.value.code == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"no form at all"],
        [part("prompt", "x" * 2000), b"--x--\r\n"],
        [*(part(f"f{n}", "x", "a.png") for n in range(5)), b"--x--\r\n"],
    ],
    ids=["not one", "a long field", "many files"],
)
async def test_a_form_that_cannot_be_read_is_a_400(pieces: list[bytes]):
    with pytest.raises(Problem) as refused:
        await read(request(*pieces))
    assert refused.value.code == "INVALID_REQUEST"


async def test_nobody_is_answered_who_left_in_the_middle():
    with pytest.raises(ClientGone):
        await read(request(part("prompt", "a boat"), gone=True))
