"""The words of a caption that are not true of a picture.

    python infer.py --demo                                     a drawn scene, the model that comes along: no download
    python infer.py                                            the published example on a photograph of coffee
    python infer.py --image photo.jpg --text "a red car" "a blue car"

For each caption a line: the published code's dict. On a terminal also the caption, its misaligned words coloured.
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
from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors
from clip4dm.errors import InputError
from clip4dm.evaluation import options

if TYPE_CHECKING:
    from PIL.Image import Image

    from clip4dm.detection import Detection

EXAMPLE_IMAGE = Path(__file__).resolve().parents[2] / "misc" / "coffee.png"  # not part of an installed package
EXAMPLE_TEXTS = ["a cup of coke", "a cup of coffee"]
BACKBONE = "ViT-H-14"
DEMO_IMAGE = Path("output") / "demo.png"
DEMO_SEED = 2_000_300  # a scene that the demo model was not trained on, and of which it is right
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
        picture = demo_scene(args, program) if args.demo is not None else read_picture(args.image)
        detector = detector_of(args, BACKBONE)
        note = detector.method.epsilon_note(args.epsilon) if args.sorted_by == "threshold" else None
        if note:
            print(f"{program}: note: {note}", file=sys.stderr)
        detections = detector.detect([picture], args.text)
        for detection in detections:
            show(detection, args.image, as_json=args.json, program=program)
        write_figures(args, picture, detections)


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


def write_figures(args: argparse.Namespace, picture: Image, detections: Sequence[Detection]) -> None:
    """The files that --png and --html ask for; captions in the terminal's order. Errors: OSError.

    write_figures(args, picture, detector.detect(picture, args.text))
    """
    if args.png:
        from clip4dm.report.figure import write_png

        write_png(args.png, picture, detections)
    if args.html:
        from clip4dm.report.document import write_html

        write_html(args.html, Path(args.image).name, picture, detections)


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


def show(detection: Detection, image: str, as_json: bool, program: str = "infer.py") -> None:
    """Print a detection: the published dict, or JSON; on a terminal the coloured caption before it.

    show(detection, "photo.jpg", as_json=True)
    """
    from clip4dm.commands.terminal import coloured_caption, unscored_notes, wants_colour

    if as_json:
        print(json.dumps({"image": image, **detection.as_dict()}, ensure_ascii=False, allow_nan=False))
        return
    if wants_colour(sys.stdout):
        print(coloured_caption(detection))
    print(detection.as_published())
    for note in unscored_notes(detection):
        print(f"{program}: note: {note}", file=sys.stderr)
