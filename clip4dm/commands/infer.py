"""The words of a caption that are not true of a picture.

    python infer.py --demo                                     a drawn scene, the model that comes along: no download
    python infer.py                                            a photograph of coffee and the published captions
    python infer.py --image photo.jpg --text "a red car" "a blue car"

For each caption a line: the published code's dict. On a terminal also the caption, its misaligned words coloured. With
--suggest below it a line for each of them, other words and what they gain; not on a terminal, on standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.commands.arguments import (
    add_method_options,
    add_model_options,
    add_score_options,
    add_verdict_options,
    detector_of,
)
from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors, tell
from clip4dm.commands.suggesting import add_suggestion_options, asked_of, words_of
from clip4dm.errors import InputError
from clip4dm.evaluation import options

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from clip4dm.detection import Detection
    from clip4dm.detector import CLIP4DM
    from clip4dm.suggestion.result import Suggestion
    from clip4dm.suggestion.suggest import Asked

EXAMPLE_IMAGE = Path(__file__).resolve().parents[2] / "misc" / "coffee.png"  # not part of an installed package
EXAMPLE_TEXTS = ["a cup of coke", "a cup of coffee"]
BACKBONE = "ViT-H-14"
DEMO_IMAGE = Path("output") / "demo.png"
DEMO_SEED = 2_001_268  # a scene that the demo model was not trained on, and of which it is right
DEMO_SIZE = 256


def parse_args(argv: list[str] | None = None, program: str | None = None) -> argparse.Namespace:
    """The options; a usage error ends the program with status 2. program: its name in the help (None: the script's).

    >>> parse_args(["--image", "photo.jpg", "--text", "a red car", "a blue car"]).text
    ['a red car', 'a blue car']
    """
    parser = ArgumentParser(program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_argument_group("picture and captions")
    data.add_argument(
        "--image", default=str(EXAMPLE_IMAGE), metavar="FILE", help="a picture (default: a cup of coffee)"
    )
    data.add_argument("--text", nargs="+", metavar="CAPTION", help="one or more captions of it")
    data.add_argument(
        "--demo",
        nargs="?",
        type=options.SEED,
        const=DEMO_SEED,
        metavar="SEED",
        help="draw a scene (saved as output/demo.png) instead, and take the demo model; without --text, "
        "a right and a wrong caption of it",
    )
    add_model_options(parser, BACKBONE)
    method = add_method_options(parser)
    add_verdict_options(method)
    add_score_options(method)
    add_suggestion_options(parser)
    add_shown_options(parser.add_argument_group("what is shown"))
    add_debug_option(parser)
    args = parser.parse_args(options.arguments(argv))
    if args.demo is not None:
        if args.image != str(EXAMPLE_IMAGE):
            parser.error("--demo draws its own picture; leave --image away")
        args.backbone = args.backbone or (None if args.pretrained else "demo")
    elif args.text is None:
        if args.image != str(EXAMPLE_IMAGE):
            parser.error("--image needs --text: say which captions to check against it")
        if not EXAMPLE_IMAGE.is_file():
            parser.error(
                "the photograph of the example is not part of the installed package; give --image and --text, or --demo"
            )
        args.text = EXAMPLE_TEXTS
    return args


def add_shown_options(group: argparse._ArgumentGroup) -> None:
    """--json, --png and --html.

    >>> parser = argparse.ArgumentParser()
    >>> add_shown_options(parser.add_argument_group("what is shown"))
    >>> parser.parse_args(["--png", "cup.png"]).png.name
    'cup.png'
    """
    group.add_argument("--json", action="store_true", help="one JSON object a line, with offsets and scores")
    group.add_argument(
        "--png", type=png_file, metavar="FILE.png", help="draw picture and captions there too, each word on its colour"
    )
    group.add_argument(
        "--html",
        type=html_file,
        metavar="FILE.html",
        help="the same as a page with all numbers, one file for any browser",
    )


def main(argv: list[str] | None = None, program: str = "infer.py") -> None:
    """Detect and print. argv: None for the command line's. Errors: SystemExit, after a line on standard error.

    main(["--image", "photo.jpg", "--text", "a red car"])
    """
    args = parse_args(argv, program)
    with one_line_errors(program, args.debug):
        if args.png:
            check_extra("report", "matplotlib")
        check_figures(args)
        words = words_of(args)
        picture = demo_scene(args, program) if args.demo is not None else read_picture(args.image)
        detector = detector_of(args, BACKBONE)
        note = detector.method.epsilon_note(detector.epsilon) if args.sorted_by == "threshold" else None
        if note:
            print(f"{program}: note: {note}", file=sys.stderr)
        asked = asked_of(args, words, detector)
        features = detector.encode_images([picture]) if asked else None  # for both
        detections = detector.detect([picture] if features is None else features, args.text)
        suggested: list[Sequence[Suggestion] | None] = []
        for detection in detections:
            suggested.append(suggestions_of(detector, features, detection, asked))
            show(detection, args.image, as_json=args.json, program=program, suggestions=suggested[-1])
        write_figures(args, picture, detections, suggested)


def suggestions_of(
    detector: CLIP4DM, features: Tensor | None, detection: Detection, asked: Asked | None
) -> list[Suggestion] | None:
    """For the misaligned words; None where none are asked for. features: (1, ...), the detection's image.

    suggestions_of(detector, features, detection, asked_of(args, words_of(args), detector))
    """
    if asked is None or features is None:
        return None
    from clip4dm.suggestion.suggest import suggest

    return suggest(detector, features, detection, detection.misaligned, asked)


def png_file(text: str) -> Path:
    """An argparse type: a name that ends in .png.

    >>> png_file("cup.png").name
    'cup.png'
    """
    return _ending(text, ".png", "the figure is a PNG")


def html_file(text: str) -> Path:
    """An argparse type: a name that ends in .html.

    >>> html_file("cup.html").name
    'cup.html'
    """
    return _ending(text, ".html", "the page is HTML")


def _ending(text: str, ending: str, what: str) -> Path:
    if not text.lower().endswith(ending):
        raise argparse.ArgumentTypeError(f"{text!r}: {what}; its name ends in {ending}")
    return Path(text)


def check_figures(args: argparse.Namespace) -> None:
    """Where --png or --html cannot be, said before the model is loaded. Errors: InputError.

    check_figures(parse_args(["--png", "figures/cup.png"]))
    """
    for option, path in (("--png", args.png), ("--html", args.html)):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise InputError(f"{option} {path}: there is no folder {path.parent}")
        if path.exists() and not path.is_file():
            raise InputError(f"{option} {path} is there already, and is no file")
        if path.exists() and Path(args.image).exists() and path.samefile(args.image):
            raise InputError(f"{option} {path} is the picture itself; take another name")


def write_figures(
    args: argparse.Namespace,
    picture: Image,
    detections: Sequence[Detection],
    suggested: Sequence[Sequence[Suggestion] | None] = (),
) -> None:
    """The files that --png and --html ask for; captions in the terminal's order. suggested: of each, on the page alone.

    Errors: OSError.

    write_figures(args, picture, detector.detect(picture, args.text))
    """
    if args.png:
        from clip4dm.report.figure import write_png

        write_png(args.png, picture, detections)
    if args.html:
        from clip4dm.report.document import write_html

        write_html(args.html, Path(args.image).name, picture, detections, suggested)


def read_picture(path: str) -> Image:
    """The picture, before the model: a wrong path should not cost a download.

    read_picture("photo.jpg").size  # (width, height), in pixels
    """
    from clip4dm.files.images import load_image

    return load_image(path)


def demo_scene(args: argparse.Namespace, program: str) -> Image:
    """Draw the scene, save it where it can be looked at, and set image and text to it and its captions.

    demo_scene(parse_args(["--demo"]), "infer.py").size  # (256, 256)
    """
    from random import Random

    from clip4dm.benchmarks.shapes.captions import write_caption
    from clip4dm.benchmarks.shapes.drawing import draw
    from clip4dm.benchmarks.shapes.examples import what_to_look_at
    from clip4dm.benchmarks.shapes.foils import make_foil
    from clip4dm.benchmarks.shapes.scenes import sample_scene

    scene, random = sample_scene(args.demo), Random(f"demo {args.demo}")
    look = ""
    if args.text is None:
        caption = write_caption(scene, random)
        foil = make_foil(scene, caption, random)
        args.text = [caption.text] + ([foil.caption.text] if foil else [])
        look = f"; {what_to_look_at(foil)}" if foil else ""
    picture = draw(scene, DEMO_SIZE)
    DEMO_IMAGE.parent.mkdir(exist_ok=True)
    picture.save(DEMO_IMAGE)
    args.image = str(DEMO_IMAGE)
    print(f"{program}: drew {DEMO_IMAGE}: {' | '.join(args.text)}{look}", file=sys.stderr)
    return picture


def show(
    detection: Detection,
    image: str,
    as_json: bool,
    program: str = "infer.py",
    suggestions: Sequence[Suggestion] | None = None,
) -> None:
    """Print a detection: the published dict, or JSON; on a terminal the coloured caption before it.

    suggestions: on a terminal below the dict; else, so that standard output stays dicts alone, on standard error.

    show(detection, "photo.jpg", as_json=True)
    """
    from clip4dm.commands.terminal import coloured_caption, suggestion_lines, unscored_notes, wants_colour

    if as_json:
        row = {"image": image, **detection.as_dict()}
        if suggestions is not None:
            row["suggestions"] = [one.as_dict() for one in suggestions]
        print(json.dumps(row, ensure_ascii=False, allow_nan=False))
        return
    colour = wants_colour(sys.stdout)
    if colour:
        print(coloured_caption(detection))
    print(detection.as_published())
    for line in suggestion_lines(detection, suggestions or (), colour):
        if sys.stdout.isatty():
            print(line)
        else:
            tell(f"{program}: {detection.caption!r:.60}: {line}")
    for note in unscored_notes(detection):
        print(f"{program}: note: {note}", file=sys.stderr)
