"""Do other inputs locate more? Neutral words in a word's place, and other views of the picture, on a benchmark's foils.

    python misc/vary_inputs.py words --data_path foils.json --img_dir images --limit 2000
    python misc/vary_inputs.py views --data_path foils.json --img_dir images --limit 2000 --methods gradient_value

words: how often the very word is the lowest (LA_span), of occlusion and of replacement by each of --words, on the
calibration half of the pictures and on the other. views: location accuracy of --methods, with the mean feature of views
in the picture's place: its mirror image, crops of 0.8 of its sides from the corners and the middle, 10 copies with
random patches blanked; and the gain over the picture as it is, paired by image. Prints Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clip4dm.attribution.methods import METHODS
from clip4dm.commands.arguments import add_model_options, model_arguments
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE, SEED
from clip4dm.models.names import DEFAULT_BACKBONE

WORDS = ("the", "a", "is", "and", "something", "one", "it", "unk", "thing", "stuff")
CROP = 0.8  # of a picture's sides
MASKED_COPIES = 10
VIEWS = {  # name -> the views whose mean feature it is
    "the picture": ("whole",),
    "picture and mirror image": ("whole", "mirror"),
    "picture, mirror image, 5 crops": ("whole", "mirror", "crops"),
    "5 crops": ("crops",),
    f"{MASKED_COPIES} masked copies": ("masked",),
    f"picture, {MASKED_COPIES} masked copies": ("whole", "masked"),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=("words", "views"))
    parser.add_argument("--data_path", type=Path, required=True, metavar="FILE", help="annotations, as main.py's")
    parser.add_argument("--img_dir", type=Path, required=True, metavar="DIR", help="pictures")
    parser.add_argument("--limit", type=AT_LEAST_ONE, metavar="N", help="only the first N samples")
    parser.add_argument("--words", nargs="+", default=WORDS, metavar="WORD", help=f"default: {' '.join(WORDS)}")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=[name for name, method in METHODS.items() if method.linear],
        default=["gradient_value", "masking", "ensemble", "clip4dm"],
        metavar="NAME",
        help="default: gradient_value masking ensemble clip4dm",
    )
    parser.add_argument("--seed", type=SEED, default=0, help="of the intervals (default: %(default)s)")
    add_model_options(parser, DEFAULT_BACKBONE)
    add_debug_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors("vary_inputs.py", args.debug):
        from clip4dm.evaluation.tables import markdown_table

        rows, columns = (words if args.study == "words" else views)(args, Foils(args))
        print(markdown_table(rows, columns))


class Foils:
    """The foils of a benchmark, a model, and what it locates of them. Errors: CLIP4DMError, OSError."""

    def __init__(self, args: argparse.Namespace) -> None:
        from clip4dm import CLIP4DM
        from clip4dm.benchmarks import read_benchmark

        self.benchmark, reading = read_benchmark(args.data_path, img_dir=args.img_dir)
        self.samples = [sample for sample in reading.samples[: args.limit] if sample.misaligned]
        if not self.samples:
            raise InputError("no caption of these samples is labelled misaligned: there is nothing to locate")
        self.paths = [args.img_dir / sample.image for sample in self.samples]
        backbone, pretrained = model_arguments(args, DEFAULT_BACKBONE)
        self.detector = CLIP4DM.from_pretrained(backbone, pretrained, args.device, args.precision)

    def judged(self, method: str, features: Any, neutral: str | None = None) -> list[Any]:
        """Of each foil its `evaluation.records.Scored`. features: (n, features), or (n, 2, features) of the picture and
        of its views. neutral: the word that stands for others."""
        from clip4dm import CLIP4DM
        from clip4dm.captions.words import encode_caption, neutral_ids
        from clip4dm.evaluation.records import score_detection

        model = self.detector.model
        detector = CLIP4DM(
            model, method=method, sorted_by="most_negative", image_masks=MASKED_COPIES if features.ndim == 3 else 0
        )
        ids = neutral_ids(model.tokenizer, *([neutral] if neutral else []))
        captions = [encode_caption(model.tokenizer, one.caption, detector.template, ids) for one in self.samples]
        found = detector.detect_encoded(features, captions)
        return [score_detection(one, sample, self.benchmark) for one, sample in zip(found, self.samples, strict=True)]


def words(args: argparse.Namespace, foils: Foils) -> tuple[list[list[str]], list[str]]:
    """Rows and columns: a row for each neutral word, and one for none."""
    from clip4dm.evaluation.metrics.calibration import for_calibration
    from clip4dm.evaluation.metrics.metrics import location_accuracy
    from clip4dm.evaluation.tables import number

    features = foils.detector.encode_images(foils.paths)
    chosen = [for_calibration(sample.image) for sample in foils.samples]
    rows = []
    for word in (None, *args.words):
        found = foils.judged("replacement" if word else "occlusion", features, word)
        hits = [one.sound.hit_span for one in found]
        halves = ([hit for hit, kept in zip(hits, chosen, strict=True) if kept == half] for half in (True, False))
        rows.append([word or "nothing (occlusion)", *(number(location_accuracy(half).value) for half in halves)])
    calibrating = sum(chosen)
    return rows, ["in the word's place", f"calibration half ({calibrating})", f"other half ({len(hits) - calibrating})"]


def views(args: argparse.Namespace, foils: Foils) -> tuple[list[list[str]], list[str]]:
    """Rows and columns: a row for each of VIEWS, a column a method."""
    import torch

    from clip4dm.evaluation.metrics.differences import location_difference
    from clip4dm.evaluation.metrics.intervals import Bootstrap
    from clip4dm.evaluation.metrics.metrics import location_accuracy
    from clip4dm.evaluation.tables import cell, number

    parts = features_of_views(foils.detector, foils.paths)
    bootstrap = Bootstrap([sample.image for sample in foils.samples], seed=args.seed)
    plain = {method: _published(foils.judged(method, parts["whole"][:, 0])) for method in args.methods}
    rows = []
    for name, kinds in VIEWS.items():
        mean = torch.cat([parts[kind] for kind in kinds], dim=1).mean(1)  # of unit features: shorter than 1
        row = [name]
        for method in args.methods:
            if kinds == ("whole",):
                row.append(number(location_accuracy(plain[method]).value))
                continue
            hits = _published(foils.judged(method, torch.stack([parts["whole"][:, 0], mean], dim=1)))
            gain = cell(location_difference(hits, plain[method], bootstrap))
            row.append(f"{number(location_accuracy(hits).value)}, {gain}")
        rows.append(row)
    return rows, ["mean feature of", *args.methods]


def _published(judged: list[Any]) -> list[bool | None]:
    return [one.published.hit for one in judged]


def features_of_views(detector: Any, paths: list[Path]) -> dict[str, Any]:
    """Kind of view -> unit features (pictures, views of the kind, features), each file read once."""
    import torch

    from clip4dm import CLIP4DM
    from clip4dm.files.images import load_image

    distinct = list(dict.fromkeys(paths))
    row = [distinct.index(path) for path in paths]
    made: dict[str, list[Any]] = {"whole": [], "mirror": [], "crops": [], "masked": []}
    masking = CLIP4DM(detector.model, image_masks=MASKED_COPIES)
    for path in distinct:
        picture = load_image(path)
        for kind, pictures in shown(picture):
            made[kind].append(detector.encode_images(pictures))
        # the mean of the copies, counted as often as there are copies
        made["masked"].append(masking.encode_images([picture])[:, 1].expand(MASKED_COPIES, -1))
    return {kind: torch.stack(features)[row] for kind, features in made.items()}


def shown(picture: Any) -> Iterator[tuple[str, list[Any]]]:
    """Kinds of view of a PIL image, with their pictures.

    >>> from PIL import Image
    >>> [(kind, [view.size for view in views]) for kind, views in shown(Image.new("RGB", (10, 20)))][1:]
    [('mirror', [(10, 20)]), ('crops', [(8, 16), (8, 16), (8, 16), (8, 16), (8, 16)])]
    """
    from PIL import ImageOps

    yield "whole", [picture]
    yield "mirror", [ImageOps.mirror(picture)]
    width, height = (round(CROP * side) for side in picture.size)
    right, low = picture.width - width, picture.height - height
    corners = [(0, 0), (right, 0), (0, low), (right, low), (right // 2, low // 2)]
    yield "crops", [picture.crop((x, y, x + width, y + height)) for x, y in corners]


if __name__ == "__main__":
    run_command(main)
