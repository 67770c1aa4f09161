from __future__ import annotations

import logging
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from nexusai.server.sessions import agents as module
from nexusai.server.sessions.agents import GROUP, Agent, agents

SUPPORT = Agent("support", "You help.")
TAKEN = Agent("rag", "Mine.")


def entry(name: str, place: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{place}", GROUP)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module under the name that an entry point finds it by."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[test_two_agents_are_there.__module__])


def test_two_agents_are_there():
    assert set(agents([])) == {"assistant", "rag"}
    assert agents([])["rag"].needs_knowledge
    assert set(agents()) >= {"assistant", "rag"}


@pytest.mark.usefixtures("here")
def test_a_package_adds_one():
    assert agents([entry("support", "SUPPORT")])["support"] is SUPPORT


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("place", "why"), [("nothing", "cannot be loaded"), ("entry", "is no Agent"), ("TAKEN", "is taken")]
)
def test_one_that_will_not_do_is_left_out_and_told_of(place: str, why: str, caplog: Any):
    with caplog.at_level(logging.ERROR, module.logger.name):
        found = agents([entry("broken", place)])
    assert set(found) == {"assistant", "rag"}
    assert found["rag"] is not TAKEN
    assert why in caplog.text
