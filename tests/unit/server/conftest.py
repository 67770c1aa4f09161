from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.fixtures.served import Served, served


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("platform")
    limits = {"max_body_bytes": 300_000, "max_file_bytes": 500_000}
    with served(folder, shutdown_grace=0, reconcile_interval=0.1, heartbeat=0.05, **limits) as platform:
        yield platform


@pytest.fixture(scope="module")
def client(platform: Served) -> Iterator[httpx.Client]:
    with platform.client() as client:
        yield client


@pytest.fixture(scope="module")
def stranger(platform: Served) -> Iterator[httpx.Client]:
    """A client with the key of another project."""
    with platform.client(platform.other_key) as client:
        yield client


@pytest.fixture(scope="module")
def nobody(platform: Served) -> Iterator[httpx.Client]:
    """A client without a key."""
    with platform.client("") as client:
        yield client
