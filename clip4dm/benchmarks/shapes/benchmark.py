"""Benchmarks of drawn scenes on disk: pictures, a true caption of each and a foil of it, in FOIL's format.

The demo model was trained on scenes 0 to 99,999; a benchmark is drawn from FIRST_SEED on, far beyond them, the harder
one from HARD_FIRST_SEED on, that of long captions from LONG_FIRST_SEED on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tqdm import tqdm

from clip4dm.benchmarks.base import ORIGINAL
from clip4dm.benchmarks.shapes.captions import write_caption
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.foils import make_foil
from clip4dm.benchmarks.shapes.harder import make_hard_pair
from clip4dm.benchmarks.shapes.long import make_long_pair
from clip4dm.benchmarks.shapes.scenes import Scene, sample_scene
from clip4dm.files.writing import replace_file

FIRST_SEED = 1_000_000
HARD_FIRST_SEED = 3_000_000
LONG_FIRST_SEED = 7_000_000


class _Pair(NamedTuple):
    """One picture's two captions. groups: what both rows say beside FOIL's fields."""

    scene: Scene
    caption: str
    foil: str
    original_word: str
    foil_word: str
    groups: dict[str, str]


def make_benchmark(
    folder: Path, pairs: int, size: int = 128, first_seed: int = FIRST_SEED, kind: str | None = None
) -> Path:
    """Write pictures into folder/images and annotations into folder/shapes_foil.json, whose path is returned.

    pairs: of caption and foil, a picture each. size: of the pictures, pixels. kind: exchange words of this kind
    alone, one of lexicon.KINDS. Scenes whose caption has no word that could be exchanged are passed over. The same
    arguments give the same bytes. The annotations come last: where they are, all pictures are. Errors: OSError.

    >>> import tempfile
    >>> path = make_benchmark(Path(tempfile.mkdtemp()), pairs=1, size=16)
    >>> [row["caption"] for row in json.loads(path.read_text())["annotations"]]
    ['we see a red disc on sand', 'we see a red star on sand']
    """
    info = {"description": "drawn scenes with one false word", "first_seed": first_seed}
    return _write(folder, info, pairs, size, _pairs(first_seed, kind))


def make_hard_benchmark(
    folder: Path, pairs: int, size: int = 128, first_seed: int = HARD_FIRST_SEED, kind: str | None = None
) -> Path:
    """The same of the harder scenes, captions and foils of harder.py. kind: of the foils, one of harder.HARD_KINDS.

    Each row has beside its kind the fact that the exchanged word states.

    >>> import tempfile
    >>> path = make_hard_benchmark(Path(tempfile.mkdtemp()), pairs=1, size=16, kind="negation")
    >>> [row["caption"] for row in json.loads(path.read_text())["annotations"]]
    ['five striped bolts and no star', 'five striped bolts and no diamond']
    """
    info = {"description": "drawn scenes with one false word, harder", "first_seed": first_seed}
    return _write(folder, info, pairs, size, _hard_pairs(first_seed, kind))


def make_long_benchmark(
    folder: Path, pairs: int, size: int = 128, first_seed: int = LONG_FIRST_SEED, kind: str | None = None
) -> Path:
    """The same with captions of 150 to 300 words and full stops, of long.py. kind: of the foils, one of lexicon.KINDS.

    >>> import tempfile
    >>> path = make_long_benchmark(Path(tempfile.mkdtemp()), pairs=1, size=16)
    >>> [len(row["caption"].replace(".", " .").split()) for row in json.loads(path.read_text())["annotations"]]
    [230, 230]
    """
    info = {"description": "drawn scenes, long captions with one false word", "first_seed": first_seed}
    return _write(folder, info, pairs, size, _long_pairs(first_seed, kind))


def _pairs(first_seed: int, kind: str | None) -> Iterator[_Pair]:
    for seed in count(first_seed):
        scene, random = sample_scene(seed), Random(f"benchmark {seed}")
        caption = write_caption(scene, random)
        foil = make_foil(scene, caption, random, kind)
        if foil:
            groups = {"kind": foil.kind}
            yield _Pair(scene, caption.text, foil.caption.text, foil.original_word, foil.foil_word, groups)


def _hard_pairs(first_seed: int, kind: str | None) -> Iterator[_Pair]:
    for seed in count(first_seed):
        pair = make_hard_pair(seed, kind)
        before, after = pair.caption.words[pair.index], pair.foil.words[pair.index]
        groups = {"kind": pair.kind, "fact": pair.fact}
        yield _Pair(pair.scene, pair.caption.text, pair.foil.text, before, after, groups)


def _long_pairs(first_seed: int, kind: str | None) -> Iterator[_Pair]:
    for seed in count(first_seed):
        pair = make_long_pair(seed, kind)
        if pair:
            words = pair.original_word, pair.foil_word
            yield _Pair(pair.scene, pair.caption, pair.foil, *words, {"kind": pair.kind})


def _write(folder: Path, info: dict[str, Any], pairs: int, size: int, source: Iterable[_Pair]) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for _, pair in zip(tqdm(range(pairs), desc="drawing"), source, strict=False):
        name = f"shapes_{pair.scene.seed:09d}.png"
        draw(pair.scene, size).save(folder / "images" / name)
        images.append({"id": pair.scene.seed, "file_name": name})
        annotations += _annotations(pair)
    content = {"info": info, "images": images, "annotations": annotations}
    path = folder / "shapes_foil.json"
    replace_file(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


def _annotations(pair: _Pair) -> list[dict[str, Any]]:
    """FOIL's two rows of a picture, with the kind of the exchanged word beside them."""
    number = pair.scene.seed
    common = {"image_id": number, "foil_id": number} | pair.groups
    original = {
        "id": 2 * number,
        "caption": pair.caption,
        "foil": False,
        "foil_word": ORIGINAL,
        "target_word": ORIGINAL,
    }
    exchanged = {
        "id": 2 * number + 1,
        "caption": pair.foil,
        "foil": True,
        "foil_word": pair.foil_word,
        "target_word": pair.original_word,
    }
    return [original | common, exchanged | common]
