"""Train the demo model: a small CLIP, from open_clip's own classes, on drawn scenes and true captions of them.

    python misc/train_demo_model.py output/demo-training

The ordinary contrastive loss over a batch, the OpenAI tokenizer, no foil and no attribution anywhere. Takes about
an hour on two CPU cores. Ctrl-C or a kill loses at most the steps since the last checkpoint: the same command goes
on. Writes into the folder: pictures.npy, checkpoint.pt, loss.csv, loss.png, and the model folder model/.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
import time
from multiprocessing import Pool
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clip4dm.cli import one_line_errors
from clip4dm.scores import TEMPLATE

CHECKPOINT_EVERY = 250
DRAWN_SIZE = 128  # pixels; pictures are drawn at this size and made smaller, as the model's preprocessing does
WARM_UP = 300


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to work; an interrupted training found there is taken up")
    data = parser.add_argument_group("data")
    data.add_argument("--scenes", type=int, default=100_000, help="scenes to draw (default: %(default)s)")
    data.add_argument("--seed", type=int, default=0)
    model = parser.add_argument_group("model")
    model.add_argument("--image_size", type=int, default=64, help="pixels (default: %(default)s)")
    model.add_argument("--image_width", type=int, default=20, help="of the ResNet (default: %(default)s)")
    model.add_argument("--image_layers", type=int, nargs=4, default=(1, 1, 1, 1), help="blocks a stage")
    model.add_argument("--text_width", type=int, default=128)
    model.add_argument("--text_layers", type=int, default=2)
    model.add_argument("--text_heads", type=int, default=4)
    model.add_argument("--embed_dim", type=int, default=128)
    training = parser.add_argument_group("training")
    training.add_argument("--steps", type=int, default=8000)
    training.add_argument("--batch_size", type=int, default=256)
    training.add_argument("--lr", type=float, default=2e-3)
    training.add_argument("--weight_decay", type=float, default=0.05)
    training.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors("train_demo_model.py", ValueError, OSError):
        args.folder.mkdir(parents=True, exist_ok=True)
        _same_settings(args)
        train(args, draw_pictures(args))


def _same_settings(args: argparse.Namespace) -> None:
    """Another call's settings in the same folder are an error: its checkpoint would be of another model."""
    settings = {name: value for name, value in vars(args).items() if name not in ("folder", "threads")}
    settings["image_layers"] = list(settings["image_layers"])
    path = args.folder / "settings.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise ValueError(f"{args.folder} holds a training with other settings ({path}); take another folder")
    path.write_text(json.dumps(settings, indent=1) + "\n")


def draw_pictures(args: argparse.Namespace):
    """uint8 array (scenes, size, size, 3) of the scenes with seeds 0, 1, 2, ...; drawn once, then read from disk."""
    import numpy as np
    from tqdm import tqdm

    path = args.folder / "pictures.npy"
    if not path.exists():
        partial = path.with_suffix(".part")
        shape = (args.scenes, args.image_size, args.image_size, 3)
        array = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
        with Pool(args.threads) as pool:
            drawn = pool.imap(_small_picture, ((seed, args.image_size) for seed in range(args.scenes)), 256)
            for i, picture in enumerate(tqdm(drawn, "drawing", args.scenes)):
                array[i] = picture
        array.flush()
        partial.rename(path)
    pictures = np.load(path, mmap_mode="r")
    if len(pictures) != args.scenes:
        raise ValueError(f"{path} holds {len(pictures)} pictures, not {args.scenes}; remove it to draw again")
    return pictures


def _small_picture(job: tuple[int, int]):
    import numpy as np
    from PIL import Image

    from clip4dm.demo.drawing import draw
    from clip4dm.demo.scenes import sample_scene

    seed, size = job
    return np.asarray(draw(sample_scene(seed), DRAWN_SIZE).resize((size, size), Image.Resampling.BICUBIC))


def model_config(args: argparse.Namespace) -> dict:
    """What open_clip calls model_cfg: a CLIP with a ResNet for pictures and a causal transformer for text."""
    return {
        "embed_dim": args.embed_dim,
        "vision_cfg": {"image_size": args.image_size, "layers": list(args.image_layers), "width": args.image_width,
                       "patch_size": None},
        "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": args.text_width, "heads": args.text_heads,
                     "layers": args.text_layers},
    }


def train(args: argparse.Namespace, pictures) -> None:
    import open_clip
    import torch
    from tqdm import tqdm

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    config = model_config(args)
    model = open_clip.CLIP(**config).train().to(memory_format=torch.channels_last)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": args.weight_decay},
                                   {"params": others, "weight_decay": 0.0}], lr=args.lr, betas=(0.9, 0.98))
    state, losses, path = {"step": 0, "seconds": 0.0}, [], args.folder / "checkpoint.pt"
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        losses = state["losses"]
    tokenizer = open_clip.SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    began = time.monotonic() - state["seconds"]
    bar = tqdm(range(state["step"], args.steps), "training", args.steps, initial=state["step"])
    for step in bar:
        images, tokens = batch(args, step, pictures, tokenizer)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(args, step)
        with torch.autocast("cpu", torch.bfloat16):
            image_features = model.encode_image(images, normalize=True)
            text_features = encode_cut_text(model, tokens)
        logits = model.logit_scale.exp() * image_features.float() @ text_features.float().T
        target = torch.arange(len(logits))
        loss = (torch.nn.functional.cross_entropy(logits, target)
                + torch.nn.functional.cross_entropy(logits.T, target)) / 2
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(loss.item())
        if step % 20 == 0:
            bar.set_postfix(loss=f"{sum(losses[-100:]) / len(losses[-100:]):.3f}")
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == args.steps:
            partial = path.with_suffix(".part")
            torch.save({"step": step + 1, "seconds": time.monotonic() - began, "model": model.state_dict(),
                        "optimiser": optimiser.state_dict(), "losses": losses}, partial)
            partial.replace(path)
    write_losses(args.folder, losses)
    from clip4dm.compact import save_compact

    seen = seen_tokens(tokenizer)
    save_compact(args.folder / "model", model, config, seen)
    print(f"trained in {(time.monotonic() - began) / 60:.0f} minutes; loss {sum(losses[-100:]) / 100:.3f}; "
          f"the model: {args.folder / 'model'}")


def batch(args: argparse.Namespace, step: int, pictures, tokenizer):
    """The pictures (n, 3, size, size), normalised, and the tokens (n, longest) of a step: a function of seed and step.

    Every picture comes once before any comes again; its caption is worded anew each time.
    """
    import torch
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    from clip4dm.demo.captions import write_caption
    from clip4dm.demo.scenes import sample_scene

    a_round = args.scenes // args.batch_size
    order = torch.randperm(args.scenes, generator=torch.Generator().manual_seed(args.seed * 7919 + step // a_round))
    start = step % a_round * args.batch_size
    chosen = order[start:start + args.batch_size].tolist()
    images = torch.from_numpy(pictures[chosen]).permute(0, 3, 1, 2).float() / 255  # (n, 3, size, size)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    random = Random(f"captions {args.seed} {step}")
    texts = [TEMPLATE + write_caption(sample_scene(seed), random).text for seed in chosen]
    tokens = tokenizer(texts)
    return (images - mean) / std, tokens[:, :int((tokens != 0).sum(1).max())]


def encode_cut_text(model, tokens):
    """CLIP.encode_text, normalised, on captions cut to the longest (n, length): what follows the end is not read."""
    import torch.nn.functional as F

    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))  # (n, length, width)
    return F.normalize(x[range(len(x)), tokens.argmax(1)] @ model.text_projection, dim=-1)


def learning_rate(args: argparse.Namespace, step: int) -> float:
    """Linear warm-up, then a cosine down to zero."""
    if step < WARM_UP:
        return args.lr * (step + 1) / WARM_UP
    return args.lr * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, args.steps - WARM_UP))) / 2


def seen_tokens(tokenizer) -> list[int]:
    """The ids of all tokens that training can meet, in order."""
    from clip4dm.demo.captions import every_word

    return sorted({token for text in [TEMPLATE, *every_word()] for token in tokenizer.encode(text)}
                  | {tokenizer.sot_token_id, tokenizer.eot_token_id})


def write_losses(folder: Path, losses: list[float]) -> None:
    """loss.csv, and loss.png with the curve and its running mean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    with open(folder / "loss.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("step", "loss"), *enumerate(losses)])
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(losses, color="0.8", linewidth=0.5, label="loss of a step")
    window = min(100, len(losses))
    axes.plot(np.arange(window - 1, len(losses)), np.convolve(losses, np.ones(window) / window, "valid"),
              color="C0", label=f"mean of {window} steps")
    axes.set(xlabel="step", ylabel="contrastive loss", title="Training of the demo model")
    axes.legend()
    figure.tight_layout()
    figure.savefig(folder / "loss.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
