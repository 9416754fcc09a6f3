"""How often a caption finds its picture among all pictures, and a picture one of its captions: R@1, R@5, R@10.

    python misc/measure_retrieval.py --pretrained output/photo-6/model --captions captions.json --img_dir images

captions: JSON, {name of a picture: [caption, ...]}; pictures lie in --img_dir. A caption stands behind --template.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from photo_training.data import read_captions

from clip4dm.commands.arguments import add_model_options, model_arguments
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.files.streams import batches
from clip4dm.models.names import DEFAULT_BACKBONE
from clip4dm.scores import TEMPLATE

if TYPE_CHECKING:
    from torch import Tensor

AMONG = (1, 5, 10)


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser, DEFAULT_BACKBONE)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--img_dir", type=Path, required=True)
    parser.add_argument("--template", default=TEMPLATE, help="(default: %(default)r)")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("measure_retrieval.py", args.debug):
        captions = read_captions(args.captions)
        similarity, picture_of = similarities(args, captions)
        for name, places in {
            "text to picture": places_of_pictures(similarity, picture_of),
            "picture to text": places_of_captions(similarity, picture_of),
        }.items():
            recalls = (f"R@{k} {100 * (places < k).double().mean().item():.1f} %" for k in AMONG)
            print(f"{name}: {', '.join(recalls)} ({len(places)} among {similarity.shape[name == 'text to picture']})")


def similarities(args: argparse.Namespace, captions: dict[str, list[str]]) -> tuple[Tensor, Tensor]:
    """Cosines (captions, pictures), and each caption's own picture (captions,). Errors: CLIP4DMError, OSError."""
    import torch

    from clip4dm import CLIP4DM

    backbone, pretrained = model_arguments(args, DEFAULT_BACKBONE)
    detector = CLIP4DM.from_pretrained(backbone, pretrained, args.device, args.precision, template=args.template)
    pictures = detector.encode_images([args.img_dir / name for name in captions])
    picture_of = [i for i, each in enumerate(captions.values()) for _ in each]
    encoded = detector.encode_captions([caption for each in captions.values() for caption in each])
    texts = torch.cat([detector.model.tower.encode(batch).float() for batch in batches(encoded, detector.batch_size)])
    return (texts @ pictures.T).cpu(), torch.tensor(picture_of)


def places_of_pictures(similarity: Tensor, picture_of: Tensor) -> Tensor:
    """How many pictures are nearer to a caption than its own, (captions,)."""
    import torch

    own = similarity[torch.arange(len(picture_of)), picture_of]
    return (similarity > own[:, None]).sum(1)


def places_of_captions(similarity: Tensor, picture_of: Tensor) -> Tensor:
    """How many captions are nearer to a picture than the best of its own, (pictures,)."""
    import torch

    others = picture_of[:, None] != torch.arange(similarity.shape[1])
    best = similarity.masked_fill(others, -2).amax(0)
    return (similarity > best).sum(0)


if __name__ == "__main__":
    run_command(main)
