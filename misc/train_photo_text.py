"""Train a text tower on photographs, of any depth, against the features of an image tower that stays as it is.

    python misc/train_photo_text.py output/photo-6 --text_layers 6 --features train_features.npz \\
        --captions train_captions.json --image_tower photo-clip

Locked-image tuning (Zhai et al. 2022): the contrastive loss with label smoothing, over batches of different pictures;
trained are open_clip's text transformer and a linear projection of the standardised features. Half of the captions
lose articles and words at random, all stand behind one of three templates. No foil and no attribution anywhere.

The features are those of `--image_tower`'s trunk, pooled, before its projection: an .npz with features (views,
pictures, features) and names (pictures,). docs/photographs.md has figures.

Ctrl-C or a kill loses at most the steps since the last checkpoint: the same command goes on. Writes into the folder:
text.pt, loss.csv, settings.json, and the model folder model/, for `--pretrained`.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
from pathlib import Path
from random import Random
from statistics import mean

from demo_training.training_data import scenes_of_step
from photo_training.data import Photographs, read_photographs, steps_of_epoch, worded
from training.optimising import contrastive_loss, learning_rate, optimise, same_settings

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE, NOT_NEGATIVE, SEED, THREADS, Finite
from clip4dm.files.writing import replace_file

SHARE = Finite("0.1", lowest=0, highest=0.95)
WARM_UP = 100


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to work; an interrupted training found there is taken up")
    data = parser.add_argument_group("data")
    data.add_argument("--features", type=Path, required=True, help=".npz of the frozen image tower's features")
    data.add_argument("--captions", type=Path, required=True, help="JSON, {name of a picture: [caption, ...]}")
    data.add_argument("--image_tower", type=Path, required=True, help="open_clip folder whose image tower is copied")
    data.add_argument("--seed", type=SEED, default=0)
    model = parser.add_argument_group("model")
    model.add_argument("--text_layers", type=AT_LEAST_ONE, default=4, help="(default: %(default)s)")
    model.add_argument("--width", type=AT_LEAST_ONE, default=256, help="of the text tower (default: %(default)s)")
    model.add_argument("--heads", type=AT_LEAST_ONE, default=4)
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=AT_LEAST_ONE, default=12, help="of the schedule (default: %(default)s)")
    training.add_argument("--stop", type=AT_LEAST_ONE, default=3, help="after so many epochs (default: %(default)s)")
    training.add_argument("--batch_size", type=AT_LEAST_ONE, default=256)
    training.add_argument("--lr", type=NOT_NEGATIVE, default=1e-3)
    training.add_argument("--weight_decay", type=NOT_NEGATIVE, default=0.1)
    training.add_argument("--label_smoothing", type=SHARE, default=0.1)
    training.add_argument("--dropout", type=SHARE, default=0.2, help="of a picture's features (default: %(default)s)")
    training.add_argument("--thinned", type=SHARE, default=0.5, help="captions that lose words (default: %(default)s)")
    training.add_argument("--threads", type=THREADS, default=os.cpu_count())
    add_debug_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors("train_photo_text.py", args.debug):
        if args.width % args.heads:
            raise InputError(f"--heads {args.heads} must divide --width, {args.width}")
        if args.stop > args.epochs:
            raise InputError(f"--stop {args.stop}: at most --epochs, {args.epochs}")
        photographs = read_photographs(args.features, args.captions)
        if not 2 <= args.batch_size <= len(photographs):
            raise InputError(
                f"--batch_size {args.batch_size}: a batch is of different pictures, at least 2 and at most the "
                f"{len(photographs)} of {args.features}"
            )
        train(args, photographs)


def train(args: argparse.Namespace, photographs: Photographs) -> None:
    """The training, and the model folder. Errors: InputError, ModelError, OSError."""
    import open_clip
    import torch
    from photo_training.model import ImageTower, PhotoText

    tower = ImageTower(args.image_tower)
    if tower.width != photographs.features.shape[-1]:
        raise InputError(
            f"{args.features} holds features of width {photographs.features.shape[-1]}, not those of "
            f"{args.image_tower}, {tower.width}"
        )
    args.folder.mkdir(parents=True, exist_ok=True)
    same_settings(args)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    text_cfg = {"context_length": 77, "vocab_size": 49408, "width": args.width, "heads": args.heads}
    text_cfg["layers"] = args.text_layers
    model = PhotoText(text_cfg, photographs.features, tower.config["model_cfg"]["embed_dim"])
    tokenizer = open_clip.SimpleTokenizer(context_length=text_cfg["context_length"])
    features = torch.from_numpy(photographs.features)

    def loss_of_step(step: int):
        random = Random(f"photographs {args.seed} {step}")
        torch.manual_seed(random.getrandbits(63))  # of the dropout: a step is the same wherever the training goes on
        chosen = scenes_of_step(len(photographs), args.batch_size, args.seed, step)
        views = [random.randrange(len(features)) for _ in chosen]
        texts = [worded(photographs.captions[picture], random, args.thinned) for picture in chosen]
        image_features = model.encode_image(features[views, chosen], args.dropout)
        return contrastive_loss(model, image_features, model.encode_text(tokenizer(texts)), args.label_smoothing)

    a_epoch = steps_of_epoch(photographs, args.batch_size)

    def rate_of_step(step: int) -> float:
        return learning_rate(args.lr, step, args.epochs * a_epoch, WARM_UP)

    losses, seconds = optimise(args, "text", model, args.stop * a_epoch, loss_of_step, rate_of_step)
    write_losses(args.folder / "loss.csv", losses)
    tower.save_with(model, text_cfg, args.folder / "model")
    print(
        f"trained {len(losses)} steps in {seconds:.0f} seconds; loss {mean(losses[-a_epoch:]):.3f} over the last "
        f"epoch; the model: {args.folder / 'model'}"
    )


def write_losses(path: Path, losses: list[float]) -> None:
    """A line a step."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("step", "loss"), *enumerate(losses)])
    replace_file(path, file.getvalue().encode())


if __name__ == "__main__":
    run_command(main)
