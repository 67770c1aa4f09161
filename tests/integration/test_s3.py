"""The platform with its files in a bucket: nothing of them lies in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from nexusai import ConfigurationError, NexusAIClient, NotFoundError
from nexusai.testing import Platform
from tests.fixtures.s3 import Bucket, running_bucket


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def platform(bucket: Bucket) -> Iterator[Platform]:
    with Platform({**bucket.environ, "NEXUS_STORAGE": f"{bucket.url}/nexus"}) as platform:
        yield platform


@pytest.fixture
def client(platform: Platform) -> Iterator[NexusAIClient]:
    with platform.client() as client:
        yield client


def test_a_file_goes_to_the_bucket_and_back(
    client: NexusAIClient, platform: Platform, bucket: Bucket, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 40_000
    stored = client.files.upload(("a.bin", content))

    assert bucket.left("nexus") == [f"nexus/{stored.id}"]
    assert client.files.download(stored.id, tmp_path / "b.bin").read_bytes() == content
    address = f"{platform.base_url}/files/{stored.id}/content"
    headers = {"Authorization": f"Bearer {platform.api_key}", "Range": "bytes=9000000-9000009"}
    part = httpx.get(address, headers=headers)
    assert (part.status_code, part.content) == (206, content[9_000_000:9_000_010])
    client.files.delete(stored.id)
    assert bucket.left("nexus") == []


def test_a_result_is_opened_by_its_link(client: NexusAIClient) -> None:
    picture = client.images.generate("a lighthouse", size="64x64")

    assert httpx.get(picture.image_url).content.startswith(b"\x89PNG")


def test_a_document_in_the_bucket_is_read(client: NexusAIClient, bucket: Bucket) -> None:
    base = client.knowledge_bases.create("Lights")
    document = client.knowledge_bases.upload_document(base.id, ("a.md", b"The keeper was called Ida."))

    assert client.knowledge_bases.search("keeper", base.id).results[0].doc_id == document.id
    client.knowledge_bases.delete(base.id)
    with pytest.raises(NotFoundError):
        client.files.get(document.file_id)
    assert f"nexus/{document.file_id}" not in bucket.left("nexus")


def test_a_batch_is_read_from_the_bucket(client: NexusAIClient, platform: Platform) -> None:
    line = (
        b'{"custom_id": "a", "task_type": "text_generation", "input": {"prompt": "hi"}, "provider": "local"}'
    )
    stored = client.files.upload(("requests.jsonl", line))

    address = f"{platform.base_url}/batches"
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    answer = httpx.post(address, headers=headers, json={"input_file_id": stored.id})
    assert answer.json()["counts"]["total"] == 1


def test_a_bucket_that_is_not_there_is_told_at_the_start(bucket: Bucket) -> None:
    settings = {**bucket.environ, "NEXUS_STORAGE": "s3://not-there"}
    with pytest.raises(ConfigurationError, match="NEXUS_STORAGE: s3://not-there cannot be written"):
        with Platform(settings):
            pass
