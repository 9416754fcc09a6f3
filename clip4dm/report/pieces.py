"""A caption cut into the pieces that are shown: its words, and what stands between them, none left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clip4dm.detection import Detection, Word
from clip4dm.scores import last_layers


@dataclass(frozen=True)
class Piece:
    """text of the caption; word: the word that it is, or None for what stands between words.

    >>> Piece(", ", None).word is None
    True
    """

    text: str
    word: Word | None


def pieces(detection: Detection) -> Iterator[Piece]:
    """The caption's pieces in order; joined they are the caption.

    "".join(piece.text for piece in pieces(detection)) == detection.caption
    """
    return pieces_of(detection.caption, detection.words)


def pieces_of(caption: str, words: Sequence[Word]) -> Iterator[Piece]:
    """The same of a caption and its words, in its order.

    >>> [piece.text for piece in pieces_of("a coke!", [Word("coke", 2, 6, attribution=-2e-4, misaligned=True)])]
    ['a ', 'coke', '!']
    """
    at = 0
    for word in words:
        if word.start > at:
            yield Piece(caption[at : word.start], None)
        yield Piece(word.text, word)
        at = word.end
    if at < len(caption):
        yield Piece(caption[at:], None)


def summary(detection: Detection) -> str:
    """One line of figures: the words that do not fit, the cosine, F-CLIPScore.

    summary(detection)  # 'does not fit: hearts · cosine 0.295 · F-CLIPScore -0.0174'
    """
    found = ", ".join(word.text for word in detection.misaligned)
    unscored = sum(not word.scored for word in detection.words)
    scored = len(detection.words) - unscored
    fits = "every scored word fits" if unscored else "every word fits"
    verdict = f"does not fit: {found}" if found else fits if scored else "no word was scored"
    score = "" if detection.score == detection.f_clip_score else f" · {detection.score_name} {detection.score:.4g}"
    return (
        f"{verdict}{f' · {unscored} not scored' if unscored and scored else ''} · cosine {detection.cosine:.3f} · "
        f"F-CLIPScore {detection.f_clip_score:.3g}{score}"
    )


def settings_line(detection: Detection) -> str:
    """One line of what the verdicts were made with.

    settings_line(detection)  # 'clip4dm, all 2 text layers; words below -5e-05 do not fit'
    """
    last = last_layers(detection.start_layer_text, detection.layers)
    if detection.layers == 1:
        layers = "the text tower as a whole"
    else:
        layers = f"{'all' if last == detection.layers else 'the last'} {last} text layers"
    rule = (
        "the lowest word does not fit"
        if detection.sorted_by == "most_negative"
        else f"words below {detection.epsilon:g} do not fit"
    )
    return f"{detection.method}, {layers}; {rule}"
