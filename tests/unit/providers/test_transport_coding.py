"""Compressed bodies, unpacked as they come."""

from __future__ import annotations

import gzip
import zlib

import pytest

from nexusai.providers.transport_coding import Unpacking, unpacking


def unpacked(coding: str, *pieces: bytes) -> bytes:
    unpack = Unpacking(coding)
    text = b"".join(map(unpack.feed, pieces))
    unpack.end()
    return text


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_body_is_unpacked_however_it_is_cut(cut: int) -> None:
    body = gzip.compress(b"all is well")
    assert unpacked("gzip", body[:cut], body[cut:]) == b"all is well"


def test_bodies_one_after_the_other_are_one() -> None:
    assert unpacked("gzip", gzip.compress(b"all ") + gzip.compress(b"is ") + gzip.compress(b"well")) == (
        b"all is well"
    )


def test_what_follows_the_body_and_is_none_is_left() -> None:
    assert unpacked("gzip", gzip.compress(b"all is well") + bytes(8)) == b"all is well"


def test_what_follows_the_body_without_end_is_not_kept() -> None:
    with pytest.raises(zlib.error, match="after the end"):
        unpacked("gzip", gzip.compress(b"all is well"), *[bytes(1024)] * 100)


@pytest.mark.parametrize("wbits", [zlib.MAX_WBITS, -zlib.MAX_WBITS], ids=["with its header", "bare"])
def test_deflate_comes_with_and_without_its_header(wbits: int) -> None:
    pack = zlib.compressobj(wbits=wbits)
    assert unpacked("deflate", pack.compress(b"all is well") + pack.flush()) == b"all is well"


def test_half_a_body_is_none() -> None:
    with pytest.raises(EOFError):
        unpacked("gzip", gzip.compress(b"all is well")[:-9])


@pytest.mark.parametrize(
    "bomb",
    [gzip.compress(bytes(64 * 1024 * 1024), 1), gzip.compress(bytes(1024 * 1024)) * 64],
    ids=["one", "one after the other"],
)
def test_a_little_that_would_be_very_much_is_not_unpacked(bomb: bytes) -> None:
    with pytest.raises(zlib.error, match="more than"):
        unpacked("gzip", bomb)


def test_other_codings_are_passed_on() -> None:
    assert unpacking({"content-encoding": "identity"}) is None
