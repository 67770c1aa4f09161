from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from nexusai.error import ConfigurationError
from nexusai.providers import models
from nexusai.providers.adapters.vendors import VENDORS
from nexusai.providers.models import Models, Price, default_models, load_models

TABLE = Models(
    {
        "one/small": {"also": ["tiny", "small-2024-01-01"], "context_window": 10},
        "one/small-pro": {"context_window": 20},
        "one/ft:small-*": {"context_window": 30},
        "one/ft:small-pro-*": {"context_window": 40},
        "two/small": {"context_window": 50},
        "two/Org/Large": {"context_window": 60},
    }
)


def window(provider, name):
    found = TABLE.find(provider, name)
    return found and (found.model.context_window, found.exact)


class TestFinding:
    @pytest.mark.parametrize("name", ["small", "SMALL", "tiny", "small-2024-01-01"])
    def test_goes_by_name_and_other_names(self, name):
        assert window("one", name) == (10, True)

    @pytest.mark.parametrize(
        "edition",
        ["2024-08-06", "20240806", "0613", "240806", "002", "latest", "09-2025", "08-06"],
    )
    def test_takes_an_edition_for_the_model_and_says_so(self, edition):
        assert window("one", f"small-{edition}") == (10, False)
        assert window("one", f"small-pro-{edition}") == (20, False)

    @pytest.mark.parametrize("name", ["small-mini", "small-pro-max", "smal", "", "small-", "x-small"])
    def test_takes_no_other_model_for_it(self, name):
        assert window("one", name) is None

    def test_takes_the_narrowest_family(self):
        assert window("one", "ft:small-x:org") == (30, False)
        assert window("one", "ft:small-pro-x:org") == (40, False)

    def test_keeps_providers_apart(self):
        assert [window("two", "small"), window("two", "tiny"), window("three", "small")] == [
            (50, True),
            None,
            None,
        ]

    def test_of_any_provider_takes_the_first(self):
        assert [window(None, "small"), window(None, "org/large")] == [(10, True), (60, True)]

    def test_survives_many_names(self):
        for number in range(1050):
            assert TABLE.find("one", f"name {number}" * (1 + number % 2 * 99)) is None
        assert window("one", "tiny") == (10, True)


class TestLinesOfUsers:
    def test_are_laid_over_the_others_field_by_field(self):
        table = TABLE.merged({"one/small": {"max_output_tokens": 5}, "one/new": {"context_window": 70}})
        small, new = table.find("one", "tiny").model, table.find("one", "new").model
        assert (small.context_window, small.max_output_tokens, new.context_window) == (10, 5, 70)

    def test_go_before_another_names_of_a_model(self):
        table = TABLE.merged({"one/tiny": {"context_window": 1}})
        assert table.find("one", "tiny").model.context_window == 1

    def test_leave_the_other_table_as_it_was(self):
        TABLE.merged({"one/small": {"context_window": 1}})
        assert window("one", "small") == (10, True)

    def test_come_from_a_file(self, tmp_path):
        (tmp_path / "models.json").write_text('{"openai/mine": {"context_window": 7}}')
        table = load_models(tmp_path / "models.json")
        assert table.find("openai", "mine").model.context_window == 7
        assert table.find("openai", "gpt-4o") is not None

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "cannot be read"),
            ("[]", "is no object"),
            ('{"mine": {}}', "line 'mine': write \"provider/model\""),
            ('{"a/b": 3}', "line 'a/b': write"),
            ('{"a/b": {"prize": {}}}', "line 'a/b': there is no field 'prize'"),
            ('{"a/b": {"price": {"inpt": 1}}}', "line 'a/b': 'inpt' is no part of a price"),
            ('{"a/b": {"price": {"input": "1"}}}', "the price of 'input' is '1': make it a number"),
            ('{"a/b": {"price": {"output": -1}}}', "the price of 'output' is -1"),
            ('{"a/b": {"price": {"image": {"*": null}}}}', "the price of '\\*' is None"),
            ('{"a/b": {"price": {"tiers": {"many": {}}}}}', "line 'a/b'"),
            ('{"a/b": {"price": {"tiers": {"1": {"inptu": 1}}}}}', "'inptu' is no part"),
            ('{"a/b": {"price": 1}}', "line 'a/b'"),
            ('{"a/b": {"also": 1}}', "line 'a/b'"),
        ],
    )
    def test_that_cannot_be_read_are_named(self, tmp_path, text, message):
        path = tmp_path / "models.json"
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=message) as failure:
            load_models(path)
        assert str(path) in str(failure.value)

    def test_from_a_file_that_is_not_there_are_a_clear_error(self, tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_models(tmp_path / "none.json")


class TestPrices:
    def test_of_long_prompts_are_of_the_whole_call(self):
        price = Price.of({"input": 1, "output": 2, "tiers": {"100": {"input": 3}, "200": {"input": 5}}})
        found = [price.for_prompt(tokens) for tokens in (100, 101, 201)]
        assert [(each.input, each.output) for each in found] == [(1, 2), (3, 2), (5, 2)]

    def test_of_long_prompts_keep_the_currency(self):
        price = Price.of({"currency": "CNY", "input": 1, "tiers": {"100": {"input": 3}}})
        assert price.for_prompt(101).currency == "CNY"


MOST_USED = [
    "openai",
    "anthropic",
    "gemini",
    "deepseek",
    "moonshot",
    "zhipu",
    "qwen",
    "mistral",
    "xai",
    "groq",
]


def wrong(right):
    """The built-in lines for which it does not hold."""
    return [f"{model.provider}/{model.name}" for model in default_models() if not right(model)]


class TestBuiltInLines:
    def test_say_where_they_are_from_and_of_which_day(self):
        assert not wrong(
            lambda model: (
                re.fullmatch(r"https://[\w./#-]+", model.source)
                and re.fullmatch(r"202\d-[01]\d-[0-3]\d", model.date)
            )
        )

    def test_are_of_known_vendors_and_capabilities(self):
        assert not wrong(lambda model: model.lacks <= VENDORS[model.provider].capabilities)

    def test_have_windows_that_answers_fit_into(self):
        assert not wrong(lambda model: 0 <= (model.max_output_tokens or 0) <= (model.context_window or 0))

    def test_have_plausible_prices(self):
        def plausible(price):
            if not price.input:
                return not price.cached_input and not price.output
            return (
                (price.cached_input or 0) < price.input
                and price.input <= (price.cache_write or price.input) <= 2 * price.input
                and price.input <= (price.output or price.input) <= 150 * price.input
                and (price.thinking_output is None or price.thinking_output > price.output)
            )

        def right(model):
            price = model.price or Price()
            steps = [price, *reversed(price.tiers.values())]
            dearer = all(low.input < high.input and low.output < high.output for low, high in pairwise(steps))
            return price.currency in ("USD", "CNY") and dearer and all(map(plausible, steps))

        assert not wrong(right)

    def test_name_nothing_twice(self):
        names = [(model.provider, name) for model in default_models() for name in (model.name, *model.also)]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("vendor", MOST_USED)
    def test_have_the_price_of_what_a_vendor_is_asked_by_default(self, vendor):
        assert default_models().find(vendor, VENDORS[vendor].models["chat"]).model.price is not None

    def test_are_a_line_each(self):
        lines = (Path(models.__file__).parent / "data" / "models.json").read_text("utf-8").splitlines()
        assert (lines[0], lines[-1]) == ("{", "}")
        assert [len(json.loads("{" + line.rstrip(",") + "}")) for line in lines[1:-1]] == [1] * len(
            list(default_models())
        )
