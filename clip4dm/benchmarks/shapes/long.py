"""Long captions of drawn scenes: true sentences one behind the other, each worded anew, and one false word anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from random import Random

from clip4dm.benchmarks.shapes.captions import Caption, may_hold, write_caption
from clip4dm.benchmarks.shapes.foils import make_foil
from clip4dm.benchmarks.shapes.scenes import Scene, sample_scene

SHORTEST, LONGEST = 150, 300  # words and full stops of a caption: about as many tokens of CLIP
PATIENCE = 50  # sentences drawn without a new one, from which on one may stand twice


@dataclass(frozen=True)
class LongPair:
    """A scene's true caption, and the same with one word exchanged. kind: of the fact that the word states.

    make_long_pair(7_000_000).foil_word
    """

    scene: Scene
    caption: str
    foil: str
    original_word: str
    foil_word: str
    kind: str


def make_long_pair(seed: int, kind: str | None = None) -> LongPair | None:
    """A pair of SHORTEST to LONGEST words and full stops. None if no word (of `kind`) could be exchanged.

    The false word's sentence is any of those that can have one, alike.

    >>> pair = make_long_pair(7_000_000)
    >>> pair.caption[:32], pair.original_word, pair.foil_word
    ('the tree that is white on water.', 'circle', 'box')
    """
    scene, random = sample_scene(seed), Random(f"long {seed}")
    sentences = _sentences(scene, random)
    places = list(range(len(sentences)))
    while places:
        place = places.pop(int(random.random() * len(places)))
        foil = make_foil(scene, sentences[place], random, kind)
        if foil:
            exchanged = [*sentences[:place], foil.caption, *sentences[place + 1 :]]
            return LongPair(scene, _text(sentences), _text(exchanged), foil.original_word, foil.foil_word, foil.kind)
    return None


def _sentences(scene: Scene, random: Random) -> list[Caption]:
    wanted = SHORTEST + int(random.random() * (LONGEST - SHORTEST - 16))  # a sentence has 16 at most
    found: list[Caption] = []
    texts: set[str] = set()
    length, last_new = 0, 0
    for number in count():
        caption = write_caption(scene, random)
        if caption.text in texts and number - last_new < PATIENCE:
            continue
        if not may_hold(caption.statement, scene):  # of several things of about the size that parts small from large
            continue
        last_new = number
        texts.add(caption.text)
        found.append(caption)
        length += len(caption.words) + 1
        if length >= wanted:
            break
    return found


def _text(sentences: list[Caption]) -> str:
    return " ".join(f"{sentence.text}." for sentence in sentences)
