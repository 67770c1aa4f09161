"""Which picture a prompt gets: a light and a land, chosen by its words or else by chance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Final, Literal, NamedTuple, TypeVar

__all__ = ["Colour", "Land", "Light", "Shape", "choose"]

Colour = tuple[int, int, int]
Shape = Literal["hills", "peaks", "waves", "pines", "towers", "dunes"]


class Light(NamedTuple):
    """`sky` from the zenith to the horizon; `height` of the sun above the horizon as a share of the sky."""

    words: str
    sky: tuple[Colour, ...]
    sun: Colour
    height: float
    shade: float
    stars: bool = False


class Land(NamedTuple):
    """`near` is the colour of the ground at the viewer's feet by day."""

    words: str
    shape: Shape
    near: Colour


_LIGHTS: Final = (
    Light(
        "sunset dusk evening twilight 日落 黄昏 夕阳 傍晚 晚霞",
        ((42, 36, 92), (144, 62, 122), (236, 104, 92), (255, 190, 110)),
        (255, 236, 176),
        0.18,
        0.55,
    ),
    Light(
        "night midnight moon star stars starry galaxy space 夜 月 星 银河 太空",
        ((6, 9, 30), (16, 26, 66), (38, 58, 112), (84, 104, 150)),
        (240, 242, 228),
        0.66,
        0.75,
        stars=True,
    ),
    Light(
        "dawn sunrise morning spring pink 日出 黎明 清晨 早晨 春 樱花",
        ((104, 132, 196), (176, 168, 214), (244, 186, 192), (255, 226, 190)),
        (255, 248, 220),
        0.24,
        0.30,
    ),
    Light(
        "day noon sunny summer blue sky 白天 晴 阳光 夏 蓝天",
        ((44, 116, 198), (96, 164, 224), (168, 212, 240), (226, 242, 246)),
        (255, 252, 232),
        0.62,
        0.12,
    ),
    Light(
        "autumn fall golden gold 秋 金色",
        ((88, 96, 132), (184, 132, 112), (240, 176, 96), (255, 222, 150)),
        (255, 244, 206),
        0.34,
        0.36,
    ),
    Light(
        "storm rain fog mist grey gray cloudy 雨 雾 风暴 阴天",
        ((58, 70, 84), (98, 112, 124), (150, 162, 168), (196, 202, 200)),
        (226, 229, 226),
        0.58,
        0.34,
    ),
)

_LANDS: Final = (
    Land(
        "ocean sea beach coast wave waves lake water river 海 洋 湖 沙滩 波浪 河 水", "waves", (16, 84, 118)
    ),
    Land("forest tree trees wood woods jungle pine 森林 树 丛林 松", "pines", (22, 66, 48)),
    Land("mountain mountains alps peak snow winter ice 山 雪 冬 冰", "peaks", (52, 74, 104)),
    Land("city town street skyline building robot office 城市 都市 街 楼 机器人", "towers", (40, 46, 74)),
    Land("desert dune dunes sand sahara mars 沙漠 沙丘 火星", "dunes", (188, 112, 58)),
    Land("hill hills field meadow flower flowers garden valley 丘 田 草原 花 山谷", "hills", (66, 118, 62)),
)

_Theme = TypeVar("_Theme", Light, Land)


def choose(prompt: str, chance: Random) -> tuple[Light, Land]:
    """The light and the land that the prompt names; what it does not name is left to `chance`."""
    prompt = prompt.lower()
    words = frozenset(re.findall(r"[a-z]+", prompt))
    return _choose(_LIGHTS, prompt, words, chance), _choose(_LANDS, prompt, words, chance)


def _choose(themes: Sequence[_Theme], prompt: str, words: frozenset[str], chance: Random) -> _Theme:
    fallback = themes[int(chance.random() * len(themes))]
    return next((theme for theme in themes if _names(theme.words, prompt, words)), fallback)


def _names(theme: str, prompt: str, words: frozenset[str]) -> bool:
    return any(word in words if word.isascii() else word in prompt for word in theme.split())
