"""The real platform in a process, the real SDK over a real socket; a provider is a fake in a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nexusai.testing import Platform
from tests.fixtures.openai_upstream import Upstream, running_upstream
from tests.fixtures.sdk import Both

Use = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [
        name for name in os.environ if name.startswith("NEXUS_") and name != "NEXUS_REQUIRE_SERVICES"
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


def of_upstream(upstream: Upstream, **settings: str) -> dict[str, str]:
    """The environment that makes a platform talk to the fake upstream."""
    return {
        "NEXUS_PROVIDER_BASE_URL": upstream.base_url,
        "NEXUS_PROVIDER_API_KEY": upstream.api_key,
        "NEXUS_PROVIDER_MODEL": "echo",
        "NEXUS_PROVIDER_IMAGE_MODEL": "dall-e-3",
        "NEXUS_PROVIDER_SPEECH_MODEL": "tts-1",
        **settings,
    }


@pytest.fixture(scope="session")
def embedded() -> Iterator[Platform]:
    """A platform as a newcomer has it."""
    with Platform() as platform:
        yield platform


@pytest.fixture(scope="session")
def connected(upstream: Upstream) -> Iterator[Platform]:
    """A platform with one provider, the fake upstream."""
    with Platform(of_upstream(upstream)) as platform:
        yield platform


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, embedded: Platform) -> Use:
    """The SDK against the embedded platform: `sdk(lambda client: client.tasks.get(…))`."""
    return _bound(request.param, embedded)


@pytest.fixture(params=["sync", "async"])
def connected_sdk(request: pytest.FixtureRequest, connected: Platform) -> Use:
    """The SDK against the platform with a provider."""
    return _bound(request.param, connected)


def _bound(kind: str, platform: Platform) -> Use:
    both = Both(asynchronous=kind == "async")

    def use(work: Callable[[Any], Any], **options: Any) -> Any:
        return both(work, **{"api_key": platform.api_key, "base_url": platform.base_url, **options})

    return use
