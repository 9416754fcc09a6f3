"""A word's colour by its attribution: orange where it does not fit the picture, white at 0, blue where it fits.

Blue and orange are told apart by all common kinds of colour blindness; a misaligned word is underlined as well, so that
nothing rests on colour alone. Attributions are about 1e-4 on published backbones: without a reference all would be
white. It is the caption's largest attribution, or epsilon where that is larger still, so that a caption whose words are
all near 0 stays pale.
"""

from __future__ import annotations

from clip4dm.detection import Detection

Colour = tuple[int, int, int]  # red, green, blue, 0..255

WHITE: Colour = (255, 255, 255)
FITS: Colour = (97, 160, 221)  # blue
FITS_NOT: Colour = (245, 147, 49)  # orange; black text on either has a contrast of more than 7 : 1
INK: Colour = (0, 0, 0)


def scale(detection: Detection) -> float:
    """The attribution that takes the full colour: the largest of the caption, at least |epsilon|; > 0.

    scale(detection)  # 0.0207
    """
    largest = max((abs(word.attribution) for word in detection.words if word.attribution is not None), default=0.0)
    return max(largest, abs(detection.epsilon)) or 1.0


def colour(attribution: float | None, full: float) -> Colour:
    """Of a word: between white, at 0, and blue or orange, at `full` or beyond. None, a word not scored: white.

    >>> colour(0.0, 1e-4), colour(-2e-4, 1e-4) == FITS_NOT, colour(5e-5, 1e-4)
    ((255, 255, 255), True, (176, 208, 238))
    """
    if attribution is None:
        return WHITE
    share = min(abs(attribution) / full, 1.0)
    end = FITS_NOT if attribution < 0 else FITS
    red, green, blue = (round(white + share * (value - white)) for white, value in zip(WHITE, end, strict=True))
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
