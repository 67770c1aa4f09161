"""An agent that a package adds by its entry point, as docs/sessions.md shows it."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexusai import InvalidRequestError
from nexusai.testing import Platform
from tests.docs.test_documents import blocks
from tests.fixtures.openai_upstream import Upstream
from tests.integration.conftest import of_upstream


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the one of the document, as an installer leaves it."""
    folder = tmp_path_factory.mktemp("packages")
    shown = {block.note: block.code for block in blocks("docs/sessions.md")}
    (folder / "harbour_agent.py").write_text(shown["file: harbour_agent.py"], "utf-8")
    project = configparser.ConfigParser()
    project.read_string(shown["file: pyproject.toml"])
    (group,) = [name for name in project.sections() if "entry-points" in name]
    points = [f"{name} = {place.strip(chr(34))}" for name, place in project[group].items()]
    points += ["broken = harbour_agent:nothing", "taken = taken_agent:RAG"]
    (folder / "taken_agent.py").write_text(
        "from nexusai.server.sessions.agents import Agent\nRAG = Agent('rag')\n", "utf-8"
    )
    about = folder / "harbour_agent-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: harbour-agent\nVersion: 1.0\n", "utf-8")
    head = group.split('"')[1]
    (about / "entry_points.txt").write_text("\n".join([f"[{head}]", *points, ""]), "utf-8")
    return folder


@pytest.fixture(scope="module")
def platform(packages: Path) -> Iterator[Platform]:
    with Platform({"PYTHONPATH": str(packages)}) as running:
        yield running


def test_a_session_of_an_agent_that_a_package_adds(platform: Platform) -> None:
    with platform.client() as client:
        session = client.sessions.create("harbour", system_prompt="Answer in one sentence.")
        assert session.agent_type == "harbour"
        assert "High water is at noon." in str(session.invoke("When is high water?"))
        assert [message.role for message in session.history()] == ["user", "assistant"]
        fork = session.fork()
        assert fork.agent_type == "harbour"


def test_what_its_model_is_told(packages: Path, upstream: Upstream) -> None:
    settings = of_upstream(upstream, PYTHONPATH=str(packages))
    with Platform(settings) as platform, platform.client() as client:
        session = client.sessions.create("harbour", system_prompt="Be polite.")
        session.invoke("one")
        with session.stream("two") as stream:
            list(stream)
    system, *rest = upstream.calls("/v1/chat/completions")[-1]["body"]["messages"]
    told = (
        "You are the master of a harbour. Be brief.\n\nBe polite.\n\n<source>High water is at noon.</source>"
    )
    assert system == {"role": "system", "content": told}
    assert [message["content"] for message in rest] == ["one", "one", "two"]


def test_one_that_will_not_do_is_logged_and_left_out(platform: Platform) -> None:
    with platform.client() as client:
        with pytest.raises(InvalidRequestError, match="known: assistant, rag, harbour"):
            client.sessions.create("broken")
        with pytest.raises(InvalidRequestError, match="needs some"):
            client.sessions.create("rag")
    log = "\n".join(platform.log)
    assert "the agent 'broken' (harbour_agent:nothing) cannot be loaded" in log
    assert "the agent 'taken' (taken_agent:RAG) is taken already" in log
