from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from nexusai.error import ConfigurationError
from nexusai.testing import Platform

KEPT_AWAY = {
    "OPENAI_API_KEY": "sk-real",
    "OPENAI_BASE_URL": "https://x",
    "HF_API_TOKEN": "t",
    "NEXUS_LEASE": "soon",
}


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Started where it would not start, and would spend money, if it took this environment over."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in KEPT_AWAY.items():
            environment.setenv(name, value)
        with Platform({"NEXUS_SYNC_WAIT": "5"}) as platform:
            yield platform


def test_it_answers_its_clients(platform: Platform):
    with platform.client() as client:
        assert client.text.generate("hello", provider="local", model="simulate").text


async def test_it_answers_its_asynchronous_clients(platform: Platform):
    async with platform.async_client() as client:
        assert (await client.text.generate("hello", provider="local", model="simulate")).text


def test_it_says_where_it_is_and_which_process(platform: Platform):
    assert platform.running
    assert httpx.get(f"{platform.base_url}/health").status_code == 200
    assert f"Nexus AI is listening on {platform.url}" in platform.log
    os.kill(platform.pid, 0)


def test_no_vendor_is_called(platform: Platform):
    with platform.client() as client:
        assert client.text.generate("Hello.").provider == "local"


def test_starting_it_again_changes_nothing(platform: Platform):
    pid = platform.pid

    platform.start()

    assert platform.pid == pid


def test_it_comes_back_with_its_data_after_a_kill(platform: Platform):
    with platform.client() as client:
        task_id = client.text.generate_async("hello", provider="local", model="simulate").wait().task_id
        platform.kill()
        assert not platform.running
        with pytest.raises(ConfigurationError, match="not running"):
            _ = platform.pid

        platform.start()

        assert client.tasks.get(task_id).status == "completed"


def test_its_end_can_be_waited_for(platform: Platform):
    os.kill(platform.pid, signal.SIGTERM)

    assert platform.wait_for_exit() == 0

    assert not platform.running
    platform.start()


def test_closing_it_removes_its_folder_and_may_be_done_twice():
    platform = Platform()
    platform.close()
    platform.close()

    assert not platform.home.exists()
    assert not platform.running


def test_one_that_cannot_start_says_why_and_leaves_nothing():
    platform = Platform({"NEXUS_HEARTBEAT": "never"})

    with pytest.raises(ConfigurationError, match="NEXUS_HEARTBEAT"), platform:
        raise AssertionError("it did start")

    assert not platform.home.exists()


def test_one_that_does_not_start_in_time_is_killed():
    platform = Platform()
    with pytest.raises(ConfigurationError, match="did not start"):
        platform.start(timeout=0.001)

    assert not platform.running
    platform.close()
