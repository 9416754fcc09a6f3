"""Who scores the shards, as the command line says it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clip4dm.commands.cli import check_extra
from clip4dm.errors import InputError
from clip4dm.evaluation import options
from clip4dm.scoring.formats import ENGINES

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.scoring.inputs.base import Shard
    from clip4dm.scoring.sink import Sink
    from clip4dm.scoring.writers import Summary


def add_options(group: argparse._ArgumentGroup) -> None:
    """--engine, and what belongs to one alone.

    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser.add_argument_group("run"))
    >>> parser.parse_args(["--engine", "ray", "--actors", "4"]).actors
    4
    """
    group.add_argument(
        "--engine",
        default="local",
        choices=ENGINES,
        help="local: this process (default); ray: actors of Ray Data, on this machine or where RAY_ADDRESS points",
    )
    group.add_argument("--actors", type=options.AT_LEAST_ONE, metavar="N", help="of --engine ray (default: 1)")
    group.add_argument(
        "--gpus_per_actor", type=_gpus, metavar="X", help="of --engine ray, such as 1 or 0.5 (default: 0)"
    )


def _gpus(text: str) -> float:
    if not re.fullmatch(r"\d{1,3}(\.\d{1,4})?", text) or not (float(text) < 1 or float(text).is_integer()):
        raise argparse.ArgumentTypeError(
            f"{text!r:.40} is not a number of GPUs: 0, a part of one such as 0.5, 1, 2, ..."
        )
    return float(text)


def check(args: argparse.Namespace) -> None:
    """Whether the engine is installed, and the other options are its own. Errors: InputError.

    >>> check(argparse.Namespace(engine="local", actors=2, gpus_per_actor=None))
    Traceback (most recent call last):
    clip4dm.errors.InputError: --actors and --gpus_per_actor are for --engine ray; ...
    """
    if args.engine == "ray":
        check_extra("ray", "ray")
    elif args.actors is not None or args.gpus_per_actor is not None:
        raise InputError("--actors and --gpus_per_actor are for --engine ray; the local engine is this one process")


def run(
    args: argparse.Namespace,
    shards: Sequence[Shard],
    recipe: Mapping[str, Any],
    detector: CLIP4DM,
    sink: Sink,
    progress: Callable[[int], None],
) -> Iterator[Summary]:
    """The engine's summaries. recipe: what `CLIP4DM.from_pretrained` made the detector of. Errors: ScoringError.

    list(run(args, missing, {"backbone": "demo"}, detector, sink, progress.pairs))
    """
    if args.engine == "ray":
        from clip4dm.scoring.engines import ray

        return ray.run(shards, recipe, sink, args.num_workers, ray.Pool(args.actors or 1, args.gpus_per_actor or 0.0))
    from clip4dm.scoring.engines import local

    return local.run(shards, detector, sink, args.num_workers, progress)
