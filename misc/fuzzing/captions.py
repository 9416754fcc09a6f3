"""Captions of every kind, each made from a seed and a number: pieces, mutations, mojibake, entities, scripts."""

from __future__ import annotations

import html.entities
from random import Random

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
