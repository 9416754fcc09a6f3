"""Drawn scenes to begin with: one true caption each, and for every fact that it states a foil.

The demo model was not trained on these scenes, and finds every exchanged word of them: they were looked for. How often
it does is measured on the benchmark, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from clip4dm.benchmarks.shapes.captions import Caption, write_caption
from clip4dm.benchmarks.shapes.foils import Foil, make_foil
from clip4dm.benchmarks.shapes.scenes import Scene, sample_scene

SEEDS = (2_001_265, 2_018_910, 2_001_731, 2_000_526)  # together their captions state every kind of fact (lexicon.KINDS)


@dataclass(frozen=True)
class Example:
    """A scene, a true caption of it, and foils that differ from it in a word each.

    >>> example(2_001_731).texts
    ('four fishes that are blue', 'two fishes that are blue', 'four moons that are blue', 'four fishes that are white')
    """

    scene: Scene
    caption: Caption
    foils: tuple[Foil, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The true caption, then the foils."""
        return (self.caption.text, *(foil.caption.text for foil in self.foils))


def example(seed: int) -> Example:
    """The scene of a seed with a caption and a foil for each kind of fact in it, as far as one is surely false.

    >>> [foil.kind for foil in example(2_001_265).foils]
    ['colour', 'object', 'position', 'background']
    """
    scene, random = sample_scene(seed), Random(f"example {seed}")
    caption = write_caption(scene, random)
    kinds = dict.fromkeys(slot.kind for slot in caption.slots if slot)
    foils = (make_foil(scene, caption, random, kind) for kind in kinds)
    return Example(scene, caption, tuple(foil for foil in foils if foil))


def what_to_look_at(foil: Foil) -> str:
    """Where a foil is false.

    >>> what_to_look_at(example(2_001_731).foils[0])
    'look at "two", which is false (count): the true caption says "four"'
    """
    return f'look at "{foil.foil_word}", which is false ({foil.kind}): the true caption says "{foil.original_word}"'
