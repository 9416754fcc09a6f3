"""A scene -> a picture, with Pillow: the same bytes for the same scene and size."""

from __future__ import annotations

import functools
import math
from random import Random

from PIL import Image, ImageDraw

from clip4dm.benchmarks.shapes.scenes import Scene, Thing

COLOUR_RGB = {
    "red": (212, 40, 40),
    "yellow": (242, 212, 48),
    "green": (40, 160, 70),
    "blue": (45, 85, 215),
    "purple": (132, 60, 172),
    "pink": (246, 150, 192),
    "brown": (120, 76, 42),
    "black": (32, 32, 34),
    "white": (244, 244, 244),
}
GROUND_RGB = {
    "grass": (96, 148, 72),
    "sand": (222, 200, 150),
    "snow": (226, 234, 244),
    "water": (96, 158, 196),
    "brick": (176, 106, 90),
    "wood": (164, 124, 82),
}
TINT = 18  # how far a colour may stray, per channel of 255
OVERSAMPLING = 2
GROUND_SIDE = 384  # pixels of the drawn ground that pictures are cut from
DETAIL_RGB = (60, 55, 55)


def draw(scene: Scene, size: int = 128) -> Image.Image:
    """An RGB picture of size x size pixels.

    >>> from clip4dm.benchmarks.shapes.scenes import sample_scene
    >>> draw(sample_scene(7), size=64).size
    (64, 64)
    """
    side = size * OVERSAMPLING
    random = Random(f"drawing {scene.seed}")
    cut = GROUND_SIDE * 2 // 3
    left, top = (int(random.random() * (GROUND_SIDE - cut)) for _ in "xy")
    picture = _ground(scene.background).resize(
        (side, side), Image.Resampling.BILINEAR, box=(left, top, left + cut, top + cut)
    )
    colours: dict[str, tuple[int, int, int]] = {}
    for thing in sorted(scene.things, key=lambda thing: -thing.radius):  # what is inside is drawn last
        if scene.sort not in ("several", "group") or thing.colour not in colours:
            colours[thing.colour] = _tinted(COLOUR_RGB[thing.colour], random)
        _paint(picture, thing, colours[thing.colour], side)
    return picture.reduce(OVERSAMPLING)


def _paint(picture: Image.Image, thing: Thing, colour: tuple[int, int, int], side: int) -> None:
    points = [(x * side, y * side) for x, y in outline(thing)]
    line = max(2, round(side / 90))
    if thing.texture == "hollow":
        ImageDraw.Draw(picture).line([*points, points[0], points[1]], DETAIL_RGB, line * 4, joint="curve")
        ImageDraw.Draw(picture).line([*points, points[0], points[1]], colour, line * 3, joint="curve")
        return
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon(points, 255)
    picture.paste(_cloth(thing, colour, side), mask=mask)
    ImageDraw.Draw(picture).line([*points, points[0], points[1]], DETAIL_RGB, line, joint="curve")


def _cloth(thing: Thing, colour: tuple[int, int, int], side: int) -> Image.Image:
    cloth = Image.new("RGB", (side, side), colour)
    if thing.texture == "plain":
        return cloth
    pen = ImageDraw.Draw(cloth)
    other = (250, 250, 250) if sum(colour) < 480 else (70, 70, 80)
    step = max(0.045, thing.radius / 4) * side
    x0, y0, reach = thing.x * side, thing.y * side, thing.radius * 1.5 * side
    rows = range(-math.ceil(reach / step), math.ceil(reach / step) + 1)
    for row in rows:
        if thing.texture == "striped":
            y = y0 + row * step
            pen.line([(x0 - reach, y), (x0 + reach, y)], other, round(step * 0.4))
        else:
            for column in rows:
                x, y = x0 + (column + row % 2 / 2) * step, y0 + row * step
                pen.ellipse([x - step / 4, y - step / 4, x + step / 4, y + step / 4], other)
    return cloth


def outline(thing: Thing) -> list[tuple[float, float]]:
    """The thing's outline as a polygon: its corners (x, y), in fractions of the picture's side.

    >>> len(outline(Thing("square", "red", "plain", 0.5, 0.5, 0.2, 0.0)))
    4
    """
    turn = math.radians(thing.angle)
    cos, sin = math.cos(turn) * thing.radius, math.sin(turn) * thing.radius
    return [(thing.x + x * cos + y * sin, thing.y - x * sin + y * cos) for x, y in _unit_outline(thing.shape)]


def _arc(number: int, start: float = 0.0, end: float = 360.0) -> list[tuple[float, float]]:
    angles = [math.radians(start + (end - start) * i / number) for i in range(number)]
    return [(math.cos(angle), math.sin(angle)) for angle in angles]


@functools.cache
def _unit_outline(shape: str) -> tuple[tuple[float, float], ...]:
    """Within the unit circle about the origin, y downwards."""
    if shape == "circle":
        points = _arc(40)
    elif shape == "star":
        points = [
            (
                (1.0 if i % 2 == 0 else 0.42) * math.sin(math.pi * i / 5),
                -(1.0 if i % 2 == 0 else 0.42) * math.cos(math.pi * i / 5),
            )
            for i in range(10)
        ]
    elif shape == "heart":
        angles = [2 * math.pi * i / 40 for i in range(40)]
        points = [
            (math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17)
            for t in angles
        ]
    elif shape == "moon":
        inner = [(0.42 + 0.78 * x, 0.78 * y) for x, y in _arc(20, 250, 110)]
        points = _arc(24, 60, 300) + inner
    elif shape == "fish":
        body = [(0.22 + 0.76 * x, 0.5 * y) for x, y in _arc(28, 160, -160)]
        points = [*body, (-1.0, -0.55), (-0.8, 0.0), (-1.0, 0.55)]
    else:
        points = _POLYGONS[shape]
    return tuple(points)


_POLYGONS = {
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "triangle": [(0.0, -0.95), (0.95, 0.75), (-0.95, 0.75)],
    "cross": [
        (-0.3, -1),
        (0.3, -1),
        (0.3, -0.3),
        (1, -0.3),
        (1, 0.3),
        (0.3, 0.3),
        (0.3, 1),
        (-0.3, 1),
        (-0.3, 0.3),
        (-1, 0.3),
        (-1, -0.3),
        (-0.3, -0.3),
    ],
    "diamond": [(0.0, -1.0), (0.6, 0.0), (0.0, 1.0), (-0.6, 0.0)],
    "house": [(0.0, -1.0), (0.95, -0.2), (0.65, -0.2), (0.65, 0.85), (-0.65, 0.85), (-0.65, -0.2), (-0.95, -0.2)],
    "tree": [
        (0.0, -1.0),
        (0.5, -0.35),
        (0.3, -0.35),
        (0.75, 0.45),
        (0.18, 0.45),
        (0.18, 1.0),
        (-0.18, 1.0),
        (-0.18, 0.45),
        (-0.75, 0.45),
        (-0.3, -0.35),
        (-0.5, -0.35),
    ],
    "bolt": [(0.25, -1.0), (-0.6, 0.15), (-0.05, 0.15), (-0.25, 1.0), (0.6, -0.2), (0.05, -0.2)],
}


@functools.cache
def _ground(background: str) -> Image.Image:
    """The drawn ground of a background, from which every picture takes a piece."""
    base = GROUND_RGB[background]
    picture = Image.new("RGB", (GROUND_SIDE, GROUND_SIDE), base)
    pen, random = ImageDraw.Draw(picture), Random(f"ground {background}")

    def shade(amount: float) -> tuple[int, ...]:
        return tuple(max(0, min(255, round(channel + amount))) for channel in base)

    def anywhere() -> tuple[float, float]:
        return random.random() * GROUND_SIDE, random.random() * GROUND_SIDE

    if background == "grass":
        for _ in range(2600):
            x, y = anywhere()
            pen.line([x, y, x + 6 * random.random() - 3, y - 12], shade(60 * random.random() - 30), 2)
    elif background in ("sand", "snow"):
        dot = 1.5 if background == "sand" else 5.0
        for _ in range(2600 if background == "sand" else 260):
            x, y = anywhere()
            pen.ellipse([x - dot, y - dot, x + dot, y + dot], shade(-45 if background == "sand" else 28))
    elif background == "water":
        for row in range(0, GROUND_SIDE, 16):
            wave = [(x, row + 4 * math.sin(x / 9 + row)) for x in range(0, GROUND_SIDE, 3)]
            pen.line(wave, shade(34 if row % 32 else -26), 3)
    elif background == "brick":
        for row in range(0, GROUND_SIDE, 24):
            pen.line([0, row, GROUND_SIDE, row], shade(70), 3)
            for x in range((row // 24 % 2) * 24, GROUND_SIDE, 48):
                pen.line([x, row, x, row + 24], shade(70), 3)
    else:
        for x in range(0, GROUND_SIDE, 40):
            pen.rectangle([x, 0, x + 38, GROUND_SIDE], shade(24 * random.random() - 12))
            pen.line([x + 39, 0, x + 39, GROUND_SIDE], shade(-60), 3)
            for _ in range(5):
                y = random.random() * GROUND_SIDE
                pen.line([x + 8 + 24 * random.random(), y, x + 8 + 24 * random.random(), y + 60], shade(-28), 2)
    return picture


def _tinted(colour: tuple[int, int, int], random: Random) -> tuple[int, int, int]:
    red, green, blue = (max(0, min(255, round(channel + TINT * (2 * random.random() - 1)))) for channel in colour)
    return red, green, blue
