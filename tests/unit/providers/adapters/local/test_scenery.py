from __future__ import annotations

from random import Random

import pytest

from nexusai.providers.adapters.local.scenery import choose


@pytest.mark.parametrize(
    ("prompt", "shape"),
    [
        ("Waves on a beach", "waves"),
        ("a deep FOREST", "pines"),
        ("the city", "towers"),
        ("雪山", "peaks"),
        ("大海", "waves"),
        ("森林里的小屋", "pines"),
        ("沙漠", "dunes"),
    ],
)
def test_the_words_of_the_prompt_choose_the_land(prompt: str, shape: str):
    assert {choose(prompt, Random(seed))[1].shape for seed in range(5)} == {shape}


@pytest.mark.parametrize(
    ("prompt", "stars"), [("night", True), ("星空", True), ("sunset", False), ("日落", False)]
)
def test_the_words_of_the_prompt_choose_the_light(prompt: str, stars: bool):
    assert {choose(prompt, Random(seed))[0].stars for seed in range(5)} == {stars}


def test_a_word_inside_another_word_chooses_nothing():
    assert len({choose("a seamstress", Random(seed))[1].shape for seed in range(40)}) > 1


def test_chance_chooses_what_the_prompt_leaves_open():
    assert len({choose("hello", Random(seed)) for seed in range(80)}) > 20
