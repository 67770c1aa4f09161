from __future__ import annotations

import pytest

from nexusai._internal._invoke import invoke_body, words
from nexusai.error import InvalidRequestError


def test_a_body_has_no_more_than_what_was_said():
    assert invoke_body("text_generation", {"prompt": "hi"}, {"model": None, "seed": None}) == {
        "task_type": "text_generation",
        "input": {"prompt": "hi"},
    }


def test_options_of_the_contract_stand_on_top():
    options = {
        "provider": "p",
        "model": "m",
        "metadata": {"a": "b"},
        "priority": 3,
        "webhook": {"url": "http://a"},
        "task_timeout": 9,
    }
    assert invoke_body("t", {}, options) == {
        "task_type": "t",
        "input": {},
        "provider": "p",
        "model": "m",
        "metadata": {"a": "b"},
        "priority": 3,
        "webhook": {"url": "http://a"},
        "timeout": 9,
    }


def test_all_other_options_are_config():
    assert invoke_body("t", {}, {"seed": 0, "style": "oil"})["config"] == {"seed": 0, "style": "oil"}


def test_a_named_option_wins_over_the_same_one_in_config():
    given = {"config": {"seed": 1, "top_k": 5}, "seed": 2}
    assert invoke_body("t", {}, given)["config"] == {"seed": 2, "top_k": 5}


def test_what_the_caller_passed_is_left_alone():
    config = {"seed": 1}
    options = {"config": config, "top_p": 0.5}
    invoke_body("t", {}, options)
    assert (config, options) == ({"seed": 1}, {"config": {"seed": 1}, "top_p": 0.5})


def test_words_are_passed_as_they_are():
    assert words("prompt", " 你好 ") == " 你好 "


@pytest.mark.parametrize("value", ["", " \n"])
def test_no_words_are_refused_by_name(value: str):
    with pytest.raises(InvalidRequestError, match="prompt is empty"):
        words("prompt", value)


def test_what_is_no_text_is_refused_by_name():
    with pytest.raises(TypeError, match="prompt is a str, not bytes"):
        words("prompt", b"hi")


def test_a_call_that_answers_whole_does_not_stream():
    with pytest.raises(TypeError, match=r"text\.stream"):
        invoke_body("text_generation", {}, {"stream": True})


@pytest.mark.parametrize("stream", [None, False])
def test_not_to_stream_is_what_such_a_call_does(stream: bool | None):
    assert "config" not in invoke_body("text_generation", {}, {"stream": stream})


def test_a_config_that_is_no_mapping_is_refused_by_name():
    with pytest.raises(TypeError, match=r"config is a mapping, .* not str"):
        invoke_body("text_generation", {}, {"config": "a"})
