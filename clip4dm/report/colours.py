"""A word's colour by its attribution: orange where it does not fit the picture, white at 0, blue where it fits.

Blue and orange are told apart by all common kinds of colour blindness; a misaligned word is underlined as well, so that
nothing rests on colour alone. Attributions are about 1e-4 on published backbones: without a reference all would be
white. It is the caption's largest attribution, or epsilon where that is larger still, so that a caption whose words are
all near 0 stays pale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clip4dm.detection import Detection, Word

Colour = tuple[int, int, int]  # red, green, blue, 0..255

WHITE: Colour = (255, 255, 255)
FITS: Colour = (97, 160, 221)  # blue
FITS_NOT: Colour = (245, 147, 49)  # orange; black text on either has a contrast of more than 7 : 1
INK: Colour = (0, 0, 0)


@dataclass(frozen=True)
class Palette:
    """Grounds of words from fits_not over zero to fits, and the ink that is read on all of them.

    >>> LIGHT.zero, DARK.zero
    ((255, 255, 255), (42, 46, 54))
    """

    zero: Colour
    fits: Colour
    fits_not: Colour
    ink: Colour


LIGHT = Palette(WHITE, FITS, FITS_NOT, INK)
DARK = Palette(zero=(42, 46, 54), fits=(28, 92, 163), fits_not=(165, 78, 8), ink=(245, 246, 248))  # of a dark page


def scale(detection: Detection) -> float:
    """The attribution that takes the full colour: the largest of the caption, at least |epsilon|; > 0.

    scale(detection)  # 0.0207
    """
    return scale_of(detection.words, detection.epsilon)


def scale_of(words: Sequence[Word], epsilon: float) -> float:
    """The same of a caption's words.

    >>> scale_of([Word("coke", 9, 13, attribution=-2e-4, misaligned=True)], epsilon=-5e-5)
    0.0002
    """
    largest = max((abs(word.attribution) for word in words if word.attribution is not None), default=0.0)
    return max(largest, abs(epsilon)) or 1.0


def colour(attribution: float | None, full: float, palette: Palette = LIGHT) -> Colour:
    """Of a word: between white, at 0, and blue or orange, at `full` or beyond. None, a word not scored: white.

    palette: DARK has a dark grey for white, and darker ends.

    >>> colour(0.0, 1e-4), colour(-2e-4, 1e-4) == FITS_NOT, colour(5e-5, 1e-4)
    ((255, 255, 255), True, (176, 208, 238))
    """
    if attribution is None:
        return palette.zero
    share = min(abs(attribution) / full, 1.0)
    end = palette.fits_not if attribution < 0 else palette.fits
    red, green, blue = (round(zero + share * (value - zero)) for zero, value in zip(palette.zero, end, strict=True))
    return red, green, blue


def contrast(one: Colour, other: Colour) -> float:
    """Contrast ratio of WCAG 2, 1..21.

    >>> round(contrast(INK, WHITE)), contrast(INK, FITS) > 7, contrast(INK, FITS_NOT) > 7
    (21, True, True)
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    """Relative luminance of sRGB, as WCAG 2 defines it."""
    shares = [value / 255 for value in colour]
    red, green, blue = (share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def hexadecimal(value: Colour) -> str:
    """As style sheets write it.

    >>> hexadecimal(FITS)
    '#61a0dd'
    """
    return "#" + bytes(value).hex()
