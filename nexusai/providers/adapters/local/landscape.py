"""Drawing a land under a light: sky, sun, clouds, then layers of ground from far to near."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from nexusai.providers.adapters.local.scenery import Colour, Land, Light, Shape

__all__ = ["landscape"]

Size = tuple[int, int]
Outline = list[tuple[float, float]]
_Profile = Callable[[Size, float, float, Random], Outline]

_LAYERS: Final = 6
_HORIZON: Final = 0.62
"""Where the sky ends, as a share of the height."""


def landscape(size: Size, light: Light, land: Land, chance: Random) -> Image.Image:
    width, height = size
    horizon = max(1, round(height * _HORIZON))
    picture = _sky(size, horizon, light)
    if light.stars:
        _stars(picture, horizon, chance)
    _clouds(picture, horizon, light, chance)
    sun = round(width * (0.22 + 0.56 * chance.random())), round(horizon * (1 - light.height))
    _sun(picture, sun, min(size) * 0.06, light)
    for number in range(_LAYERS):
        _layer(picture, number / (_LAYERS - 1), light, land, chance)
    if land.shape == "waves":
        _glitter(picture, sun[0], horizon, light, chance)
    return picture


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _sky(size: Size, horizon: int, light: Light) -> Image.Image:
    column = Image.new("RGB", (1, len(light.sky)))
    column.putdata(light.sky)
    picture = Image.new("RGB", size, light.sky[-1])
    picture.paste(column.resize((size[0], horizon), Image.Resampling.BICUBIC), (0, 0))
    return picture


def _stars(picture: Image.Image, horizon: int, chance: Random) -> None:
    pen = ImageDraw.Draw(picture, "RGBA")
    unit = min(picture.size) / 1000
    for _ in range(220):
        x, y = picture.width * chance.random(), horizon * 0.95 * chance.random()
        radius = unit * (0.6 + 1.8 * chance.random() ** 3)
        brightness = round(90 + 165 * chance.random())
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 245, brightness))


def _sun(picture: Image.Image, centre: tuple[int, int], radius: float, light: Light) -> None:
    x, y = centre
    reach = max(1, round(radius * 7))
    # the gradient has 181 where its circle touches the square's sides
    glow = Image.radial_gradient("L").point(lambda level: int(190 * max(0.0, 1 - level / 181) ** 2))
    picture.paste(light.sun, (x - reach, y - reach), glow.resize((2 * reach, 2 * reach)))
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=light.sun)


def _clouds(picture: Image.Image, horizon: int, light: Light, chance: Random) -> None:
    # drawn small, blurred and stretched: soft edges for the price of a thumbnail
    mask = Image.new("L", (256, 128))
    pen = ImageDraw.Draw(mask)
    for _ in range(7):
        x, y = 256 * chance.random(), 20 + 90 * chance.random()
        for _ in range(6):
            dx, dy = 30 * (chance.random() - 0.5), 5 * (chance.random() - 0.5)
            reach, rise = 8 + 18 * chance.random(), 1.5 + 2.5 * chance.random()
            pen.ellipse((x + dx - reach, y + dy - rise, x + dx + reach, y + dy + rise), fill=110)
    mask = mask.filter(ImageFilter.GaussianBlur(2.2)).resize(
        (picture.width, horizon), Image.Resampling.BICUBIC
    )
    picture.paste(_mix(light.sky[-1], light.sun, 0.5), (0, 0), mask)


def _glitter(picture: Image.Image, x: int, horizon: int, light: Light, chance: Random) -> None:
    """The sun's path on the water."""
    pen = ImageDraw.Draw(picture, "RGBA")
    depth = picture.height - horizon
    for number in range(120):
        down = (number / 120) ** 1.5
        reach = picture.width * (0.008 + 0.06 * down) * (0.2 + chance.random())
        centre = x + picture.width * 0.10 * (0.2 + down) * (chance.random() - 0.5)
        y, rise = horizon + depth * down, depth * (0.002 + 0.010 * down)
        pen.ellipse(
            (centre - reach, y, centre + reach, y + rise), fill=(*light.sun, round(130 * (1 - 0.75 * down)))
        )


def _mirrored(light: Light, nearness: float) -> Colour:
    """The sky's colour in the water: the horizon's far away, the zenith's near."""
    place = (1 - nearness) * (len(light.sky) - 1)
    below = min(int(place), len(light.sky) - 2)
    return _mix(light.sky[below], light.sky[below + 1], place - below)


def _layer(picture: Image.Image, nearness: float, light: Light, land: Land, chance: Random) -> None:
    """One layer of ground: the nearer, the lower, the darker and the less of the sky's colour in it."""
    width, height = picture.size
    wet = land.shape == "waves"
    ground = _mix(land.near, (10, 12, 26), light.shade)
    sky = _mirrored(light, nearness) if wet else light.sky[-1]
    colour = _mix(sky, ground, 0.30 + 0.45 * nearness if wet else 0.35 + 0.65 * nearness)
    depth = nearness**1.4 * 0.85 if wet else 0.04 + 0.78 * nearness
    base = height * (_HORIZON + (1 - _HORIZON) * depth)
    outline = _PROFILES[land.shape](picture.size, base, nearness, chance)
    pen = ImageDraw.Draw(picture)
    pen.polygon([(0, height), *outline, (width, height)], fill=colour)
    if land.shape == "towers" and light.shade > 0.3:
        _windows(ImageDraw.Draw(picture, "RGBA"), outline, base, chance)


def _hills(size: Size, base: float, nearness: float, chance: Random, swell: float = 0.05) -> Outline:
    width, height = size
    waves = [
        (
            frequency * (0.7 + 0.6 * chance.random()),
            math.tau * chance.random(),
            height * swell / frequency**0.8,
        )
        for frequency in (1.0, 2.3, 5.1)
    ]
    xs = [width * n / 200 for n in range(201)]
    return [(x, base + sum(a * math.sin(math.tau * f * x / width + p) for f, p, a in waves)) for x in xs]


def _dunes(size: Size, base: float, nearness: float, chance: Random) -> Outline:
    """Ridges with a sharp crest: hills folded at their middle."""
    height = size[1]
    smooth = _hills(size, 0.0, nearness, chance, swell=0.07)
    return [(x, base - height * 0.05 + abs(y) * 1.1) for x, y in smooth]


def _waves(size: Size, base: float, nearness: float, chance: Random) -> Outline:
    width, height = size
    crests, phase = 17 - 11 * nearness, math.tau * chance.random()
    swell = height * 0.008 * nearness
    turns = [(x, math.tau * x / width) for x in (width * n / 300 for n in range(301))]
    return [
        (x, base + swell * math.sin(crests * turn + phase) * (0.6 + math.sin(2.3 * turn + 3 * phase)))
        for x, turn in turns
    ]


def _peaks(size: Size, base: float, nearness: float, chance: Random) -> Outline:
    """A ridge by midpoint displacement, the higher the farther away."""
    width, height = size
    rise = height * (0.34 - 0.27 * nearness)
    ridge = [chance.random() * 0.6, chance.random() * 0.6]
    spread = 0.9
    for _ in range(8):
        between = [(a + b) / 2 + spread * (chance.random() - 0.5) for a, b in itertools.pairwise(ridge)]
        ridge = [y for pair in zip(ridge, between, strict=False) for y in pair] + [ridge[-1]]
        spread *= 0.52
    return [(width * n / (len(ridge) - 1), base - rise * y) for n, y in enumerate(ridge)]


def _pines(size: Size, base: float, nearness: float, chance: Random) -> Outline:
    outline: Outline = []
    height = size[1] * (0.035 + 0.13 * nearness)
    step = height * 0.30
    for x, y in _resampled(_hills(size, base, nearness, chance), step):
        tip = height * (0.55 + 0.45 * chance.random())
        outline += [
            (x - step * 0.6, y),
            (x - step * 0.1, y - tip * 0.9),
            (x, y - tip),
            (x + step * 0.1, y - tip * 0.9),
        ]
        outline.append((x + step * 0.6, y))
    return outline


def _resampled(outline: Outline, step: float) -> Outline:
    width = outline[-1][0]
    count = max(2, math.ceil(width / max(step, 1.0)) + 1)
    return [outline[min(len(outline) - 1, n * len(outline) // count)] for n in range(count + 1)]


def _towers(size: Size, base: float, nearness: float, chance: Random) -> Outline:
    width, height = size
    outline, x = [], 0.0
    while x < width:
        wide = max(1.0, width * (0.02 + 0.05 * chance.random()) * (0.7 + nearness))
        roof = base - height * (0.05 + 0.26 * chance.random() ** 1.6) * (1.15 - 0.6 * nearness)
        outline += [(x, roof), (x + wide, roof)]
        x += wide
    return outline


def _windows(pen: ImageDraw.ImageDraw, outline: Outline, base: float, chance: Random) -> None:
    """Lit windows in the rows and columns of each tower, which is two points of the outline."""
    unit = max(1.0, base * 0.009)
    for (left, roof), (right, _) in zip(outline[::2], outline[1::2], strict=True):
        rows, columns = int((base * 1.1 - roof) / (unit * 2.6)), int((right - left) / (unit * 2.2)) - 1
        for row, column in itertools.product(range(rows), range(columns)):
            if chance.random() < 0.3:
                x, y = left + unit * (1.4 + 2.2 * column), roof + unit * (1.6 + 2.6 * row)
                pen.rectangle((x, y, x + unit * 0.8, y + unit * 1.1), fill=(255, 214, 130, 150))


_PROFILES: Final[Mapping[Shape, _Profile]] = {
    "hills": _hills,
    "peaks": _peaks,
    "waves": _waves,
    "pines": _pines,
    "towers": _towers,
    "dunes": _dunes,
}
