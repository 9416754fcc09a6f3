"""Train the demo model: a small CLIP, from open_clip's own classes, on drawn scenes and true captions of them.

    python misc/train_demo_model.py output/demo-training

The ordinary contrastive loss over a batch, the OpenAI tokenizer, no foil and no attribution anywhere. First both
towers together; then a new text tower against the image tower as it is (locked-image tuning, Zhai et al. 2022), in
half of whose captions the articles are left out. A text tower trained for long learns to gather a phrase's meaning at
the next article and to read it there, so that the attribution lands on "a" and not on the word: after the first
training alone 60 % of exchanged objects are located, after the second about 90 %.

That a thing stands above another no tower learns of captions alone: --stacked and --above_steps (docs/demo.md).

Takes some 75 minutes of one core with these defaults; the weights that come along are of eight trainings, most of
them shorter (docs/demo.md). Ctrl-C or a kill loses at most the steps since the last checkpoint: the same command goes
on. Writes into the folder: pictures.npy, features.npy, joint.pt, text.pt, loss.csv, loss.png, and the folder model/.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from demo_training.above import above_head, above_loss
from demo_training.checks import check_options
from demo_training.training_data import (
    captions,
    draw_pictures,
    encode_pictures,
    normalised,
    scenes_of_step,
    seen_tokens,
    words_alone,
)
from training.optimising import checkpoint_weights, contrastive_loss, encode_cut_text, optimise, same_settings

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE, NOT_NEGATIVE, PIXELS, SEED, SHARE, THREADS, Whole


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to work; an interrupted training found there is taken up")
    data = parser.add_argument_group("data")
    data.add_argument("--scenes", type=AT_LEAST_ONE, default=100_000, help="scenes to draw (default: %(default)s)")
    data.add_argument("--seed", type=SEED, default=0)
    model = parser.add_argument_group("model")
    model.add_argument("--image_size", type=PIXELS, default=64, help="pixels (default: %(default)s)")
    model.add_argument("--image_width", type=AT_LEAST_ONE, default=20, help="of the ResNet (default: %(default)s)")
    model.add_argument("--image_layers", type=AT_LEAST_ONE, nargs=4, default=(1, 1, 1, 1), help="blocks a stage")
    model.add_argument("--text_width", type=AT_LEAST_ONE, default=128)
    model.add_argument("--text_layers", type=AT_LEAST_ONE, default=2)
    model.add_argument("--text_heads", type=AT_LEAST_ONE, default=4)
    model.add_argument("--embed_dim", type=AT_LEAST_ONE, default=128)
    model.add_argument(
        "--image_tower", type=Path, metavar="FOLDER", help="take this model's image tower as it is; train text alone"
    )
    model.add_argument(
        "--begin",
        type=Path,
        metavar="FOLDER",
        help="begin with this model's weights, or those of another such training's two towers, not with random ones",
    )
    add_training_options(parser)
    add_debug_option(parser)
    return parser.parse_args(argv)


def add_training_options(parser: ArgumentParser) -> None:
    training = parser.add_argument_group("training")
    training.add_argument("--steps", type=AT_LEAST_ONE, default=8000, help="of both towers (default: %(default)s)")
    training.add_argument(
        "--text_steps", type=AT_LEAST_ONE, default=2500, help="of the new text tower (default: %(default)s)"
    )
    training.add_argument("--batch_size", type=AT_LEAST_ONE, default=256)
    training.add_argument("--lr", type=NOT_NEGATIVE, default=2e-3)
    training.add_argument("--weight_decay", type=NOT_NEGATIVE, default=0.05)
    training.add_argument("--threads", type=THREADS, default=os.cpu_count())
    add_batch_options(parser)


def add_batch_options(parser: ArgumentParser) -> None:
    batch = parser.add_argument_group("what a batch is made of")
    batch.add_argument(
        "--alike",
        type=AT_LEAST_ONE,
        default=1,
        metavar="N",
        help="a batch's scenes come in groups of N with the same shapes and colours (default: %(default)s, in none)",
    )
    batch.add_argument(
        "--stacked",
        type=SHARE,
        default=0.0,
        metavar="SHARE",
        help="of a batch's scenes in which one of two things stands above the other, of which captions then say little "
        "but that; 0: as chance has it (default)",
    )
    batch.add_argument(
        "--above_steps",
        type=Whole(0, 2**31 - 1),
        default=0,
        metavar="N",
        help="in the first N steps of both towers the image tower is also asked by itself what stands above what "
        "(default: %(default)s)",
    )
    batch.add_argument(
        "--detailed",
        type=SHARE,
        default=0.0,
        metavar="SHARE",
        help="of captions that say colour, size and texture more often (default: %(default)s)",
    )
    batch.add_argument(
        "--alone",
        type=SHARE,
        default=0.0,
        metavar="SHARE",
        help="of captions in which no word reads another but a relation's, which reads those before it; of the new "
        "text tower (default: %(default)s)",
    )
    batch.add_argument(
        "--alone_last",
        type=SHARE,
        metavar="SHARE",
        help="what --alone rises or falls to, evenly, over the steps (default: it stays)",
    )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors("train_demo_model.py", args.debug):
        check_options(args)
        args.folder.mkdir(parents=True, exist_ok=True)
        same_settings(args)
        train(args, draw_pictures(args.folder / "pictures.npy", args.scenes, args.image_size, args.threads))


def model_config(args: argparse.Namespace) -> dict:
    """What open_clip calls model_cfg: a CLIP with a ResNet for pictures and a causal transformer for text."""
    return {
        "embed_dim": args.embed_dim,
        "vision_cfg": {
            "image_size": args.image_size,
            "layers": list(args.image_layers),
            "width": args.image_width,
            "patch_size": None,
        },
        "text_cfg": {
            "context_length": 40,
            "vocab_size": 49408,
            "width": args.text_width,
            "heads": args.text_heads,
            "layers": args.text_layers,
        },
    }


def train(args: argparse.Namespace, pictures) -> None:
    """Both trainings, and the model folder. Errors: InputError, OSError."""
    import open_clip
    import torch

    from clip4dm.models.compact import save_compact

    torch.set_num_threads(args.threads)
    config = model_config(args)
    tokenizer = open_clip.SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    model, losses, seconds = with_image_tower(args, config, tokenizer, pictures)

    features = encode_pictures(args.folder / "features.npy", model, pictures)
    locked = model.visual.state_dict()
    torch.manual_seed(args.seed + 1)
    model = open_clip.CLIP(**config)
    model.visual.load_state_dict(locked)
    model.visual.requires_grad_(False).eval()
    last = args.alone if args.alone_last is None else args.alone_last

    def text_loss(step: int):
        random = Random(f"captions for text alone {args.seed} {step}")
        chosen, tokens = batch_of_step(args, step, random, tokenizer, without_articles=0.5)
        share = args.alone + (last - args.alone) * step / args.text_steps
        mask = words_alone(model, tokens, [random.random() < share for _ in chosen]) if share else None
        with torch.autocast("cpu", torch.bfloat16):
            text_features = encode_cut_text(model, tokens, mask)
        return contrastive_loss(model, torch.from_numpy(features[chosen]), text_features.float())

    text_losses, text_seconds = optimise(args, "text", model, args.text_steps, text_loss)
    write_losses(args.folder, losses, text_losses)
    save_compact(args.folder / "model", model, config, seen_tokens(tokenizer))
    loss = f"loss {mean(losses[-100:]):.3f}, of" if losses else "loss of"
    print(
        f"trained in {(seconds + text_seconds) / 60:.0f} minutes; {loss} the new text tower "
        f"{mean(text_losses[-100:]):.3f}; the model: {args.folder / 'model'}"
    )


def batch_of_step(args: argparse.Namespace, step: int, random: Random, tokenizer, without_articles: float):
    """The seeds of a step's scenes, and the tokens (n, longest) of their captions."""
    chosen = scenes_of_step(args.scenes, args.batch_size, args.seed, step, alike=args.alike, stacked=args.stacked)
    return chosen, captions(chosen, random, tokenizer, without_articles, args.detailed, args.stacked > 0)


def with_image_tower(args: argparse.Namespace, config: dict, tokenizer, pictures) -> tuple[Any, list[float], float]:
    """A model whose image tower is trained, with its losses and seconds; or taken from --image_tower, without any."""
    import open_clip
    import torch

    from clip4dm.models.load import load_model

    torch.manual_seed(args.seed)
    model = open_clip.CLIP(**config).train().to(memory_format=torch.channels_last)
    if args.image_tower:
        trained = load_model(pretrained=str(args.image_tower), device="cpu")
        load_weights(model.visual, trained.model.visual.state_dict(), f"--image_tower {args.image_tower}")
        return model, [], 0.0
    if args.begin:
        begin_with(model, args.begin)
    if args.above_steps:
        model.above = above_head(args.embed_dim)

    def joint_loss(step: int):
        chosen, tokens = batch_of_step(args, step, Random(f"captions {args.seed} {step}"), tokenizer, 0.0)
        with torch.autocast("cpu", torch.bfloat16):
            image_features = model.encode_image(normalised(pictures[chosen]), normalize=True)
            text_features = encode_cut_text(model, tokens)
        loss = contrastive_loss(model, image_features.float(), text_features.float())
        return loss + above_loss(model.above, image_features.float(), chosen) if step < args.above_steps else loss

    return model, *optimise(args, "joint", model, args.steps, joint_loss)


def begin_with(model, folder: Path) -> None:
    """Load into model a model folder's weights; of a training's folder those of both towers trained together.

    Errors: InputError where they are damaged or of another size, OSError.
    """
    from clip4dm.models.load import load_model

    together = folder / "joint.pt"
    if together.exists():
        weights = {name: one for name, one in checkpoint_weights(together).items() if not name.startswith("above.")}
    else:
        weights = load_model(pretrained=str(folder), device="cpu").model.state_dict()
    load_weights(model, weights, f"--begin {folder}")


def load_weights(module, weights: dict, of: str) -> None:
    """Errors: InputError, which says of what, where the weights are of another size."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{of}: its weights are of another size than the model to train") from error


def write_losses(folder: Path, joint: list[float], text: list[float]) -> None:
    """loss.csv, and loss.png with both trainings' curves and their running means."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    with open(folder / "loss.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("training", "step", "loss"),
                *(("joint", *row) for row in enumerate(joint)),
                *(("text", *row) for row in enumerate(text)),
            ]
        )
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot([*joint, *text], color="0.8", linewidth=0.5, label="loss of a step")
    for losses, start, colour, name in ((joint, 0, "C0", "both towers"), (text, len(joint), "C1", "a new text tower")):
        if not losses:
            continue
        window = min(100, len(losses))
        smooth = np.convolve(losses, np.ones(window) / window, "valid")
        axes.plot(
            np.arange(window - 1, len(losses)) + start, smooth, color=colour, label=f"{name}, mean of {window} steps"
        )
    axes.set(xlabel="step", ylabel="contrastive loss", title="Training of the demo model")
    axes.legend(loc="upper center")
    figure.tight_layout()
    figure.savefig(folder / "loss.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    run_command(main)
