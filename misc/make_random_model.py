"""Write a CLIP with random weights as a model folder: it understands nothing, but everything runs with it.

    python misc/make_random_model.py output/random-vit-b-32
    python infer.py --pretrained output/random-vit-b-32

For trying the scripts without a download, and for measuring: its figures are those of chance.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from clip4dm.commands.cli import run_command
from clip4dm.evaluation.options import SEED


def make_random_model(folder: Path, backbone: str = "ViT-B-32", seed: int = 0) -> Path:
    """Save open_clip's own random initialisation of a backbone in the hub's folder layout. Returns the folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    logging.disable(logging.WARNING)  # open_clip warns that the weights are random, which is what is wanted
    torch.manual_seed(seed)
    config = open_clip.get_model_config(backbone)
    if config is None:
        raise SystemExit(f"unknown backbone {backbone!r}; open_clip.list_models() lists them all")
    model = open_clip.create_model(backbone)
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {
        key: list(value) if isinstance(value, tuple) else value for key, value in model.visual.preprocess_cfg.items()
    }
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess, "random_weights": True}, indent=1) + "\n",
        encoding="utf-8",
    )
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        str(folder / "open_clip_model.safetensors"),
    )
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write the model")
    parser.add_argument("--backbone", default="ViT-B-32", help="an open_clip backbone (default: %(default)s)")
    parser.add_argument("--seed", type=SEED, default=0)
    args = parser.parse_args()
    print(f"random {args.backbone} in {make_random_model(args.folder, args.backbone, args.seed)}")


if __name__ == "__main__":
    run_command(main)
