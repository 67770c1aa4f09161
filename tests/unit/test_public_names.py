from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

import nexusai

PUBLIC = """
APIConnectionError APIError APITimeoutError AsyncImage AsyncNexusAIClient AsyncSession AsyncTTSResponse
AsyncTaskEventStream AsyncTaskHandle AsyncTextStream AuthenticationError Batch BatchResult
ConfigurationError ConflictError Conversation Cost Document EmbeddingResponse File FilePage Image
InvalidRequestError Key KnowledgeBase Model ModerationResponse NetworkError NexusAIClient NexusAIError
NotFoundError ParseError PayloadTooLargeError PermissionError RateLimitError SearchResponse SearchResult
Segment ServerError Session SessionHistory SessionMessage SessionPage SessionResponse StreamChunk
StreamError TTSResponse Task TaskCancelledError TaskError TaskEvent TaskEventStream TaskFailedError
TaskFailure TaskHandle TaskPage TaskPoller TaskTimeoutError TextResponse TextStream TranscriptionResponse
Usage UsageReport ValidationError Webhook WebhookEvent WebhookVerificationError __version__ api_key audio
base_url batches configure conversations embeddings files images keys knowledge_bases moderations projects
sessions tasks text usage webhooks
"""


def test_the_public_names_are_these_and_no_others():
    assert sorted(nexusai.__all__) == sorted(PUBLIC.split())


@pytest.mark.parametrize("name", PUBLIC.split())
def test_every_public_name_is_there(name: str):
    assert hasattr(nexusai, name)
    assert name in dir(nexusai)


def test_a_name_that_is_not_public_is_missed():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = nexusai.nonsense


@pytest.mark.parametrize("name", ["client", "config", "constants", "error", "models", "types"])
def test_public_modules_say_what_is_public(name: str):
    module: Any = import_module(f"nexusai.{name}")
    if name != "constants":
        assert all(hasattr(module, public) for public in module.__all__)


def loaded_after(code: str) -> set[str]:
    """Which of the heavy packages this code loads, in a Python of its own."""
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"httpx", "pydantic", "pydantic_core", "tenacity", "dotenv", "asyncio", "ssl"}
    return heavy & set(json.loads(run.stdout.splitlines()[-1]))


def test_importing_loads_nothing_heavy():
    assert loaded_after("import nexusai; nexusai.configure(api_key='nxs_1'); dir(nexusai)") == set()


def test_looking_at_a_resource_loads_nothing_heavy():
    assert loaded_after("from nexusai import text; hasattr(text, '__wrapped__'); repr(text)") == set()


def test_an_error_is_had_without_anything_heavy():
    assert loaded_after("from nexusai import APIError; import nexusai; nexusai.error.CODES") == set()


def test_a_client_is_had_without_tenacity():
    assert "tenacity" not in loaded_after("from nexusai import NexusAIClient; NexusAIClient('nxs_1').text")
