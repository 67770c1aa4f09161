from __future__ import annotations

import pickle
from collections import Counter

import pytest

from nexusai.error import CODES
from nexusai.providers.adapters.local.simulate import reply
from nexusai.providers.errors import (
    AdapterError,
    AuthenticationError,
    RateLimitError,
    RetryableError,
    TimeoutError,
    ValidationError,
)
from nexusai.providers.types import ChatRequest, Usage


def simulate(prompt="hello", *, seed=None, max_tokens=None, **config):
    messages = [{"role": "user", "content": prompt}]
    request = ChatRequest(model="simulate", messages=messages, seed=seed, max_tokens=max_tokens, extra=config)
    return reply(request)


@pytest.mark.parametrize("tokens", [0, 1, 8, 1000])
def test_the_text_has_exactly_as_many_words_as_tokens_are_asked(tokens: int):
    assert len(simulate(tokens=tokens).content.split()) == tokens


def test_the_defaults_are_eight_words_at_once():
    said = simulate()
    assert len(said.content.split()) == 8
    assert (said.latency, said.interval, said.error, said.finish_reason) == (0.0, 0.0, None, "stop")


def test_the_same_prompt_gives_the_same_text():
    assert simulate("one").content == simulate("one").content


def test_another_prompt_gives_another_text():
    assert len({simulate(f"prompt {n}").content for n in range(100)}) == 100


def test_the_seed_decides_the_text_whatever_the_prompt():
    assert simulate("one", seed=7).content == simulate("two", seed=7).content


def test_neighbouring_seeds_give_different_texts():
    assert len({simulate(seed=seed).content for seed in range(100)}) == 100


def test_the_seed_of_the_config_goes_before_that_of_the_request():
    request = ChatRequest(model="simulate", messages=[], seed=1, extra={"seed": 2})
    assert reply(request).content == simulate(seed=2).content


def test_a_prompt_with_half_a_surrogate_pair_is_a_prompt_too():
    assert len(simulate("\ud800").content.split()) == 8


def test_usage_counts_the_words_and_estimates_the_prompt():
    assert simulate("a" * 40, tokens=5).usage == Usage(10, 5, source="estimate")


def test_a_chinese_prompt_counts_for_more_tokens_than_an_english_one_of_its_length():
    assert [simulate(text * 40).usage.prompt_tokens for text in ("a", "天")] == [10, 20]


def test_max_tokens_ends_the_text_early():
    said = simulate(tokens=10, max_tokens=4)
    assert (said.content, said.finish_reason) == (" ".join(simulate(tokens=10).content.split()[:4]), "length")
    assert said.usage.completion_tokens == 4


def test_max_tokens_that_are_enough_change_nothing():
    assert simulate(tokens=10, max_tokens=10) == simulate(tokens=10)


def test_the_pace_is_that_of_the_config():
    said = simulate(latency=1.5, tokens_per_second=20)
    assert (said.latency, said.interval) == (1.5, 0.05)


def test_every_answer_is_marked_as_a_demo():
    assert simulate().extra == {"demo": True}


def test_unknown_keys_of_the_config_are_ignored():
    assert simulate(temperature="hot", top_k=3) == simulate()


def test_values_of_none_are_the_defaults():
    names = ("latency", "tokens", "tokens_per_second", "failure_rate", "error_code")
    assert simulate(**dict.fromkeys(names)) == simulate()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latency", -0.1),
        ("latency", "1"),
        ("latency", float("nan")),
        ("latency", float("inf")),
        ("latency", True),
        ("tokens", -1),
        ("tokens", 2.5),
        ("tokens", True),
        ("tokens", 10**9),
        ("tokens_per_second", 0),
        ("tokens_per_second", -5),
        ("failure_rate", 1.1),
        ("failure_rate", [1]),
        ("error_code", "NO_SUCH_CODE"),
        ("error_code", 500),
        ("error_code", ["TIMEOUT"]),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str, value: object):
    with pytest.raises(ValidationError, match=rf"config\.{field} must be"):
        simulate(**{field: value})


@pytest.mark.parametrize("seed", [1.5, "x", True])
def test_a_seed_that_is_no_integer_is_refused(seed: object):
    with pytest.raises(ValidationError, match=r"config\.seed must be an integer"):
        reply(ChatRequest(model="simulate", messages=[], extra={"seed": seed}))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("PROVIDER_ERROR", RetryableError),
        ("RATE_LIMIT_EXCEEDED", RateLimitError),
        ("TIMEOUT", TimeoutError),
        ("INVALID_REQUEST", ValidationError),
        ("UNAUTHORIZED", AuthenticationError),
        ("SERVICE_UNAVAILABLE", RetryableError),
        ("FORBIDDEN", AdapterError),
    ],
)
def test_an_error_code_fails_as_its_class(code: str, kind: type[AdapterError]):
    error = simulate(failure_rate=1, error_code=code).error
    assert type(error) is kind
    assert (error.code, error.status) == (code, CODES[code].status)


@pytest.mark.parametrize("code", CODES)
def test_a_simulated_error_is_retryable_as_its_code_is(code: str):
    assert simulate(error_code=code).error.retryable == CODES[code].retryable


def test_a_failure_without_a_code_is_the_provider_s():
    assert simulate(failure_rate=1).error.code == "PROVIDER_ERROR"


def test_a_code_without_a_rate_always_fails():
    assert simulate(error_code="TIMEOUT").error is not None


def test_a_code_with_a_rate_of_zero_never_fails():
    assert simulate(error_code="TIMEOUT", failure_rate=0).error is None


def test_the_seed_decides_which_calls_fail():
    failed = [simulate(seed=seed, failure_rate=0.3).error is not None for seed in range(500)]
    assert failed == [simulate(seed=seed, failure_rate=0.3).error is not None for seed in range(500)]
    assert 100 < sum(failed) < 200


def test_without_a_seed_chance_decides_which_calls_fail():
    failed = Counter(simulate(failure_rate=0.5).error is not None for _ in range(200))
    assert min(failed[True], failed[False]) > 40


def test_a_simulated_error_can_cross_processes():
    error = pickle.loads(pickle.dumps(simulate(error_code="TIMEOUT").error))
    assert (type(error), error.code) == (TimeoutError, "TIMEOUT")
