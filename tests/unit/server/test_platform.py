from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from nexusai.error import ConfigurationError
from nexusai.providers.setup import load_setup
from nexusai.server.configuration import environment, load
from nexusai.server.data_dir import DataDir
from nexusai.server.platform import Platform
from nexusai.server.providers.opening import Providers
from nexusai.server.settings import Settings
from tests.fixtures.server import metering

VENDOR = {"OPENAI_API_KEY": "sk-test", "NEXUS_PROVIDER_BASE_URL": "http://localhost:1/v1"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("OPENAI_API_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Settings(data_dir=tmp_path / "data")


async def test_the_platform_owns_its_folder_while_it_is_open(settings: Settings):
    platform = Platform(settings)
    await platform.open()
    with pytest.raises(ConfigurationError, match="Another platform"):
        await Platform(settings).open()

    await platform.close()

    data = DataDir(settings.data_dir)
    data.acquire()
    data.release()


async def test_a_platform_that_cannot_open_lets_go_of_its_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NEXUS_PROVIDER_BASE_URL", "not a url")
    with pytest.raises(ConfigurationError, match="NEXUS_PROVIDER_BASE_URL"):
        await Platform(settings).open()

    monkeypatch.delenv("NEXUS_PROVIDER_BASE_URL")
    platform = Platform(settings)
    await platform.open()
    await platform.close()


async def test_keys_and_links_survive_a_new_start(settings: Settings):
    platform = Platform(settings)
    await platform.open()
    key = await platform.keys.create("first")
    file_id = await platform.files.keep("proj_default", "a.png", b"png", "image/png")
    link = platform.files.link(file_id, "http://x")
    await platform.close()

    platform = Platform(settings)
    await platform.open()
    try:
        assert await platform.keys.is_known(key)
        expires, signature = (part.partition("=")[2] for part in link.partition("?")[2].split("&"))
        assert (await platform.files.get_by_link(file_id, expires, signature)).id == file_id
    finally:
        await platform.close()


async def test_a_configuration_that_is_being_read_is_waited_for_at_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    platform, begun, go_on = Platform(settings), threading.Event(), threading.Event()
    await platform.open()

    def slowly(settings: Settings):
        begun.set()
        go_on.wait(5)
        return load(settings)

    monkeypatch.setattr("nexusai.server.platform.load", slowly)
    reload = asyncio.ensure_future(platform.reload())
    await asyncio.to_thread(begun.wait, 5)
    closing = asyncio.ensure_future(platform.close())
    await asyncio.wait([closing], timeout=0.2)
    was_open = not closing.done()
    go_on.set()
    await closing

    assert (was_open, reload.done()) == (True, True)
    late = asyncio.ensure_future(platform.reload())
    await asyncio.wait([late], timeout=0.05)
    assert late.cancel()


async def test_without_a_vendor_there_is_the_local_provider_and_no_transport():
    catalogue = Providers(load_setup(None, {}), *metering()).catalogue

    assert catalogue.resolve("chat", None, None) == ("local", "text")
    await catalogue.aclose()


async def test_a_vendor_that_is_switched_on_goes_before_the_local_provider():
    catalogue = Providers(load_setup(None, VENDOR), *metering()).catalogue

    assert catalogue.resolve("chat", None, "m")[0] != "local"
    assert catalogue.resolve("chat", "openai", "gpt-x") == ("openai", "gpt-x")
    assert catalogue.resolve("chat", None, "local/simulate") == ("local", "simulate")
    await catalogue.aclose()


def test_the_environment_goes_before_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SOME_KEY=file\nOTHER_KEY=file\nEMPTY\n")
    monkeypatch.setenv("OTHER_KEY", "environment")

    found = environment()

    assert (found["SOME_KEY"], found["OTHER_KEY"]) == ("file", "environment")
    assert "EMPTY" not in found
