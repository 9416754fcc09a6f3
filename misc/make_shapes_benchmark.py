"""Write a benchmark whose truth is known exactly: drawn scenes, a true caption of each, and a foil of it.

    python misc/make_shapes_benchmark.py data/shapes
    python main.py --data_path data/shapes/shapes_foil.json --img_dir data/shapes/images --backbone demo

FOIL's format, with the kind of the exchanged word beside it: main.py evaluates it like FOIL, grouped by kind. The
demo model was trained on scenes 0 to 99,999; this draws from 1,000,000 on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

from clip4dm.benchmarks.shapes.lexicon import KINDS
from clip4dm.commands.cli import one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, PIXELS, SEED

FIRST_SEED = 1_000_000  # far beyond any scene that training draws


def make_benchmark(
    folder: Path, pairs: int, size: int = 128, first_seed: int = FIRST_SEED, kind: str | None = None
) -> Path:
    """Pictures in folder/images, annotations in folder/shapes_foil.json, whose path is returned.

    pairs: of caption and foil, a picture each. size: of the pictures, pixels. kind: exchange words of this kind
    alone. Scenes whose caption has no word that could be exchanged are passed over.
    """
    from tqdm import tqdm

    from clip4dm.benchmarks.shapes.captions import write_caption
    from clip4dm.benchmarks.shapes.drawing import draw
    from clip4dm.benchmarks.shapes.foils import make_foil
    from clip4dm.benchmarks.shapes.scenes import sample_scene

    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    seed = first_seed
    with tqdm(total=pairs, desc="drawing") as bar:
        while len(images) < pairs:
            scene, random = sample_scene(seed), Random(f"benchmark {seed}")
            caption = write_caption(scene, random)
            foil = make_foil(scene, caption, random, kind)
            seed += 1
            if foil is None:
                continue
            number, name = scene.seed, f"shapes_{scene.seed:09d}.png"
            draw(scene, size).save(folder / "images" / name)
            images.append({"id": number, "file_name": name})
            common = {"image_id": number, "foil_id": number, "kind": foil.kind}
            annotations += [
                {
                    "id": 2 * number,
                    "caption": caption.text,
                    "foil": False,
                    "foil_word": "ORIG",
                    "target_word": "ORIG",
                    **common,
                },
                {
                    "id": 2 * number + 1,
                    "caption": foil.caption.text,
                    "foil": True,
                    "foil_word": foil.foil_word,
                    "target_word": foil.original_word,
                    **common,
                },
            ]
            bar.update()
    path = folder / "shapes_foil.json"
    path.write_text(
        json.dumps(
            {
                "info": {"description": "drawn scenes with one false word", "first_seed": first_seed},
                "images": images,
                "annotations": annotations,
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    return path


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write shapes_foil.json and images/")
    parser.add_argument("--pairs", type=AT_LEAST_ONE, default=2000, help="default: %(default)s")
    parser.add_argument("--size", type=PIXELS, default=128, help="of the pictures, pixels (default: %(default)s)")
    parser.add_argument("--kind", choices=KINDS, help="exchange words of this kind alone (default: any)")
    parser.add_argument("--first_seed", type=SEED, default=FIRST_SEED, help="default: %(default)s")
    args = parser.parse_args(argv)
    with one_line_errors("make_shapes_benchmark.py"):
        path = make_benchmark(args.folder, args.pairs, args.size, args.first_seed, args.kind)
        print(f"{args.pairs} pairs: {path}")


if __name__ == "__main__":
    run_command(main)
