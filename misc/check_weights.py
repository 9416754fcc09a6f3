"""Whether real weights give what they should: for a machine that has them, or can fetch them.

    python misc/check_weights.py                                  # ViT-B-32, ViT-L-14, ViT-H-14: 12 GB are fetched once
    python misc/check_weights.py --backbone ViT-B-32              # 1.2 GB
    python misc/check_weights.py --pretrained model-folder        # nothing is fetched

(a) of ViT-H-14 the published example, whose picture is fetched from github.com/naver-ai/CLIP4DM, unless it is given
(b) attributions and cosines of Hugging Face's CLIPModel under full autograd, from its own copy of the weights
(c) open_clip's encode_text and encode_image
(d) true captions of misc/coffee.png above false ones; of models on the hub, not of a folder, which may know anything

Prints a table, writes every figure with its tolerance and source to --output. Exit status: 0 all passed, 1 one failed,
2 wrong usage, 3 the hub cannot be reached.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command, tell
from clip4dm.errors import InputError

BACKBONES = ("ViT-B-32", "ViT-L-14", "ViT-H-14")
PROGRAM = "check_weights.py"
FAILED, UNREACHABLE = 1, 3
COLUMNS = ("model", "what", "found", "allowed", "verdict", "source")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--backbone", nargs="+", metavar="NAME", help=f"with their usual weights (default: {' '.join(BACKBONES)})"
    )
    parser.add_argument("--pretrained", metavar="WEIGHTS", help="other weights of one backbone: a tag, or a folder")
    parser.add_argument(
        "--huggingface",
        metavar="COPY",
        help="the same weights in Hugging Face's format: a folder, or ORGANISATION/NAME on the hub (default: known for "
        "the usual weights; otherwise the folder or hf-hub: name itself)",
    )
    parser.add_argument(
        "--same_file",
        action="store_true",
        help="fill Hugging Face's model from the weights that were loaded: half the download, and a damaged file goes "
        "unnoticed by (b)",
    )
    parser.add_argument(
        "--example_image",
        type=Path,
        metavar="FILE",
        help="the published example's picture (default: a_cup_of_coffee.jpg in the folder of --output, fetched once)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("output/check_weights.json"), metavar="FILE", help="default: %(default)s"
    )
    add_debug_option(parser)
    args = parser.parse_args(argv)
    if (args.pretrained or args.huggingface) and len(args.backbone or ()) > 1:
        parser.error("--pretrained and --huggingface are of one model: name one --backbone at most")
    given = args.pretrained or ""
    says_own = given.startswith("hf-hub:") or (given != "" and Path(given).expanduser().is_dir())
    if given and not (args.backbone or says_own):
        parser.error(f"--pretrained {given!r} is no folder: name its --backbone, if it is a tag or a file")
    if args.huggingface and not (args.backbone or args.pretrained):
        parser.error("--huggingface is a copy of one model: name it with --backbone or --pretrained")
    args.backbone = args.backbone or ([None] if says_own else list(BACKBONES))
    return args


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0, 1 where a check failed, 3 where the hub could not be reached. Errors: SystemExit, 2."""
    args = parse_args(argv)
    with one_line_errors(PROGRAM, args.debug):
        if find_spec("transformers") is None:
            raise InputError("this needs transformers, not installed here: pip install 'transformers>=4.57'")
        if args.example_image and not args.example_image.is_file():
            raise InputError(f"no such picture: {args.example_image}")
        from checking.weights import Asked, Unreachable, check_model

        quiet_libraries()
        reports, unreachable, status = [], None, 0
        try:
            for name in args.backbone:
                asked = Asked(
                    name,
                    args.pretrained,
                    args.huggingface,
                    same_file=args.same_file,
                    example_image=args.example_image,
                    example_folder=args.output.parent,
                    device=args.device,
                )
                reports.append(check_model(asked, say=lambda line: print(line, file=sys.stderr, flush=True)))
        except Unreachable as error:
            unreachable = str(error)
        finally:  # what was checked is said, whatever became of the next
            if reports:
                status = show(reports, args.output)
    if unreachable:
        tell(f"{PROGRAM}: the hub cannot be reached: {unreachable}")
    return status or (UNREACHABLE if unreachable else 0)


def quiet_libraries() -> None:
    """transformers' bars and remarks are not what was asked for."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def show(reports: list[dict[str, Any]], output: Path) -> int:
    """Print the table, write the JSON; the exit status. Errors: OSError."""
    from checking.weights import rows_of

    from clip4dm.evaluation.tables import NOTHING, markdown_table
    from clip4dm.files.writing import replace_file
    from clip4dm.scoring.schema import jsonable

    rows = [(report["model"], row) for report in reports for row in rows_of(report)]
    print(
        markdown_table(
            [
                (
                    model,
                    row.what,
                    row.remark if row.worst is None else f"{row.worst:.1e}",
                    NOTHING if row.allowed is None else f"{row.allowed:g}",
                    row.verdict,
                    row.source,
                )
                for model, row in rows
            ],
            COLUMNS,
        )
    )
    counts = {verdict: sum(row.verdict == verdict for _, row in rows) for verdict in ("pass", "FAIL", "not checked")}
    output.parent.mkdir(parents=True, exist_ok=True)
    replace_file(output, (json.dumps(jsonable(as_json(reports)), indent=1, allow_nan=False) + "\n").encode())
    print(f"\n{counts['pass']} passed, {counts['FAIL']} failed, {counts['not checked']} not checked: {output}")
    return FAILED if counts["FAIL"] else 0


def as_json(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """What made the figures, and all of them."""
    import dataclasses
    import platform

    from checking.weights import rows_of

    from clip4dm.files.provenance import git_revision, versions

    return {
        "versions": {"python": platform.python_version(), **versions("transformers", "huggingface_hub", "safetensors")},
        "git_revision": git_revision(),
        "machine": platform.platform(),
        "processor": processor(),
        "failed": [
            f"{report['model']}: {row.what}" for report in reports for row in rows_of(report) if row.passed is False
        ],
        "models": [
            {**report, "checks": [{**dataclasses.asdict(row), "verdict": row.verdict} for row in rows_of(report)]}
            for report in reports
        ],
    }


def processor() -> str:
    """Its name as the system says it; the architecture's, where it says none."""
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    run_command(main)
