from __future__ import annotations

from typing import Any

import pytest

from nexusai.providers import ValidationError
from nexusai.providers.adapters.anthropic_models import claude, thinking_of


@pytest.mark.parametrize(
    ("model", "max_tokens"),
    [
        ("claude-3-haiku-20240307", 4_096),
        ("claude-3-5-sonnet-20241022", 8_192),
        ("claude-3-7-sonnet-latest", 64_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-opus-4-1", 32_000),
        ("claude-sonnet-4-0", 64_000),
        ("claude-sonnet-4-20250514", 64_000),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 64_000),
        ("anthropic/claude-opus-4.5", 64_000),
        ("claude-opus-4-6", 128_000),
        ("claude-sonnet-5", 128_000),
        ("claude-mythos-preview", 128_000),
        ("claude-fable-5-2", 128_000),
        ("claude-opus-7", 128_000),
        ("MiniMax-M2", 32_000),
    ],
)
def test_an_answer_may_be_as_long_as_the_model_can(model: str, max_tokens: int):
    assert claude(model).max_tokens == max_tokens


def models_that(fact: str) -> list[str]:
    known = (
        *("claude-opus-4-1", "claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-4-8", "claude-sonnet-5"),
        *("claude-fable-5", "claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
    )
    return [model.removeprefix("claude-") for model in known if getattr(claude(model), fact)]


def test_temperature_went_with_4_7():
    assert models_that("samples") == ["opus-4-1", "sonnet-4-5", "opus-4-6"]


def test_schemas_came_with_4_5():
    assert "opus-4-1" not in models_that("schemas")
    assert len(models_that("schemas")) == 9


def test_adaptive_thinking_came_with_4_6():
    assert set(models_that("adaptive")).isdisjoint({"opus-4-1", "sonnet-4-5"})


def test_the_latest_but_haiku_cannot_be_made_to_call_a_tool():
    missing = {"fable-5-1", "opus-5-5", "sonnet-5-5"}
    assert {*models_that("off"), *missing} - {*models_that("forced")} == missing


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "level"),
    [
        ("claude-sonnet-4-5", None, None, None),
        ("claude-sonnet-4-5", "minimal", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-sonnet-4-5", "max", {"type": "enabled", "budget_tokens": 32000}, None),
        ("claude-sonnet-4-5", "none", None, None),
        ("claude-opus-4-6", "xhigh", {"type": "adaptive"}, "high"),
        ("claude-opus-4-6", "max", {"type": "adaptive"}, "max"),
        ("claude-opus-4-8", "none", None, None),
        ("claude-opus-4-8", "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
        ("claude-opus-5", "none", {"type": "disabled"}, None),
        ("claude-haiku-5-5", "none", {"type": "disabled"}, None),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
        ("claude-opus-5-5", "none", None, "low"),
        ("claude-mythos-preview", "none", None, "low"),
    ],
)
def test_an_effort_in_the_words_of_the_model(
    model: str, effort: str | None, thinking: Any, level: str | None
):
    assert thinking_of(model, effort, 64_000, forced=False) == (thinking, level)


def test_nobody_thinks_where_a_tool_is_forced():
    assert thinking_of("claude-sonnet-4-5", "high", 64_000, forced=True) == (None, None)
    assert thinking_of("claude-opus-4-6", "high", 64_000, forced=True) == (None, "high")


def test_an_effort_that_nobody_knows_is_named():
    with pytest.raises(ValidationError, match="'heroic' is unknown: one of none, minimal, low"):
        thinking_of("claude-sonnet-4-5", "heroic", 64_000, forced=False)
