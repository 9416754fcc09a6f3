"""Suggestions as HTML: below a caption a line for each word, and a table of the new captions with their numbers.

Captions and words are anybody's: all that is shown goes through `escaped`.
"""

from __future__ import annotations

from collections.abc import Sequence

from clip4dm.report.html import escaped
from clip4dm.suggestion.result import Replacement, Suggestion

HEADS = ("new caption", "cosine", "gain", "still misaligned")
NUMBERS = ("cosine", "gain", "probability")
LEGEND = (
    "Below a caption: other words for each that does not fit, by how much they raise the cosine. "
    "*: with that word the caption still has a misaligned word."
)


def suggestions_html(suggestions: Sequence[Suggestion]) -> str:
    """A list, a line for each word; nothing where there is none. The new caption stands in a replacement's title.

    >>> from clip4dm.detection import Word
    >>> coke = Word("coke", 9, 13, attribution=-2e-4, misaligned=True)
    >>> tea = Replacement("tea", "a cup of tea", 9, 12, cosine=0.28, gain=0.022, misaligned=())
    >>> print(suggestions_html([Suggestion(coke, 0.258, (tea,), None, tried=12)]))  # doctest: +NORMALIZE_WHITESPACE
    <ul class="suggestions" aria-label="suggestions"><li dir="auto"><b>coke</b> → <span class="instead"
    title="a cup of tea"><bdi>tea</bdi>&nbsp;<span class="gain">+0.022</span></span></li></ul>
    """
    lines = "".join(f'<li dir="auto">{_line(one)}</li>' for one in suggestions)
    return f'<ul class="suggestions" aria-label="suggestions">{lines}</ul>' if lines else ""


def suggestions_table_html(suggestions: Sequence[Suggestion]) -> str:
    """A row for each new caption, those of a word together; nothing where there is none.

    suggestions_table_html(detector.suggest("photo.jpg", "a cup of coke"))  # '<table class="words new">...'
    """
    found = [(one, _shown(one)) for one in suggestions if _shown(one)]
    if not found:
        return ""
    calibrated = any(new.probability is not None for _, shown in found for new in shown)
    heads = (*HEADS, "probability") if calibrated else HEADS
    head = "".join(f'<th scope="col"{_kind(name)}>{name}</th>' for name in heads)
    bodies = "".join(
        f'<tbody><tr><th scope="rowgroup" colspan="{len(heads)}" dir="auto">for <b>{escaped(one.word.text)}</b></th>'
        f"</tr>{''.join(_row(new, heads) for new in shown)}</tbody>"
        for one, shown in found
    )
    return f'<table class="words new"><thead><tr>{head}</tr></thead>{bodies}</table>'


def suggestions_legend_html() -> str:
    """What the lines and the "*" mean.

    >>> suggestions_legend_html()[:36]
    '<p class="settings">Below a caption:'
    """
    return f'<p class="settings">{LEGEND}</p>'


def _line(one: Suggestion) -> str:
    word = f"<b>{escaped(one.word.text)}</b>"
    without = f"; {_instead('left out', one.leave_out)}" if one.leave_out else ""
    if not one.replacements:
        return f"{word}: {escaped(one.nothing())}{without}"
    found = ", ".join(_instead(f"<bdi>{escaped(new.word)}</bdi>", new) for new in one.replacements)
    return f"{word} → {found}{without}"


def _instead(shown: str, new: Replacement) -> str:
    star = "" if new.fits or not new.word else "*"
    return (
        f'<span class="instead" title="{escaped(new.caption)}">{shown}&nbsp;<span class="gain">{new.gain:+.3f}{star}'
        "</span></span>"
    )


def _shown(one: Suggestion) -> tuple[Replacement, ...]:
    return (*one.replacements, one.leave_out) if one.leave_out else one.replacements


def _row(new: Replacement, heads: Sequence[str]) -> str:
    before, word, after = new.caption[: new.start], new.caption[new.start : new.end], new.caption[new.end :]
    shown = {
        "cosine": f"{new.cosine:.3f}",
        "gain": f"{new.gain:+.3f}",
        "still misaligned": escaped(", ".join(word.text for word in new.misaligned)),
        "probability": "" if new.probability is None else f"{new.probability:.2f}",
    }
    caption = f"{escaped(before)}<b>{escaped(word)}</b>{escaped(after)}" if word else escaped(new.caption)
    cells = "".join(f"<td{_kind(name)}>{shown[name]}</td>" for name in heads[1:])
    return f'<tr><th scope="row" dir="auto">{caption}</th>{cells}</tr>'


def _kind(name: str) -> str:
    return ' class="number"' if name in NUMBERS else ""
