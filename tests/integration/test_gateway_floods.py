"""More than anybody can hold, from a vendor: the process of the platform stays small, and lives on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nexusai.testing import Platform
from tests.fixtures.hostile_vendor import LARGE, MEGABYTE, script
from tests.fixtures.wire import WireServer, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SAID: list[Any] = [{"role": "user", "content": "is all well?"}]
CHATS = ["/chat/completions", "/messages"]
VENDORS = ["openai_compatible", "anthropic"]
LONG = 64 * MEGABYTE
ALLOWED = 40 * MEGABYTE
"""What a process may have grown by: allocators keep some of what was freed."""


@pytest.fixture(scope="module")
def vendor() -> Iterator[WireServer]:
    with serving(script) as server:
        yield server


@pytest.fixture(scope="module")
def platform(vendor: WireServer) -> Iterator[Platform]:
    environ = {
        "NEXUS_PROVIDER_BASE_URL": vendor.origin,
        "NEXUS_PROVIDER_API_KEY": "sk-hostile",
        "ANTHROPIC_BASE_URL": vendor.origin,
        "ANTHROPIC_API_KEY": "sk-hostile",
    }
    with Platform(environ) as platform:
        yield platform


@pytest.fixture(scope="module")
def http(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=f"{platform.url}/v1", headers=headers, timeout=60) as http:
        for vendor_name in VENDORS:
            for path in CHATS:
                for stream in (False, True):
                    assert http.post(path, json=asked(vendor_name, "good", stream)).status_code == 200
        yield http


@pytest.fixture(autouse=True)
def nothing_is_left(vendor: WireServer, platform: Platform, http: httpx.Client) -> Iterator[None]:
    """Neither memory, nor a file or socket, nor a connection to the vendor on which something comes."""
    memory, files = resident(platform), open_files(platform)
    yield
    eventually(lambda: vendor.busy == 0)
    assert http.get("/models").status_code == 200
    eventually(lambda: resident(platform) - memory < ALLOWED)
    eventually(lambda: open_files(platform) <= files + 2)  # connections that are kept for the next call


def resident(platform: Platform) -> int:
    pages = Path(f"/proc/{platform.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def open_files(platform: Platform) -> int:
    return len(os.listdir(f"/proc/{platform.pid}/fd"))


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def asked(vendor_name: str, fault: str, stream: bool = False) -> dict[str, Any]:
    return {"model": f"{vendor_name}/{fault}", "messages": SAID, "stream": stream, "max_tokens": 50}


@pytest.mark.parametrize("vendor_name", VENDORS)
def test_an_answer_of_100_megabytes_arrives_and_is_forgotten(http: httpx.Client, vendor_name: str) -> None:
    path = CHATS[VENDORS.index(vendor_name)]
    for _ in range(2):
        with http.stream("POST", path, json=asked(vendor_name, "large")) as answer:
            assert answer.status_code == 200
            assert sum(map(len, answer.iter_raw())) > LARGE


@pytest.mark.parametrize("fault", ["flood", "bomb", "bombs"])
def test_an_answer_that_never_ends_is_refused(http: httpx.Client, fault: str) -> None:
    refused = http.post(CHATS[0], json=asked(VENDORS[0], fault))

    assert refused.status_code == 502
    assert "more than" in refused.json()["error"]["message"], refused.text


@pytest.mark.parametrize(
    ("vendor_name", "path"),
    [  # Anthropic's blocks are held where they are translated: they may have to be given back
        ("openai_compatible", "/chat/completions"),
        ("openai_compatible", "/messages"),
        ("anthropic", "/messages"),
    ],
)
def test_a_stream_is_not_held_whatever_its_length(
    http: httpx.Client, platform: Platform, path: str, vendor_name: str
) -> None:
    before, read = resident(platform), 0
    with http.stream("POST", path, json=asked(vendor_name, "flood", stream=True)) as answer:
        pieces = answer.iter_raw()
        while read < LONG:
            read += len(next(pieces))
        assert resident(platform) - before < ALLOWED


@pytest.mark.parametrize("vendor_name", VENDORS)
def test_a_client_that_does_not_read_holds_the_vendor_up(
    http: httpx.Client, platform: Platform, vendor: WireServer, vendor_name: str
) -> None:
    before, path = resident(platform), CHATS[VENDORS.index(vendor_name)]
    with http.stream("POST", path, json=asked(vendor_name, "flood", stream=True)) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        for _ in range(10):
            time.sleep(0.1)
            assert resident(platform) - before < ALLOWED
        assert vendor.busy == 1
        pieces.close()


@pytest.mark.parametrize("fault", ["one-line", "bomb"])
@pytest.mark.parametrize("vendor_name", VENDORS)
def test_an_event_that_never_ends_is_an_error(http: httpx.Client, vendor_name: str, fault: str) -> None:
    path = CHATS[VENDORS.index(vendor_name)]
    answer = http.post(path, json=asked(vendor_name, fault, stream=True))

    assert answer.status_code == 502 or '"error"' in answer.text.splitlines()[-2]
