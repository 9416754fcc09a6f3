"""Text cleaning as open_clip's, each character with the span of the text as given that it stands for.

CLIP's tokenizers do not see the caption as given: open_clip repairs mojibake and curly quotes (ftfy, followed in
mojibake.py), unescapes HTML twice, folds white space and lower-cases (or strips punctuation, for SigLIP). Each step
does the same on a `Tracked` string, so that a token's place in the cleaned text is a place in the caption. It takes
time linear in the text's length, but for what ftfy itself may take.
Source: open_clip/tokenizer.py; Python's html.unescape; big_vision's canonicalisation of prompts.
"""

from __future__ import annotations

import html
import re
import string
from collections.abc import Iterator
from html.entities import html5

from clip4dm.captions.mojibake import fix_text
from clip4dm.captions.tracked import Edit, Tracked

# html.unescape's own notion of a reference.
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")
_SPACE = re.compile(r"\s+")
_LONGEST_CODE = len("1114111")  # digits of the last code point
_PUNCTUATION = frozenset(string.punctuation)


def base_clean(source: str) -> Tracked:
    """open_clip's basic cleaning and white space folding: ftfy, HTML unescaped twice, runs of space made one.

    >>> base_clean("a  cup &amp;amp; saucer").text
    'a cup & saucer'
    """
    return fold_spaces(unescape(unescape(fix_text(source))))


def fold_spaces(tracked: Tracked) -> Tracked:
    """Runs of white space become one blank, outer ones go, as " ".join(text.split()).

    >>> folded = fold_spaces(Tracked.identity("a \\n cup "))
    >>> folded.text, folded.spans[1]
    ('a cup', (1, 4))
    """
    folded = tracked.sub(_SPACE, lambda run: " ")
    first, last = folded.text.startswith(" "), len(folded.text) - folded.text.endswith(" ")
    return Tracked(folded.text[first:last], folded.spans[first:last])


def lower(tracked: Tracked) -> Tracked:
    """str.lower, where one character may become two ('İ').

    >>> lower(Tracked.identity("A İ")).spans
    ((0, 1), (1, 2), (2, 3), (2, 3))
    """
    lowered = tracked.text.lower()  # of the whole, because a final sigma depends on its neighbours
    return Tracked(lowered, tuple(span for c, span in zip(tracked.text, tracked.spans, strict=True) for _ in c.lower()))


def canonicalize(tracked: Tracked) -> Tracked:
    """big_vision's canonicalisation: no punctuation, lower case; an underscore is a blank.

    >>> canonicalize(Tracked.identity("A Cup_of tea.")).text
    'a cup of tea'
    """
    kept = [
        (c, span)
        for c, span in zip(tracked.text.replace("_", " "), tracked.spans, strict=True)
        if c not in _PUNCTUATION
    ]
    return fold_spaces(lower(Tracked("".join(c for c, _ in kept), tuple(span for _, span in kept))))


def unescape(tracked: Tracked) -> Tracked:
    """html.unescape, where a character stands for its whole reference.

    >>> unescaped = unescape(Tracked.identity("caf&eacute;"))
    >>> unescaped.text, unescaped.span(3, 4)
    ('café', (3, 11))
    """
    return tracked.replace(_references(tracked.text)) if "&" in tracked.text else tracked


def _references(text: str) -> Iterator[Edit]:
    for match in _REFERENCE.finditer(text):
        name = match.group()[1:]
        if name.startswith("#"):
            end, new = match.end(), _numeric(name)
        else:
            # "&copyright" is "©right": HTML knows a few names without their semicolon, and takes the longest.
            length = next((n for n in range(len(name), 1, -1) if name[:n] in html5), 0)
            if not length:
                continue
            end, new = match.start() + 1 + length, html5[name[:length]]
        yield match.start(), end, Tracked.whole(new, end - match.start())


def _numeric(name: str) -> str:
    digits = name[1:].rstrip(";").lstrip("0")
    if digits.isdigit() and len(digits) > _LONGEST_CODE:
        return "\N{REPLACEMENT CHARACTER}"  # as html.unescape, which beyond 4,300 digits raises ValueError
    return html.unescape("&" + name if digits[:1] in ("x", "X") else f"&#{digits or 0};")
