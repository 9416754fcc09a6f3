"""How long a caption takes to become token ids and words, for many kinds of string and growing lengths.

    python misc/benchmark_words.py

CPU seconds of `encode_caption` with CLIP's tokenizer, the best of three, and how many times longer the last length
takes than the one before: 10 is linear. Needs no weights. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from random import Random

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.errors import InputError
from clip4dm.evaluation.options import AT_LEAST_ONE
from clip4dm.models.names import DEFAULT_BACKBONE
from clip4dm.scores import TEMPLATE


def kinds() -> dict[str, str]:
    """Name of a kind -> what is repeated up to the length wanted."""
    letters = "".join(Random(0).choices("etaoinshrdlucmfwypvbgkjqxz", k=100_000))
    return {
        "mojibake": "ðŸ˜€Ã©",
        "mojibake and blanks": "ðŸ˜€ Ã© ",
        "mojibake of mojibake": "ÃƒÂ©",
        "mojibake beside other scripts": "不Ã©錯ðŸ˜€",
        "curly quotes": "“a”’",
        "full-width letters": "ｆｕｌｌ",
        "ligatures": "ﬁﬂ",
        "entities": "&eacute;&amp;",
        "entities without semicolons": "&copyright&eacute",
        "entities in entities": "&amp;amp;",
        "a chain of entities": "&" + "amp;" * 25_000,
        "words": "a red dog on the grass, ",
        "one word, one letter": "a",
        "one word, random letters": letters,
        "punctuation": "!?(-",
        "full stops": ".",
        "letters and accents": "e\u0301",
        "accents": "\u0301",
        "accents out of order": "\u0301\u0323",
        "emoji": "🐶",
        "white space": " ",
        "lines": "\n",
        "control characters": "\x00a",
    }


def seconds(tokenizer, caption: str) -> float:
    from clip4dm.captions.words import encode_caption

    took = []
    for _ in range(3):
        began = time.process_time()
        encode_caption(tokenizer, caption, TEMPLATE)
        took.append(time.process_time() - began)
    return min(took)


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--lengths",
        type=AT_LEAST_ONE,
        nargs="+",
        default=[1_000, 10_000, 100_000],
        metavar="N",
        help="characters (default: 1000 10000 100000)",
    )
    parser.add_argument("--kinds", nargs="+", metavar="NAME", help="some of the kinds of string (default: all)")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("benchmark_words.py", args.debug):
        known = kinds()
        unknown = set(args.kinds or ()) - set(known)
        if unknown:
            raise InputError(f"unknown kind {sorted(unknown)[0]!r}; allowed: {', '.join(known)}")
        import open_clip
        from tqdm import tqdm

        from clip4dm.evaluation.tables import markdown_table

        tokenizer = open_clip.get_tokenizer(DEFAULT_BACKBONE)
        seconds(tokenizer, "“Ã©”")  # the imports and tables that the first caption pays for
        rows = []
        for name in tqdm(args.kinds or known, disable=None):
            piece = known[name]
            took = [seconds(tokenizer, (piece * (length // len(piece) + 1))[:length]) for length in args.lengths]
            ratio = f"{took[-1] / took[-2]:.1f}" if len(took) > 1 else ""
            rows.append([name, *(f"{value:.4f}" for value in took), ratio])
        headers = ["caption", *(f"{length:,} characters" for length in args.lengths), "times"]
        print(markdown_table(rows, headers))


if __name__ == "__main__":
    run_command(main)
