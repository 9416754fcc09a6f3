"""A caption on a terminal, its misaligned words coloured, the stronger the redder."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import IO

from clip4dm.detection import Detection, Word
from clip4dm.scores import F_CLIP_SCORE
from clip4dm.suggestion.result import Suggestion

# Backgrounds of xterm's 256 colours from pale to deep red, with a foreground that can be read on each.
_SHADES = (("224", "0"), ("217", "0"), ("210", "0"), ("203", "0"), ("196", "15"), ("160", "15"))
_RESET = "\x1b[0m"
_DIM = "\x1b[2m"
STILL_MISALIGNED = "*: with that word the caption still has a misaligned word"


def wants_colour(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that shows colours (NO_COLOR and TERM=dumb say no).

    >>> import io
    >>> wants_colour(io.StringIO())
    False
    """
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured_caption(detection: Detection) -> str:
    """The caption with ANSI colours, and below it the misaligned words with their attributions, strongest first.

    print(coloured_caption(detection))
    """
    found = sorted(((word.attribution or 0.0, word) for word in detection.misaligned), key=lambda pair: pair[0])
    marked = _shades(detection)
    pieces, end = [], 0
    for word in detection.words:
        start = max(word.start, end)
        pieces.append(_printable(detection.caption[end:start]))
        text = _printable(detection.caption[start : word.end])
        if word in marked:
            pieces.append(f"{marked[word]}{text}{_RESET}")
        else:
            pieces.append(text if word.scored else f"{_DIM}{text}{_RESET}")
        end = max(end, word.end)
    pieces.append(_printable(detection.caption[end:]))
    lines = ["".join(pieces)]
    listed = ", ".join(f"{_printable(word.text)} {attribution:.2e}" for attribution, word in found)
    lines.append(
        f"{_DIM}CLIPScore {detection.clip_score:.3f}, {_named_score(detection)}"
        f"{', misaligned: ' + listed if listed else ', nothing misaligned'}{_RESET}"
    )
    lines += [f"{_DIM}dim: {_printable(note)}{_RESET}" for note in unscored_notes(detection)]
    return "\n".join(lines)


def suggestion_lines(detection: Detection, suggestions: Sequence[Suggestion], colour: bool = False) -> list[str]:
    """A line for each word that something was looked for, and one for the "*" where one is among them.

    colour: the words as `coloured_caption` has them.

    suggestion_lines(detection, detector.suggest(picture, detection.caption))  # ["coke -> coffee +0.041, tea +0.022"]
    """
    marked = _shades(detection) if colour else {}
    lines = []
    for one in suggestions:
        word, line = _printable(one.word.text), _printable(one.line())
        lines.append(f"{marked[one.word]}{word}{_RESET}{line[len(word) :]}" if one.word in marked else line)
    if not all(new.fits for one in suggestions for new in one.replacements):
        lines.append(f"{_DIM}{STILL_MISALIGNED}{_RESET}" if colour else STILL_MISALIGNED)
    return lines


def _named_score(detection: Detection) -> str:
    if detection.score_name == F_CLIP_SCORE:
        return f"F-CLIPScore {detection.score:.2e}"
    return f"{detection.score_name} {detection.score:.3f}"


def unscored_notes(detection: Detection) -> list[str]:
    """A sentence for each reason why words were not scored, with their number and the first of them.

    unscored_notes(detection)  # ["3 words lie beyond CLIP's context and were not scored, from 'lake' on"]
    """
    unscored = [word for word in detection.words if not word.scored]
    beyond = [word.text for word in unscored if word.beyond_context]
    without = [word.text for word in unscored if not word.beyond_context]
    notes = []
    if beyond:
        notes.append(f"{len(beyond)} words lie beyond CLIP's context and were not scored, from {beyond[0]!r:.60} on")
    if without:
        notes.append(f"{len(without)} words have no token of their own and were not scored, first {without[0]!r:.60}")
    return notes


def _shades(detection: Detection) -> dict[Word, str]:
    """What begins a misaligned word's colour."""
    strongest = min((word.attribution or 0.0 for word in detection.misaligned), default=0.0)
    return {word: _shade(word.attribution or 0.0, strongest) for word in detection.misaligned}


def _shade(attribution: float, strongest: float) -> str:
    share = attribution / strongest if strongest else 1.0
    background, foreground = _SHADES[min(len(_SHADES) - 1, max(0, round(share * (len(_SHADES) - 1))))]
    return f"\x1b[48;5;{background};38;5;{foreground}m"


def _printable(text: str) -> str:
    """A caption may come from anywhere: its control characters must not reach the terminal."""
    return "".join(
        " " if c in "\n\r\t" else "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c
        for c in text
    )
