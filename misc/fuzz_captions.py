"""Captions of every kind, made from a seed, through all that must hold for any string.

    python misc/fuzz_captions.py --count 100000 --seed 0
    python misc/fuzz_captions.py --seed 0 --only 1234          one caption again

Checks that nothing is raised but the package's own error, for a template that fills the context; that the ids are
those of open_clip's tokenizer; that the units are slices of the caption, in order, disjoint, not empty, free of outer
white space; that every token has one owner; and, on every 50th caption, that a model's attributions are finite (a tiny
random one, or --model). Prints figures, and a line for each violation with the caption's number. Exit status 1 if
there was one.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from clip4dm.commands.cli import one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, NOT_NEGATIVE, SEED

TEMPLATES = ("A photo depicts ", "", "A photo depicts", "a picture of: ", "  spaces ", "&amp; ", "Ã", "e", "&am")
FULL = "a very " * 60  # the one template that leaves no room, for which a caption is refused
CAPTIONS = (
    "A man riding a snowboard down a snow-covered slope.",
    "Two zebras, one calf and a hot dog on a plate.",
    "a woman's red-haired horse (brown) at 3:45 p.m.",
    "“Big” cats & small dogs — in the grass, by the lake…",
    "Café crème, naïve façade; €5 or ½ price, Åse’s",
    "日本の猫と犬。 한국어 자막, Привет мир",
    "salt &amp; pepper on a table",
)
PIECES = (
    "dog",
    "Cat",
    "...",
    ").",
    "(a",
    "İ",
    "ß",
    "café",
    "don't",
    "it's",
    "3:45",
    "p.m.",
    "1,000",
    ",'s",
    "$5",
    "_",
    " - ",
    ":-)",
    "''",
    '."',
    "!🐶",
    "🐶",
    "👩\u200d🚀",
    "🇫🇷",
    "—",
    "“quoted”",
    "’s",
    "ﬁsh",
    "ŉ",
    "ǆ",
    "ｆｕｌｌ",
    "￣",
    "\u3000",
    "…",
    "½",
    "Σ",
    "ΟΔΟΣ",
    "ẞ",
    "不错",
    "한국어",
    "\u1100\u1161\u11a8",
    "\u09c7\u09be",
    "שלום",
    "नमस्ते",
    "e\u0301",
    "\u0301",
    "\u0344",
    "q\u0323\u0301",
    "<end_of_text>",
    "<start_of_text>",
    "<b",
    "<",
    "\n",
    "\t",
    "\r\n",
    "\x0b",
    "\x85",
    "\u2028",
    "\u00a0",
    "\u200b",
    "\u200d",
    "\ufe0f",
    "\ufeff",
    "\x00",
    "\x07",
    "\x1c",
    "\x7f",
    "\x1b[31m",
    "\u206a",
    "\ufffc",
    "\ufffd",
    "\ud83d",
    "\ude00",
    "\ud83d\ude00",
    "\U000e0041",
    "ðŸ˜€",
    "Ã©",
    "Ã la",
    "Â ",
    "â€œ",
    "â€",
    "í\xa0½í¸\x80",
    "À\x80",
    "ÃƒÂ©",
    "Ã¯Â¿Â½",
    "&amp;",
    "&amp;amp;",
    "&amp",
    "&eacute;",
    "&EACUTE;",
    "&lt;b",
    "&copyright",
    "&notit;",
    "&semi;",
    "&period;",
    "&comma;",
    "&nbsp;",
    "&nbsp",
    "&NewLine;",
    "&ThickSpace;",
    "&NotEqualTilde;",
    "&fjlig;",
    "&#0;",
    "&#1;",
    "&#x80;",
    "&#x85;",
    "&#55357;",
    "&#x1F436",
    "&#38;#38;",
    "&#x301;",
    "&#99999999;",
    "&;",
    "&#;",
    "&#" + "9" * 5000 + ";",
    "&#" + "0" * 5000 + "65",
    "&amp;" + "amp;" * 40,
    "a" * 300,
    "\u0301\u0323" * 20,
)
ENCODINGS = (
    "latin-1",
    "sloppy-windows-1252",
    "sloppy-windows-1251",
    "sloppy-windows-1250",
    "iso-8859-2",
    "macroman",
    "cp437",
)
CONTROLS = "\x00\x01\x08\x0c\x1b\x1f\x7f\x80\x85\x9d\xa0\xad\u200b\u200e\u202e\u2029\ufeff\ufffe"
BLOCKS = (
    (0x20, 0x7F),
    (0x80, 0x100),
    (0x100, 0x250),
    (0x300, 0x370),
    (0x370, 0x530),
    (0x590, 0x700),
    (0x900, 0xE00),
    (0x1100, 0x1200),
    (0x2000, 0x2070),
    (0x3000, 0x3100),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A4),
    (0xD800, 0xE000),
    (0xFB00, 0xFB50),
    (0xFE00, 0xFE10),
    (0xFF00, 0xFFF0),
    (0x1F300, 0x1FA00),
    (0xE0000, 0xE0080),
    (0, 0x110000),
)


def make_caption(seed: int, number: int) -> tuple[str, str]:
    """The (template, caption) of a seed and a number."""
    random = Random(f"caption {seed} {number}")
    caption = random.choices(
        (_pieces, _mutated, _mojibake, _entities, _controls, _script, _long), (30, 20, 15, 12, 10, 12, 1)
    )[0](random)
    return FULL if random.random() < 0.001 else random.choice(TEMPLATES), caption


def _pieces(random: Random) -> str:
    return random.choice(("", "", " ")).join(random.choices(PIECES, k=random.randrange(13)))


def _mutated(random: Random) -> str:
    text = list(random.choice(CAPTIONS))
    for _ in range(random.randrange(1, 8)):
        place = random.randrange(len(text) + 1)
        text[place : place + random.randrange(3)] = random.choice(
            ("", random.choice(PIECES), "".join(text[place : place + 5]) * 2, "".join(text[place : place + 9]).upper())
        )
    return "".join(text)


def _mojibake(random: Random) -> str:
    import ftfy.bad_codecs  # noqa: F401  the sloppy encodings

    words = random.choice(CAPTIONS).split() + random.choices(PIECES, k=4)
    for number, word in enumerate(words):
        for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
            word = word.encode("utf-8", "surrogatepass").decode(random.choice(ENCODINGS), "replace")[:500]
        words[number] = random.choice((word, word, word.replace("\xa0", " "), word[1:], word.replace("\x80", "\ufffd")))
    return random.choice((" ", " ", "")).join(words)


def _entities(random: Random) -> str:
    def written(c: str) -> str:
        named = html.entities.codepoint2name.get(ord(c))
        forms = [c, c, f"&#{ord(c)};", f"&#x{ord(c):X};", f"&#{ord(c)}", f"&amp;#{ord(c)};"]
        forms += [f"&{named};", f"&{named}", f"&amp;{named};"] if named else []
        return random.choice(forms)

    return "".join(map(written, random.choice((_mutated, _pieces))(random)[:300]))


def _controls(random: Random) -> str:
    text = list(random.choice((_mutated, _pieces))(random)[:300])
    for _ in range(random.randrange(1, 12)):
        text.insert(random.randrange(len(text) + 1), random.choice(CONTROLS))
    return "".join(text)


def _script(random: Random) -> str:
    ranges = random.choices(BLOCKS, k=random.randrange(1, 4))
    return "".join(chr(random.randrange(*random.choice(ranges))) for _ in range(random.randrange(40)))


def _long(random: Random) -> str:
    piece = random.choice((_pieces, _mutated, _mojibake, _entities, _controls, _script))(random)[:400]
    length = random.randrange(500, 5000)
    return (piece * (length // max(len(piece), 1) + 1))[:length]


def violations(tokenizer, caption: str, template: str) -> list[str]:
    """What does not hold for a caption. Raises what `encode_caption` raises."""
    from clip4dm.captions.words import encode_caption

    encoded = encode_caption(tokenizer, caption, template)
    units, owners = encoded.units, [owner for owner in encoded.unit_of if owner >= 0]
    wrong = {
        "a unit is not the caption's slice": any(caption[u.start : u.end] != u.text for u in units),
        "a unit without text": any(not u.text for u in units),
        "a unit with outer white space": any(u.text != u.text.strip() for u in units),
        "units overlap or are out of order": any(a.end > b.start for a, b in zip(units, units[1:], strict=False)),
        "more ids than the context holds": len(encoded.ids) > (tokenizer.context_length or 77),
        "ids and owners differ in number": len(encoded.ids) != len(encoded.unit_of),
        "a special token has an owner": encoded.unit_of[0] != -1 or encoded.unit_of[-1] != -1,
        "owners are out of order": owners != sorted(owners),
        "scored units are not those with tokens": {i for i, u in enumerate(units) if u.scored} != set(owners),
        "scored and beyond the context": any(u.scored and u.beyond_context for u in units),
        "beyond the context, but not truncated": any(u.beyond_context for u in units) and not encoded.truncated,
        "the ids are not open_clip's": not _as_open_clip(tokenizer, template + caption, encoded.ids),
    }
    return [name for name, found in wrong.items() if found]


def _as_open_clip(tokenizer, text: str, ids: tuple[int, ...]) -> bool:
    """Whether open_clip gives the same ids, of all texts that it can read and that do not name its special tokens."""
    from clip4dm.captions.cleaning import base_clean

    cleaned = base_clean(text).text.lower()
    if "<start_of_text>" in cleaned or "<end_of_text>" in cleaned:
        return True
    try:
        theirs = tokenizer([text])[0].tolist()
    except ValueError as error:
        return "integer string conversion" in str(error)  # html.unescape and numbers of 4,301 digits
    return theirs[: len(ids)] == list(ids) and not any(theirs[len(ids) :])


def detection_violations(detector, features, caption: str) -> list[str]:
    """As `violations`, of a model's detection. Raises what json does where a figure is none."""
    found = detector.detect(features, [caption])[0]
    figures = [word.attribution for word in found.words if word.scored]
    wrong = [] if all(map(math.isfinite, (*figures, found.cosine, found.f_clip_score))) else ["a figure is not finite"]
    json.dumps([found.as_dict(), found.as_published()], allow_nan=False)
    return wrong


@dataclass
class Report:
    """count: captions made; detected: those a model saw. errors: the package's own. slowest: (CPU s, number)."""

    count: int = 0
    detected: int = 0
    seconds: float = 0.0
    errors: Counter = field(default_factory=Counter)
    violated: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)


def fuzz(tokenizer, numbers, seed: int, detector=None, every: int = 50) -> Report:
    """Check the captions of the given numbers; every `every`th by the detector too, where there is one."""
    import numpy as np

    from clip4dm.captions.tokens import TokenizerError
    from clip4dm.captions.words import CaptionError

    features = detector.encode_images(np.full((32, 32, 3), 90, dtype=np.uint8)) if detector else None
    report, began = Report(), time.perf_counter()
    for number in numbers:
        template, caption = make_caption(seed, number)
        start = time.process_time()
        try:
            found = violations(tokenizer, caption, template)
            if detector and number % every == 0:
                report.detected += 1
                found += detection_violations(detector, features, caption)
        except (CaptionError, TokenizerError) as error:
            report.errors[type(error).__name__] += 1
            found = [] if template == FULL else [f"refused: {error}"]
        except Exception as error:  # whatever it is: that is what is looked for
            found = [f"{type(error).__name__}: {error}"]
        report.slowest = max(report.slowest, (time.process_time() - start, number))
        report.violated += [(number, name) for name in found]
        report.count += 1
    report.seconds = time.perf_counter() - began
    return report


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=AT_LEAST_ONE, default=2_000, help="captions (default: %(default)s)")
    parser.add_argument("--seed", type=SEED, default=0, help="default: %(default)s")
    parser.add_argument("--only", type=NOT_NEGATIVE, metavar="NUMBER", help="this one caption of the seed, shown")
    parser.add_argument(
        "--every",
        type=AT_LEAST_ONE,
        default=50,
        metavar="N",
        help="the model sees every Nth caption, 0: none (default: %(default)s)",
    )
    parser.add_argument("--model", metavar="FOLDER", help="a model folder (default: a tiny random model)")
    args = parser.parse_args(argv)
    with one_line_errors("fuzz_captions.py"), tempfile.TemporaryDirectory() as scratch:
        import open_clip

        detector = None
        if args.every:
            from clip4dm import CLIP4DM
            from tests.making import make_tiny_clip

            detector = CLIP4DM.from_pretrained(pretrained=args.model or str(make_tiny_clip(Path(scratch) / "tiny")))
        tokenizer = detector.model.tokenizer if args.model and detector else open_clip.get_tokenizer("ViT-B-32")
        numbers = range(args.count)
        if args.only is not None:
            numbers = [args.only]
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
