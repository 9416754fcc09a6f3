"""The pictures that the page begins with: drawn scenes with a foil of every kind, and the published cup of coffee."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.examples import SEEDS, example

COFFEE = Path(__file__).resolve().parents[3] / "misc" / "coffee.png"  # not part of an installed package
COFFEE_CAPTIONS = ("a cup of coke", "a cup of coffee")
SIZE = 384  # pixels, of a drawn scene


@dataclass(frozen=True)
class Offered:
    """A picture file, its name on the page, and captions, the first of which is true where it is drawn.

    Offered(Path("four fishes.png"), "four fishes that are blue", ("four fishes that are blue",)).name
    """

    picture: Path
    name: str
    captions: tuple[str, ...]


def offered(folder: Path, drawn_first: bool) -> list[Offered]:
    """Draws the scenes into a folder; the cup of coffee where the checkout has it. Errors: OSError.

    >>> import tempfile
    >>> [one.name for one in offered(Path(tempfile.mkdtemp()), drawn_first=True)][:2]
    ['a purple heart near the right on snow', 'a box floats above a plain fish']
    """
    scenes = []
    for one in map(example, SEEDS):
        path = folder / f"{one.caption.text.replace(' ', '-')}.png"
        draw(one.scene, SIZE).save(path)
        scenes.append(Offered(path, one.caption.text, one.texts))
    coffee = [Offered(COFFEE, "a cup of coffee", COFFEE_CAPTIONS)] if COFFEE.is_file() else []
    return [*scenes, *coffee] if drawn_first else [*coffee, *scenes]
