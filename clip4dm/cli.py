"""What infer.py and main.py share on the command line: options, and errors as one line."""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from collections.abc import Iterator

from clip4dm.scores import START_LAYER_TEXT, TEMPLATE


def add_model_options(parser: argparse.ArgumentParser, backbone: str) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--backbone", metavar="NAME",
                       help=f"an open_clip backbone, an hf-hub: name or a folder (default: {backbone}, or what the "
                            "folder given as --pretrained is)")
    group.add_argument("--pretrained", metavar="WEIGHTS",
                       help="an open_clip tag, a checkpoint file, or a folder with open_clip_config.json and weights "
                            "(default: the backbone's usual tag: openai for ViT-B-32 and ViT-L-14, "
                            "laion2b_s32b_b79k for ViT-H-14)")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    group.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"),
                       help="of the two towers; attributions are fp32 always (default: %(default)s)")


def add_method_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("method")
    group.add_argument("--template", default=TEMPLATE, help="text before every caption (default: %(default)r)")
    group.add_argument("--start_layer_text", type=int, default=START_LAYER_TEXT, metavar="N",
                       help="average the text layers from this index on, Python's way (default: %(default)s)")
    return group


def model_arguments(args: argparse.Namespace, default_backbone: str) -> tuple[str | None, str | None]:
    """(backbone, pretrained) for load_model: the default backbone steps back for a folder that says its own."""
    from pathlib import Path

    says_own = args.pretrained and (args.pretrained.startswith(("hf-hub:", "local-dir:"))
                                    or Path(args.pretrained).expanduser().is_dir())
    return args.backbone or (None if says_own else default_backbone), args.pretrained


@contextlib.contextmanager
def one_line_errors(program: str, *kinds: type[Exception]) -> Iterator[None]:
    """Expected errors and Ctrl-C end the program with one line; warnings become one line each."""
    def show(message, category, filename, lineno, file=None, line=None):
        print(f"{program}: note: {message}", file=sys.stderr)

    previous, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except kinds as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    finally:
        warnings.showwarning = previous
