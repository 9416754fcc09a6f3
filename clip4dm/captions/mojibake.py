"""ftfy.fix_text, followed step by step, so that every repaired character knows what it was made of.

ftfy says what it did to a line of text as a plan: "encode as windows-1252, decode as UTF-8, uncurl quotes". The same
plan is carried out here on a `Tracked` string. The text is ftfy's own whatever happens: should a plan hold a step
that is not known here (another version's), the line is aligned with its repair instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from os.path import commonprefix
from typing import Literal, cast

import ftfy
import regex
from ftfy import chardata, fixes
from ftfy.badness import is_bad

from clip4dm.captions.tracked import Edit, Tracked, align

# Bytes are handled as the characters U+0000 to U+00FF; UTF-8 with surrogate pairs is ftfy's "utf-8-variants".
_UTF8_SEQUENCE = re.compile("\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]|[\xc0-\xff][\x80-\xbf]+")
_LOSSY_SEQUENCE = re.compile(chardata.LOSSY_UTF8_RE.pattern.decode("latin-1"))
_LOST_A0 = re.compile(f"(?={fixes.A_GRAVE_WORD_RE.pattern.decode('latin-1')}).")
# What ftfy's other fixers change: they look at one character at a time, line ends and surrogate pairs apart.
_CHARACTER = re.compile("\r\n|[\ud800-\udbff][\udc00-\udfff]|[^ -~]")
_MATCHES = {"unescape_html": chardata.HTML_ENTITY_RE, "remove_terminal_escapes": fixes.ANSI_RE}
_CLUSTER = regex.compile(r"\X")  # no normalisation reaches beyond it

_Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

_AMPERSANDS = re.compile(r"(&(?:amp;){32})((?:amp;)+)")
_MARKS = regex.compile(r"\P{ccc=0}{32,}")


def fix_text(source: str) -> Tracked:
    """ftfy.fix_text(source), each character with its span in the source.

    >>> fixed = fix_text("dÃ©jÃ\\xa0 vu")
    >>> fixed.text, fixed.span(1, 2)
    ('déjà vu', (1, 3))
    """
    return Tracked.identity(source).replace(_lines(source))


def _lines(source: str) -> Iterator[Edit]:
    """What ftfy changes, line by line as fix_text goes: a "<" ends the unescaping of HTML for good."""
    config, start = ftfy.TextFixerConfig(), 0
    while start < len(source):
        end = min(source.find("\n", start) + 1 or len(source), start + config.max_decode_length)
        line = source[start:end]
        if "<" in line:
            config = config._replace(unescape_html=False)
        tracked = _tame(Tracked.identity(line), unescapes=bool(config.unescape_html))
        fixed, plan = ftfy.fix_and_explain(tracked.text, config)
        if fixed != line:
            yield start, end, _follow(tracked, fixed, plan or [])
        start = end


def _tame(tracked: Tracked, unescapes: bool) -> Tracked:
    """The same line for ftfy, without two things that it takes quadratic time for.

    "&amp;amp;amp;..." is unescaped one level at a time and ends as "&", however deep: 32 levels do, since nothing
    else in a line needs as many rounds. Accents are sorted by insertion; sorted before, they normalise to the same.
    """
    if unescapes:
        tracked = tracked.replace(
            (match.end(1) - 4, match.end(), Tracked.whole("amp;", 4 + len(match.group(2))))
            for match in _AMPERSANDS.finditer(tracked.text)
        )
    return tracked.sub(_MARKS, _sorted_marks)


def _sorted_marks(marks: str) -> str:
    classes = [unicodedata.combining(mark) for mark in marks]
    return "".join(sorted(marks, key=unicodedata.combining)) if all(classes) else marks


def _follow(tracked: Tracked, fixed: str, plan: Sequence[tuple[str, str]]) -> Tracked:
    followed = tracked
    try:
        for action, name in plan:
            followed = _step(followed, action, name)
    except (LookupError, UnicodeError):
        pass  # the text below says so
    if followed.text == fixed and len(followed.spans) == len(fixed):
        return followed
    return _guessed(tracked, fixed)


def _guessed(tracked: Tracked, fixed: str) -> Tracked:
    return tracked.replace([(0, len(tracked.text), align(tracked.text, fixed))])


def _step(tracked: Tracked, action: str, name: str) -> Tracked:
    """One step of a plan. Errors: LookupError, UnicodeError for one that is not known."""
    if action == "encode":
        return Tracked(tracked.text.encode(name).decode("latin-1"), tracked.spans)
    if action == "decode":
        if name.startswith("utf-8"):
            return tracked.sub(_UTF8_SEQUENCE, lambda sequence: sequence.encode("latin-1").decode(name))
        return Tracked(tracked.text.encode("latin-1").decode(name), tracked.spans)
    if action == "normalize":
        return tracked.replace(_normalized(tracked.text, cast(_Form, name)))
    fix = ftfy.FIXERS[name]
    if name == "decode_inconsistent_utf8":
        return tracked.replace(_embedded(tracked.text))
    if name == "restore_byte_a0":  # "à" whose second byte became a blank: put back, or put in behind "Ã"
        whole = tracked.sub(_LOST_A0, lambda byte: byte + "\xa0")
        return Tracked(_on_bytes(fix)(tracked.text), whole.spans)
    if name == "replace_lossy_sequences":
        return tracked.sub(_LOSSY_SEQUENCE, _on_bytes(fix))
    return tracked.sub(_MATCHES.get(name, _CHARACTER), fix)


def _on_bytes(fix: Callable[[bytes], bytes]) -> Callable[[str], str]:
    return lambda text: fix(text.encode("latin-1")).decode("latin-1")


def _embedded(text: str) -> Iterator[Edit]:
    """ftfy's decode_inconsistent_utf8: mojibake in the midst of other text, each piece with a plan of its own."""
    for match in chardata.UTF8_DETECTOR_RE.finditer(text):
        piece = match.group()
        if len(piece) < len(text) and is_bad(piece):
            fixed, plan = ftfy.fix_encoding_and_explain(piece)
            yield match.start(), match.end(), _follow(Tracked.identity(piece), fixed, plan or [])


def _normalized(text: str, form: _Form) -> Iterator[Edit]:
    for match in _CLUSTER.finditer(text):
        cluster = match.group()
        new = unicodedata.normalize(form, cluster)
        if new != cluster:
            same = len(commonprefix((cluster, new)))
            yield match.start() + same, match.end(), Tracked.whole(new[same:], len(cluster) - same)
