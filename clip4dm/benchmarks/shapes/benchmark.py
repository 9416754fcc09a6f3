"""A benchmark of drawn scenes on disk: pictures, a true caption of each and a foil of it, in FOIL's format.

The demo model was trained on scenes 0 to 99,999; a benchmark is drawn from FIRST_SEED on, far beyond them.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from tqdm import tqdm

from clip4dm.benchmarks.base import ORIGINAL
from clip4dm.benchmarks.shapes.captions import Caption, write_caption
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.foils import Foil, make_foil
from clip4dm.benchmarks.shapes.scenes import Scene, sample_scene
from clip4dm.files.writing import replace_file

FIRST_SEED = 1_000_000


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
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    seed = first_seed
    with tqdm(total=pairs, desc="drawing") as bar:
        while len(images) < pairs:
            scene, random = sample_scene(seed), Random(f"benchmark {seed}")
            caption = write_caption(scene, random)
            foil = make_foil(scene, caption, random, kind)
            seed += 1
            if foil is None:
                continue
            name = f"shapes_{scene.seed:09d}.png"
            draw(scene, size).save(folder / "images" / name)
            images.append({"id": scene.seed, "file_name": name})
            annotations += _annotations(scene, caption, foil)
            bar.update()
    info = {"description": "drawn scenes with one false word", "first_seed": first_seed}
    content = {"info": info, "images": images, "annotations": annotations}
    path = folder / "shapes_foil.json"
    replace_file(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


def _annotations(scene: Scene, caption: Caption, foil: Foil) -> list[dict[str, Any]]:
    """FOIL's two rows of a picture, with the kind of the exchanged word beside them."""
    number = scene.seed
    common = {"image_id": number, "foil_id": number, "kind": foil.kind}
    original = {
        "id": 2 * number,
        "caption": caption.text,
        "foil": False,
        "foil_word": ORIGINAL,
        "target_word": ORIGINAL,
    }
    exchanged = {
        "id": 2 * number + 1,
        "caption": foil.caption.text,
        "foil": True,
        "foil_word": foil.foil_word,
        "target_word": foil.original_word,
    }
    return [original | common, exchanged | common]
