"""Contrastive training by steps, each a function of seeds, from the last checkpoint on."""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from clip4dm.errors import InputError, short_reason
from clip4dm.files.reading import read_json
from clip4dm.files.writing import replace_file

CHECKPOINT_EVERY = 100
WARM_UP = 300


def same_settings(args: argparse.Namespace, without: Collection[str] = ()) -> None:
    """Another call's settings in the same folder are an error: its checkpoint would be of another model.

    args: with `folder`; of its options, those in `without` may change. Errors: InputError, OSError.
    """
    free = {"folder", "threads", "debug", *without}
    settings = {name: value for name, value in vars(args).items() if name not in free}
    settings = json.loads(json.dumps(settings, default=str))  # as they come back from the file
    path = args.folder / "settings.json"
    if path.exists() and read_json(path) != settings:
        raise InputError(f"{args.folder} holds a training with other settings ({path}); take another folder")
    replace_file(path, (json.dumps(settings, indent=1) + "\n").encode())


def optimise(
    args: argparse.Namespace,
    name: str,
    model,
    steps: int,
    loss_of_step,
    rate_of_step: Callable[[int], float] | None = None,
) -> tuple[list[float], float]:
    """AdamW over the model's parameters that want gradients, from the checkpoint NAME.pt on -> losses, seconds.

    args: with folder, lr and weight_decay. rate_of_step: the learning rate, else learning_rate over these steps.
    """
    import torch
    from tqdm import tqdm

    rate_of_step = rate_of_step or (lambda step: learning_rate(args.lr, step, steps))
    wanted = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in wanted if p.ndim >= 2], "weight_decay": args.weight_decay},
            {"params": [p for p in wanted if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=args.lr,
        betas=(0.9, 0.98),
    )
    state, losses, path = {"step": 0, "seconds": 0.0}, [], args.folder / f"{name}.pt"
    if path.exists():
        state = _take_up(path, model, optimiser)
        losses = state["losses"]
    began = time.monotonic() - state["seconds"]
    bar = tqdm(range(state["step"], steps), f"training, {name}", steps, initial=state["step"])
    for step in bar:
        for group in optimiser.param_groups:
            group["lr"] = rate_of_step(step)
        loss = loss_of_step(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(wanted, 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(loss.item())
        if step % 20 == 0:
            bar.set_postfix(loss=f"{sum(losses[-100:]) / len(losses[-100:]):.3f}")
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            state = {"step": step + 1, "seconds": time.monotonic() - began, "losses": losses}
            _lay_down(path, state, model, optimiser)
    return losses, time.monotonic() - began


def _lay_down(path: Path, state: dict, model, optimiser) -> None:
    import torch

    checkpoint = io.BytesIO()
    torch.save({**state, "model": model.state_dict(), "optimiser": optimiser.state_dict()}, checkpoint)
    replace_file(path, checkpoint.getvalue())


def _take_up(path: Path, model, optimiser) -> dict:
    """A checkpoint's content, its weights loaded. Errors: InputError for one that is damaged, OSError."""
    with _damage_in_a_line(path):
        state = _state_of(path)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        return {name: state[name] for name in ("step", "seconds", "losses")}


def checkpoint_weights(path: Path) -> dict:
    """The model's state dict in a checkpoint. Errors: InputError for one that is damaged, OSError."""
    with _damage_in_a_line(path, "take another"):
        return dict(_state_of(path)["model"])


def _state_of(path: Path) -> dict:
    import torch

    return torch.load(io.BytesIO(path.read_bytes()), weights_only=True)


@contextmanager
def _damage_in_a_line(path: Path, remedy: str = "remove it to begin this training again") -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # of whatever kind torch.load finds in bytes that are none of its own
        raise InputError(f"{path} is damaged ({short_reason(error)}); {remedy}") from error


def contrastive_loss(model, image_features, text_features, label_smoothing: float = 0.0):
    """Of unit features (n, features): a picture among all captions, a caption among all pictures, evenly."""
    import torch
    from torch.nn.functional import cross_entropy

    logits = model.logit_scale.exp() * image_features @ text_features.T
    target = torch.arange(len(logits))
    return sum(cross_entropy(one, target, label_smoothing=label_smoothing) for one in (logits, logits.T)) / 2


def encode_cut_text(tower, tokens, mask=None):
    """The tower's text features, normalised, of captions cut to the longest (n, length): nothing after it is read.

    tower: a CLIP or its TextTransformer, with the causal attention mask. mask: another one, added to the logits,
    (n * heads, length, length).
    """
    import torch.nn.functional as F

    length = tokens.shape[1]
    x = tower.token_embedding(tokens) + tower.positional_embedding[:length]
    mask = tower.attn_mask[:length, :length] if mask is None else mask
    x = tower.ln_final(tower.transformer(x, attn_mask=mask))  # (n, length, width)
    return F.normalize(x[range(len(x)), tokens.argmax(1)] @ tower.text_projection, dim=-1)


def learning_rate(highest: float, step: int, steps: int, warm_up: int = WARM_UP) -> float:
    """Linear warm-up, then a cosine down to zero."""
    if step < warm_up:
        return highest * (step + 1) / warm_up
    return highest * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))) / 2
