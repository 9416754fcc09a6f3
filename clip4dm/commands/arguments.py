"""The options that the programs share: which model, which method, which score."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.attribution.methods import METHODS
from clip4dm.captions.sentences import CUT, LONG, SPLIT
from clip4dm.commands.cli import tell
from clip4dm.evaluation import options
from clip4dm.models.names import DEMO, PRECISIONS
from clip4dm.scores import (
    CLIP4DM_METHOD,
    EPSILON,
    F_CLIP_SCORE,
    PUBLISHED_LAYERS,
    SCORES,
    SORTED_BY,
    START_LAYER_TEXT,
    TEMPLATE,
)

if TYPE_CHECKING:
    from clip4dm.calibration.stored import AttributedBy, Calibration
    from clip4dm.detector import CLIP4DM
    from clip4dm.scoring.maker import Maker


EPSILON_HELP = (
    "the file of `clip4dm calibrate`; auto: the calibration that fits this model, method and layers, of those in "
    "~/.config/clip4dm/calibrations and those that come along"
)


def add_model_options(parser: argparse.ArgumentParser, backbone: str) -> None:
    """--backbone, --pretrained, --device, --precision. backbone: the script's default, named in the help.

    >>> parser = argparse.ArgumentParser()
    >>> add_model_options(parser, "ViT-B-32")
    >>> parser.parse_args(["--backbone", "demo"])
    Namespace(backbone='demo', pretrained=None, device='auto', precision='fp32')
    """
    group = parser.add_argument_group("model")
    group.add_argument(
        "--backbone",
        metavar="NAME",
        help=f"an open_clip backbone, an hf-hub: name or a folder (default: {backbone}, or what the "
        "folder given as --pretrained is)",
    )
    group.add_argument(
        "--pretrained",
        metavar="WEIGHTS",
        help="an open_clip tag, a checkpoint file, or a folder with open_clip_config.json and weights "
        "(default: the backbone's usual tag: openai for ViT-B-32 and ViT-L-14, "
        "laion2b_s32b_b79k for ViT-H-14)",
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    group.add_argument(
        "--precision",
        default="fp32",
        choices=PRECISIONS,
        help="of the two towers; attributions are fp32 always (default: %(default)s)",
    )


def add_method_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """--method, --template, --start_layer_text, --margin, --steps, --image_masks and --long; returns their group.

    None: the method's usual.

    >>> parser = argparse.ArgumentParser()
    >>> group = add_method_options(parser)
    >>> parser.parse_args(["--method", "integrated", "--steps", "64"]).steps
    64
    """
    group = parser.add_argument_group("method")
    group.add_argument(
        "--method",
        default=CLIP4DM_METHOD,
        choices=METHODS,
        help="how words are attributed: %(choices)s; docs/methods.md compares them (default: "
        f"{CLIP4DM_METHOD}, the paper's)",
    )
    group.add_argument("--template", default=TEMPLATE, help="text before every caption (default: %(default)r)")
    usual = {name: way.start_layer_text for name, way in METHODS.items() if not way.fixed_layers}
    own = ", ".join(f"{name} {start}" for name, start in usual.items() if start is not None)
    group.add_argument(
        "--start_layer_text",
        type=int,
        metavar="N",
        help="average the text layers from this index on, Python's way (default: the last three, "
        f"{START_LAYER_TEXT}, of {PUBLISHED_LAYERS} layers or more, all layers of smaller towers; {own})",
    )
    _add_own_options(group)
    return group


def _add_own_options(group: argparse._ArgumentGroup) -> None:
    """What some methods alone have, or may be done with any."""
    having = ", ".join(f"{name} {way.margin:g}" for name, way in METHODS.items() if way.margin is not None)
    group.add_argument(
        "--margin",
        type=options.MARGIN,
        metavar="M",
        help=f"cosine with the picture asked of a word's own direction, of methods with one (default: {having})",
    )
    group.add_argument(
        "--steps",
        type=options.AT_LEAST_ONE,
        metavar="N",
        help=f"passes of integrated gradients, of that method (default: {METHODS['integrated'].steps})",
    )
    group.add_argument(
        "--image_masks",
        type=options.COPIES,
        default=0,
        metavar="N",
        help="attributions are the mean over N copies of the picture with random patches blanked, by all methods but "
        "gae; the cosine stays the whole picture's (default: %(default)s, the picture as it is)",
    )
    group.add_argument(
        "--long",
        default=CUT,
        choices=LONG,
        help="captions beyond the model's context: cut leaves the words that do not fit unscored, as published; split "
        f"reads the caption sentence by sentence, all of it (default: {CUT})",
    )


def add_verdict_options(group: argparse._ArgumentGroup) -> None:
    """--sorted_by and --epsilon, where a program has the usual ones of its own.

    >>> parser = argparse.ArgumentParser()
    >>> add_verdict_options(parser.add_argument_group("method"))
    >>> parser.parse_args([])
    Namespace(sorted_by='threshold', epsilon=None)
    """
    group.add_argument(
        "--sorted_by",
        default="threshold",
        choices=SORTED_BY,
        help="threshold: the words below epsilon; most_negative: the lowest one (default: %(default)s)",
    )
    group.add_argument(
        "--epsilon",
        type=options.EPSILON_OR_FILE,
        metavar="X",
        help=f"a word is misaligned below it: a number; {EPSILON_HELP} (default: {EPSILON}, the paper's; of the demo "
        "model the calibration that comes along)",
    )


def add_score_options(group: argparse._ArgumentGroup) -> None:
    """--score and --score_weight, in the group of the method's options.

    >>> parser = argparse.ArgumentParser()
    >>> add_score_options(parser.add_argument_group("method"))
    >>> parser.parse_args(["--score", "additive", "--score_weight", "12.5"])
    Namespace(score='additive', score_weight=12.5)
    """
    group.add_argument(
        "--score",
        default=F_CLIP_SCORE,
        choices=SCORES,
        help="of a pair, the higher the better it fits: f_clip_score, the paper's; additive: the cosine plus a weight "
        f"times the lowest attribution; additive_sum: times the sum of those below epsilon (default: {F_CLIP_SCORE})",
    )
    group.add_argument(
        "--score_weight",
        type=options.WEIGHT,
        metavar="WEIGHT",
        help="of the additive scores, which have none of their own: misc/epsilon_study.py fits it on a finished run",
    )


def model_arguments(args: argparse.Namespace, default_backbone: str) -> tuple[str | None, str | None]:
    """(backbone, pretrained) for load_model: the default backbone steps back for a folder that says its own.

    >>> model_arguments(argparse.Namespace(backbone=None, pretrained="openai"), "ViT-B-32")
    ('ViT-B-32', 'openai')
    """
    says_own = args.pretrained and (
        args.pretrained.startswith(("hf-hub:", "local-dir:")) or Path(args.pretrained).expanduser().is_dir()
    )
    return args.backbone or (None if says_own else default_backbone), args.pretrained


def detector_of(args: argparse.Namespace, default_backbone: str, **settings: Any) -> CLIP4DM:
    """The detector that the options above ask for. settings: further ones of its constructor.

    What --epsilon auto took is said on standard error. Errors: ModelError, InputError, CalibrationError.

        detector_of(args, "ViT-B-32", batch_size=16)
    """
    from clip4dm import CLIP4DM

    detector = CLIP4DM.from_pretrained(**recipe_of(args, default_backbone, **settings))
    calibration = calibration_of(args, detector.model.backbone, detector.attributed_by)
    return detector if calibration is None else detector.calibrated(calibration)


def maker_of(args: argparse.Namespace, default_backbone: str) -> Maker:
    """What tells that detector's scores from others, without loading the model. Errors: as `detector_of`, NotAtHand.

    maker_of(args, "ViT-B-32").weights_sha256
    """
    from clip4dm.scoring.maker import Maker

    maker = Maker.asked(recipe_of(args, default_backbone))
    calibration = calibration_of(args, maker.attributed_by.backbone, lambda: maker.attributed_by)
    return maker if calibration is None else maker.calibrated(*calibration.judging(args.sorted_by))


def calibration_of(
    args: argparse.Namespace, backbone: str, attributed_by: Callable[[], AttributedBy]
) -> Calibration | None:
    """The calibration that --epsilon asks for; not given, of the demo model the one that comes along; else None.

    attributed_by: called where it matters, since it reads the weights. Errors: CalibrationError.

        calibration_of(args, "demo", detector.attributed_by)
    """
    from clip4dm.calibration.shelf import calibration_for, shipped_calibration

    if isinstance(args.epsilon, str):
        return calibration_for(args.epsilon, attributed_by(), lambda line: tell(f"note: {line}"), args.long == SPLIT)
    return shipped_calibration(attributed_by()) if args.epsilon is None and backbone == DEMO else None


def recipe_of(args: argparse.Namespace, default_backbone: str, **settings: Any) -> dict[str, Any]:
    """What `CLIP4DM.from_pretrained` makes that detector of: plain values, which another process can be sent.

    epsilon: the number given; else the published one, until the model is known and its calibration.

    recipe_of(args, "ViT-B-32", batch_size=16)["template"]
    """
    backbone, pretrained = model_arguments(args, default_backbone)
    return dict(
        backbone=backbone,
        pretrained=pretrained,
        device=args.device,
        precision=args.precision,
        template=args.template,
        method=args.method,
        margin=args.margin,
        steps=args.steps,
        image_masks=args.image_masks,
        start_layer_text=args.start_layer_text,
        sorted_by=args.sorted_by,
        epsilon=EPSILON if args.epsilon is None or isinstance(args.epsilon, str) else args.epsilon,
        score=args.score,
        score_weight=args.score_weight,
        long=args.long,
        **settings,
    )
