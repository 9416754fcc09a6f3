"""Captions of every kind, made from a seed, through all that must hold for any string.

    python misc/fuzz_captions.py --count 100000 --seed 0
    python misc/fuzz_captions.py --seed 0 --only 1234          one caption again

Checks that nothing is raised but the package's own error, for a template that fills the context; that the ids are
those of open_clip's tokenizer; that the units are slices of the caption, in order, disjoint, not empty, free of outer
white space; that every token has one owner; that of a caption read in parts every token of every word counts in one
window, and none is longer than the context; and, on every 50th caption, that a model's attributions are finite (the
demo model's, or --model's). Prints figures, and a line for each violation with the caption's number. Exit status 1 if
there was one.
"""

from __future__ import annotations

import argparse

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, SEED, Whole
from clip4dm.models.names import DEFAULT_BACKBONE

NUMBER = Whole(0, 2**31 - 1)


def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=AT_LEAST_ONE, default=2_000, help="captions (default: %(default)s)")
    parser.add_argument("--seed", type=SEED, default=0, help="default: %(default)s")
    parser.add_argument("--only", type=NUMBER, metavar="NUMBER", help="this one caption of the seed, shown")
    parser.add_argument(
        "--every",
        type=NUMBER,
        default=50,
        metavar="N",
        help="the model sees every Nth caption, 0: none (default: %(default)s)",
    )
    parser.add_argument("--model", metavar="FOLDER", help="a model folder (default: the demo model)")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("fuzz_captions.py", args.debug):
        import open_clip
        from fuzzing.caption_checks import fuzz
        from fuzzing.captions import make_caption

        from clip4dm import CLIP4DM

        detector = None
        if args.every:
            detector = CLIP4DM.from_pretrained(None if args.model else "demo", args.model)
        tokenizer = detector.model.tokenizer if args.model and detector else open_clip.get_tokenizer(DEFAULT_BACKBONE)
        numbers = range(args.count)
        if args.only is not None:
            numbers = range(args.only, args.only + 1)
            print("template {!a}\ncaption {!a}".format(*make_caption(args.seed, args.only)))
        report = fuzz(tokenizer, numbers, args.seed, detector, args.every)
    print(
        f"{report.count:,} captions of seed {args.seed} in {report.seconds:.1f} s, {report.detected:,} of them by "
        f"the model; slowest: number {report.slowest[1]}, {report.slowest[0]:.2f} s\n"
        f"the package's own errors: {dict(report.errors) or 'none'}\nviolations: {len(report.violated)}"
    )
    for number, name in report.violated:
        print(f"  number {number}: {name}")
    return 1 if report.violated else 0


if __name__ == "__main__":
    run_command(main)
