"""How fast words are explained, side by side: the published procedure, plain CLIPScore, this project, towers alone.

    python misc/benchmark_speed.py --img_dir data/coco/val2014 --captions data/coco/annotations/captions_val2014.json

All on the same weights (random ones by default), the same pictures and captions, in one process, in turn and several
times over; every ratio is taken within a round, so that a machine whose speed drifts does no harm. Peak memory is of
a fresh process each. Without --img_dir the pictures are drawn. Prints Markdown.

(a) the published procedure: Hugging Face's CLIPModel, eager attention, one pair at a time, full autograd, 77 tokens
(b) plain CLIPScore: open_clip, batches of 64, 77 tokens, each picture decoded and encoded once
(c) this project, through its public API: scores and every word's attribution
(d) open_clip's towers alone: on decoded pictures and on captions cut to length, nothing else
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from clip4dm.commands.arguments import add_model_options
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import CLIP4DMError, InputError
from clip4dm.evaluation.options import AT_LEAST_ONE, THREADS
from clip4dm.models.names import DEFAULT_BACKBONE

NAMES = {
    "a": "(a) published procedure",
    "b": "(b) plain CLIPScore",
    "c": "(c) this project",
    "d": "(d) open_clip's towers alone",
    "c16": "(c) with bf16 towers",
}
ROWS_FOR_MEMORY = 16  # pairs of the published procedure in the process whose memory is measured


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser, f"random weights of {DEFAULT_BACKBONE}")
    parser.add_argument("--img_dir", type=Path, help="a folder of JPEGs (default: drawn pictures)")
    parser.add_argument("--captions", type=Path, help="a COCO captions JSON of these pictures")
    parser.add_argument("--pictures", type=AT_LEAST_ONE, default=64, help="distinct pictures (default: %(default)s)")
    parser.add_argument(
        "--captions_each",
        type=AT_LEAST_ONE,
        nargs="+",
        default=[1, 8],
        metavar="N",
        help="loads: captions a picture (default: 1 and 8)",
    )
    parser.add_argument(
        "--published_pairs", type=AT_LEAST_ONE, default=16, help="pairs a round for (a) (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=AT_LEAST_ONE, default=5, help="default: %(default)s")
    parser.add_argument("--threads", type=THREADS, help="PyTorch's threads (default: its own choice)")
    parser.add_argument("--contenders", nargs="+", choices=tuple(NAMES), default=list(NAMES))
    parser.add_argument("--no_memory", action="store_true", help="leave out peak memory")
    add_debug_option(parser)
    parser.add_argument("--only", choices=tuple(NAMES), help=argparse.SUPPRESS)  # a process for memory alone
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors("benchmark_speed.py", args.debug), tempfile.TemporaryDirectory() as scratch:
        if args.only:
            print(json.dumps(peak_memory_of(args, Path(scratch))))
            return
        if not args.pretrained:
            args.pretrained = _random_weights(Path(scratch), args.backbone or DEFAULT_BACKBONE)
        report(args, Path(scratch))


def report(args: argparse.Namespace, scratch: Path) -> None:
    """Measure and print everything. Errors: InputError, FileError, ModelError, ImageError, OSError."""
    import torch
    from speed.contenders import decode_all, stages

    if args.threads:
        torch.set_num_threads(args.threads)
    model, contenders = make_contenders(args, args.contenders)
    loads = make_loads(args, scratch)
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    weights = "random weights" if scratch in Path(args.pretrained).parents else args.pretrained
    print(
        f"{model.backbone} ({weights}), {model.precision}, {device}; {len(next(iter(loads.values())).pictures)} "
        f"pictures; medians of {args.rounds} rounds, in brackets the lowest and the highest\n",
        flush=True,
    )
    memory = {} if args.no_memory else {name: _memory(args, name) for name in contenders}
    for each, load in loads.items():
        decode_all(model, load)
        seconds = measure(contenders, load, args.rounds, model)
        parts = [stages(model, load) for _ in range(args.rounds + 1)][1:]  # the first warms up
        print(f"{table(each, seconds, memory)}\n\n{shares(seconds.get('c'), parts, len(load.pairs))}\n", flush=True)


def make_contenders(args: argparse.Namespace, names: list[str]) -> tuple:
    """(the model, {name: function of a load}); those that cannot be had with this model or machine are left out."""
    from speed import contenders as speed_contenders

    from clip4dm.models.load import load_model

    def with_bf16_towers():
        return load_model(args.backbone, args.pretrained, args.device, "bf16")

    if names == ["c16"]:  # a process of its own, whose memory is measured, holds no other model
        model = with_bf16_towers()
        return model, {"c16": speed_contenders.this_project(model)}
    model = load_model(args.backbone, args.pretrained, args.device, args.precision)
    makers: dict[str, Callable] = {
        "a": lambda: speed_contenders.published(model, args.published_pairs),
        "b": lambda: speed_contenders.plain_clipscore(model),
        "c": lambda: speed_contenders.this_project(model),
        "d": lambda: speed_contenders.towers_alone(model),
        "c16": lambda: speed_contenders.this_project(with_bf16_towers()),
    }
    made = {}
    for name in names:
        if name == "c16" and args.precision != "fp32":
            continue
        try:
            made[name] = makers[name]()
        except (CLIP4DMError, ImportError) as error:
            print(f"{NAMES[name]} is left out: {error}", file=sys.stderr)
    return model, made


def make_loads(args: argparse.Namespace, scratch: Path) -> dict[int, object]:
    """{captions a picture: the load}. Errors: InputError where there are too few pictures or captions."""
    from speed.contenders import coco_captions, drawn_pictures, read_load

    folder = args.img_dir
    if folder is None:
        folder = scratch / "drawn"
        folder.mkdir()
        captions = drawn_pictures(folder, args.pictures)
    elif args.captions is None:
        raise InputError("--img_dir needs --captions, a COCO captions JSON of its pictures")
    else:
        captions = coco_captions(args.captions, [path.name for path in folder.iterdir()])
    pictures = [path for path in sorted(folder.iterdir()) if captions.get(path.name)][: args.pictures]
    if len(pictures) < args.pictures:
        raise InputError(f"{folder} has {len(pictures)} pictures with captions, --pictures asks for {args.pictures}")
    return {each: read_load(pictures, captions, each) for each in args.captions_each}


def measure(contenders: dict[str, Callable], load, rounds: int, model) -> dict[str, list[float]]:
    """Seconds a pair of every contender in every round. Each round starts with another contender."""
    from speed.contenders import synchronise

    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):  # round -1 warms up
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begun = time.perf_counter()
            pairs = contenders[name](load)
            synchronise(model)
            if number >= 0:
                seconds[name].append((time.perf_counter() - begun) / pairs)
    return seconds


def table(each: int, seconds: dict[str, list[float]], memory: dict[str, int]) -> str:
    """Markdown: pairs/s, (c)'s speed as a multiple of each contender's, peak memory."""
    from clip4dm.evaluation.tables import markdown_table

    rows = []
    for name, values in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(values, seconds.get("c", []), strict=False)]
        faster = f"{_spread(ratios, '.2f')} times" if ratios and name != "c" else ""
        peak = f"{memory[name] / 2**20:,.0f} MiB" if name in memory else ""
        rows.append([NAMES[name], _spread([1 / value for value in values], ".1f"), faster, peak])
    load = f"{each} caption{'s' if each > 1 else ''} a picture"
    return markdown_table(rows, [load, "pairs/s", "(c) is faster by", "peak memory"])


def shares(seconds: list[float] | None, parts: list[dict[str, float]], pairs: int) -> str:
    """One line: what this project's time is made of, stages timed alone."""
    stage = {name: statistics.median(part[name] for part in parts) for name in parts[0]}
    extra = statistics.median(part["text and attribution"] / part["text"] - 1 for part in parts)
    text = "Stages alone, ms a pair: " + ", ".join(
        f"{name} {1000 * value / pairs:.2f}" for name, value in stage.items()
    )
    text += f"; the attribution is {100 * extra:.1f} % of the text pass"
    if seconds:
        text += f"; (c) as a whole {1000 * statistics.median(seconds):.2f}"
    return text + "."


def peak_memory_of(args: argparse.Namespace, scratch: Path) -> int:
    """Bytes at the peak of this process (of the GPU, on one) after the contender's work."""
    import torch

    args.published_pairs = ROWS_FOR_MEMORY
    model, made = make_contenders(args, [args.only])
    for load in make_loads(args, scratch).values():
        if args.only == "d":
            from speed.contenders import decode_all

            decode_all(model, load)
        made[args.only](load)
    if model.device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return _peak_resident()


def _peak_resident() -> int:
    """Bytes. From /proc where there is one: Linux's getrusage counts the parent's peak as its child's."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _memory(args: argparse.Namespace, name: str) -> int:
    given = {
        "backbone": args.backbone,
        "pretrained": args.pretrained,
        "device": args.device,
        "img_dir": args.img_dir,
        "precision": args.precision,
        "captions": args.captions,
        "pictures": args.pictures,
        "threads": args.threads,
    }
    options = [part for key, value in given.items() if value is not None for part in (f"--{key}", str(value))]
    done = subprocess.run(
        [sys.executable, __file__, "--only", name, *options, "--captions_each", *map(str, args.captions_each)],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    if done.returncode:
        raise InputError(f"the process for {NAMES[name]}'s memory failed: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stdout.splitlines()[-1])


def _random_weights(scratch: Path, backbone: str) -> str:
    from speed.random_model import make_random_model

    return str(make_random_model(scratch / f"random-{backbone}", backbone))


def _spread(values: list[float], style: str) -> str:
    return f"{statistics.median(values):{style}} [{min(values):{style}}, {max(values):{style}}]"


if __name__ == "__main__":
    run_command(main)
