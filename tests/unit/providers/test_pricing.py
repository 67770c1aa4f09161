from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusai.error import ConfigurationError
from nexusai.providers.pricing import Prices, default_prices
from nexusai.providers.types import Cost, Usage

PRICES = Prices.load(
    {
        "shop/chat": {
            "price": {
                "input": 10,
                "cached_input": 1,
                "cache_write": 12,
                "output": 100,
                "tiers": {"1000": {"input": 20, "cached_input": 2, "output": 150}},
            }
        },
        "shop/plain": {"price": {"currency": "CNY", "input": 2, "output": 4, "thinking_output": 8}},
        "shop/embed": {"price": {"input": 5}},
        "shop/peak": {"price": {"input": 1, "output": 1, "varies": True}},
        "shop/free": {"price": {"input": 0, "output": 0}},
        "shop/paint": {"price": {"image": {"high 64x64": 4, "high": 3, "64x64": 2, "default": 1}}},
        "shop/flat": {"price": {"image": {"*": 5}}},
        "shop/hear": {"price": {"hour": 36}},
        "shop/say": {"price": {"million_characters": 15}},
        "shop/nothing": {"context_window": 10},
    }
)
MILLIONTH = 1e-6


def amount(model, usage=None, **counted):
    cost = PRICES.cost("shop", model, usage, **counted)
    return None if cost is None else pytest.approx(cost.amount / MILLIONTH)


class TestTokens:
    def test_are_priced_by_the_million(self):
        assert PRICES.cost("shop", "chat", Usage(1000, 200)) == Cost(0.03, "USD", estimated=False)

    def test_from_a_cache_and_into_it_have_prices_of_their_own(self):
        assert amount("chat", Usage(1000, 0, cached_tokens=300, cache_write_tokens=200)) == 7700

    def test_from_a_cache_and_into_it_cost_as_others_where_nothing_else_is_said(self):
        assert amount("plain", Usage(1000, 0, cached_tokens=300, cache_write_tokens=200)) == 2000

    def test_of_a_long_prompt_are_dearer_altogether(self):
        usage = Usage(1001, 10, cached_tokens=1, cache_write_tokens=100)
        assert amount("chat", usage) == 900 * 20 + 2 + 100 * 12 + 10 * 150

    def test_of_an_answer_with_reasoning_may_be_dearer(self):
        assert amount("plain", Usage(0, 10, reasoning_tokens=3)) == 80
        assert amount("plain", Usage(0, 10, reasoning_tokens=0)) == 40

    def test_that_are_only_read_need_no_price_of_an_answer(self):
        assert amount("embed", Usage(1000, 0)) == 5000

    def test_without_a_price_make_the_cost_unknown(self):
        assert PRICES.cost("shop", "embed", Usage(1000, 1)) is None

    def test_that_a_vendor_counted_wrong_never_give_money_back(self):
        assert amount("chat", Usage(10, 0, cached_tokens=50)) == 50


class TestOtherUnits:
    @pytest.mark.parametrize(
        ("asked", "cost"),
        [
            ({}, 1),
            ({"size": (64, 64)}, 2),
            ({"quality": "high"}, 3),
            ({"size": (64, 64), "quality": "high"}, 4),
            ({"size": (32, 32)}, None),
            ({"size": (64, 64), "quality": "low"}, None),
        ],
    )
    def test_pictures_cost_what_was_asked_for(self, asked, cost):
        found = PRICES.cost("shop", "paint", images=2, **asked)
        assert found == (cost and Cost(2.0 * cost))

    def test_pictures_may_all_cost_the_same(self):
        assert PRICES.cost("shop", "flat", images=3, size=(7, 7), quality="odd") == Cost(15)

    def test_sound_is_priced_by_the_hour(self):
        assert PRICES.cost("shop", "hear", seconds=100.0) == Cost(1.0)

    def test_speech_is_priced_by_the_million_characters(self):
        assert amount("say", characters=1000) == 15_000

    @pytest.mark.parametrize("model", ["paint", "flat", "hear", "say", "chat"])
    def test_a_call_that_was_not_counted_costs_nobody_knows_what(self, model):
        assert PRICES.cost("shop", model) is None

    @pytest.mark.parametrize("counted", [{}, {"images": 1}, {"seconds": 1.0}, {"usage": Usage(5, 5)}])
    def test_what_is_free_is_free_however_it_is_counted(self, counted):
        assert PRICES.cost("shop", "free", **counted) == Cost(0.0)


class TestEstimates:
    @pytest.mark.parametrize(
        ("source", "estimated"), [("provider", False), ("tokenizer", True), ("estimate", True)]
    )
    def test_are_of_tokens_that_the_vendor_did_not_count(self, source, estimated):
        assert PRICES.cost("shop", "chat", Usage(1, 1, source=source)).estimated == estimated

    def test_are_of_another_edition_of_the_model(self):
        assert PRICES.cost("shop", "chat-2031-01-01", Usage(1, 1)).estimated

    def test_are_of_prices_that_vary(self):
        assert PRICES.cost("shop", "peak", Usage(1, 1)).estimated


class TestUnknown:
    @pytest.mark.parametrize(
        ("provider", "model"), [("shop", "other"), ("else", "chat"), ("shop", "nothing")]
    )
    def test_models_cost_nobody_knows_what(self, provider, model):
        assert PRICES.cost(provider, model, Usage(1, 1)) is None

    def test_models_are_not_in_the_table(self):
        assert [PRICES.has("shop", model) for model in ("chat", "nothing", "other")] == [True, True, False]


class TestPricesOfUsers:
    def test_replace_the_built_in_ones(self):
        prices = Prices.load({"openai/gpt-4o": {"price": {"input": 1, "output": 2, "currency": "EUR"}}})
        assert prices.cost("openai", "gpt-4o", Usage(1_000_000, 0)) == Cost(1.0, "EUR")
        assert prices.cost("openai", "gpt-4o-mini", Usage(1_000_000, 0)) == default_prices().cost(
            "openai", "gpt-4o-mini", Usage(1_000_000, 0)
        )

    def test_come_from_a_file(self, tmp_path):
        path = tmp_path / "prices.json"
        path.write_text('{"mine/*": {"price": {"input": 3, "output": 3}}}')
        assert Prices.load(path).cost("mine", "anything", Usage(1_000_000, 0)) == Cost(3.0, estimated=True)
        assert Prices.load(str(path)).has("mine", "else")

    def test_that_make_no_sense_are_refused(self):
        with pytest.raises(ConfigurationError, match="line 'a/b'"):
            Prices.load({"a/b": {"price": {"input": "cheap"}}})


@pytest.mark.parametrize(
    ("provider", "model", "usage", "cost"),
    [
        ("openai", "gpt-4o-2024-08-06", Usage(1_000_000, 100_000, cached_tokens=400_000), Cost(3.0)),
        ("anthropic", "claude-sonnet-4-5", Usage(100_000, 10_000, cache_write_tokens=20_000), Cost(0.465)),
        ("anthropic", "claude-haiku-5-5", Usage(200_000, 1000), Cost(0.1025)),
        ("gemini", "gemini-2.5-pro", Usage(200_001, 0), Cost(0.5000025)),
        ("qwen", "qwen-plus", Usage(1000, 1000, reasoning_tokens=500), Cost(0.0088, "CNY")),
        ("moonshot", "kimi-k2.6", Usage(2000, 1000, cached_tokens=1000), Cost(0.0346, "CNY")),
    ],
)
def test_bills_worked_out_by_hand(provider, model, usage, cost):
    found = default_prices().cost(provider, model, usage)
    assert (found.amount, found.currency, found.estimated) == (
        pytest.approx(cost.amount),
        cost.currency,
        False,
    )


tokens = st.integers(0, 10**7)


@given(tokens, tokens, tokens, tokens, tokens)
def test_more_tokens_never_cost_less_within_a_tier(prompt, completion, cached, written, more):
    usage = Usage(prompt, completion, cached_tokens=cached, cache_write_tokens=written)
    longer = Usage(prompt, completion + more, cached_tokens=cached, cache_write_tokens=written)
    assert 0 <= PRICES.cost("shop", "chat", usage).amount <= PRICES.cost("shop", "chat", longer).amount
