"""A pair as a card: its picture, its caption with every word on its colour, what people said, what was said, scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from clip4dm.files.images import ImageError
from clip4dm.report.html import caption_html, escaped, legend_html, picture_data_uri
from clip4dm.report.runs.sources.base import Shown, Source
from clip4dm.report.runs.sources.suggested import Suggested
from clip4dm.report.suggested import instead_html

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL = 288  # pixels of the longer side
LONGEST = 2_000  # characters of a caption that are shown
NO_BETTER = "no better word found"
SUGGESTED = (
    "word → others in its place, by how much each changes the cosine of picture and caption; an asterisk: with it the "
    "caption still has a misaligned word."
)

Group = tuple[str, str]  # ("kind", "colour")


class Cards:
    """Makes cards of a source's pairs; a picture that several show is read once. groups: their numbers in the menus.

    without: how many cards have no picture, by reason.

    Cards(source, {("kind", "colour"): 0}).html(pair, rank=1)
    """

    def __init__(self, source: Source, groups: Mapping[Group, int]) -> None:
        self.source, self.groups = source, groups
        self.without: dict[str, str] = {}
        self._pictures: dict[str, str] = {}

    def html(self, pair: Shown, rank: int, note: str = "", level: int = 2) -> str:
        """A card. rank: its place in the gallery. note: HTML, a line above the scores. level: of its heading."""
        groups = " ".join(str(self.groups[one]) for one in pair.groups.items() if one in self.groups)
        lowest = 0.0 if pair.lowest is None else pair.lowest
        data = {"rank": rank, "score": pair.score, "cosine": pair.cosine, "lowest": lowest}
        numbers = "".join(f' data-{name}="{value:.9g}"' for name, value in data.items())
        return (
            f'<li class="card pair" data-groups="{groups}"{numbers}>{self._picture(pair)}'
            f'<div class="said"><h{level}><span class="rank">{rank}</span> {escaped(short(pair.image or pair.key))}'
            f"</h{level}>{self._caption(pair)}{self._verdict(pair)}{suggested_html(pair.suggested)}{note}{self._facts(pair)}</div></li>"
        )

    def legend(self, pairs: Iterable[Shown]) -> str:
        """What colours, lines and suggestions mean, above the cards of these pairs."""
        suggested = f'<p class="faint">{SUGGESTED}</p>' if any(pair.suggested for pair in pairs) else ""
        return legend_html(labelled=self.source.labelled) + suggested

    def _picture(self, pair: Shown) -> str:
        if pair.image not in self._pictures:
            self._pictures[pair.image] = self._read(pair.image)
        return self._pictures[pair.image]

    def _read(self, name: str) -> str:
        try:
            picture: Image = self.source.picture(name)
            address = picture_data_uri(picture, THUMBNAIL)
        except ImageError as error:
            self.without[name] = str(error)
            return f'<p class="picture missing">No picture: {escaped(short(str(error), 200))}</p>'
        return f'<img class="picture" src="{address}" alt="{escaped(short(name))}" decoding="async">'

    def _caption(self, pair: Shown) -> str:
        spans = pair.label.spans if pair.label else ()
        if len(pair.caption) <= LONGEST:
            return caption_html(pair.caption, pair.words, self.source.epsilon, spans)
        words = [word for word in pair.words if word.end <= LONGEST]
        shown = caption_html(pair.caption[:LONGEST], words, self.source.epsilon, spans)
        return f'{shown}<p class="faint">… and {len(pair.caption) - LONGEST:,} more characters</p>'

    def _verdict(self, pair: Shown) -> str:
        found = ", ".join(word.text for word in pair.misaligned)
        said = f"<b>{escaped(short(found, 300))}</b>" if found else "<i>nothing</i>"
        parts = [f"<span>found {said}</span>"]
        if pair.label is not None and pair.label.misaligned:
            parts.append(f"<span>labelled <b>{escaped(short(pair.label.text, 300))}</b></span>")
            if pair.label.hit is None:
                parts.append('<span class="tag">label not in the caption</span>')
            else:
                name, sign = ("hit", "\N{CHECK MARK} hit") if pair.label.hit else ("miss", "\N{BALLOT X} miss")
                parts.append(f'<span class="tag {name}">{sign}</span>')
        elif pair.label is not None:
            parts.append('<span class="tag">true caption</span>')
        if pair.truncated:
            parts.append('<span class="tag">truncated: its end lies beyond CLIP\'s context</span>')
        if pair.lowest is None:
            parts.append('<span class="tag">no word was scored</span>')
        parts += [f'<span class="tag group">{escaped(short(f"{k}={v}"))}</span>' for k, v in pair.groups.items()]
        return f'<p class="verdict">{" ".join(parts)}</p>'

    def _facts(self, pair: Shown) -> str:
        facts = [("F-CLIPScore", f"{pair.f_clip_score:.4g}")]
        if self.source.score_name != "F-CLIPScore":
            facts.insert(0, (self.source.score_name, f"{pair.score:.4g}"))
        facts += [("CLIPScore", f"{pair.clip_score:.3f}"), ("cosine", f"{pair.cosine:.3f}")]
        if pair.lowest is not None:
            facts.append(("lowest word", f"{pair.lowest:.3g}"))
        if pair.rating is not None:
            facts.append(("people's rating", f"{pair.rating:.3g}"))
        return f'<dl class="facts">{"".join(f"<div><dt>{n}</dt><dd>{v}</dd></div>" for n, v in facts)}</dl>'


def suggested_html(suggested: Sequence[Suggested]) -> str:
    """A list, a line for each word; nothing where there is none. A new caption stands in its word's title.

    >>> from clip4dm.report.runs.sources.suggested import Instead
    >>> print(suggested_html([Suggested("coke", (Instead("tea", 0.022, "a cup of tea", fits=False),), leave_out=0.01)]))
    <ul class="suggestions" aria-label="suggestions"><li dir="auto"><b>coke</b> → <span class="instead"...
    """
    lines = "".join(f'<li dir="auto">{_suggested_line(one)}</li>' for one in suggested)
    return f'<ul class="suggestions" aria-label="suggestions">{lines}</ul>' if lines else ""


def _suggested_line(one: Suggested) -> str:
    found = [
        instead_html(f"<bdi>{escaped(short(new.word))}</bdi>", new.gain, short(new.caption, 300), new.fits is not False)
        for new in one.instead
    ]
    word = f"<b>{escaped(short(one.word))}</b>"
    line = f"{word} → {', '.join(found)}" if found else f"{word}: {escaped(short(one.reason or NO_BETTER, 300))}"
    return line + ("" if one.leave_out is None else f"; {instead_html('left out', one.leave_out)}")


def controls_html(groups: Sequence[Group], score: str) -> str:
    """The menus above the cards, hidden until a script shows them: which group, in which order.

    >>> "F-CLIPScore, lowest first" in controls_html([], "F-CLIPScore")
    True
    """
    orders = [
        ("rank 1", "as ranked"),
        ("score 1", f"{score}, lowest first"),
        ("score -1", f"{score}, highest first"),
        ("lowest 1", "lowest word first"),
        ("cosine 1", "cosine, lowest first"),
        ("cosine -1", "cosine, highest first"),
    ]
    order = "".join(f'<option value="{value}">{escaped(text)}</option>' for value, text in orders)
    options = "".join(
        f'<option value="{number}">{escaped(short(f"{key}={value}"))}</option>'
        for number, (key, value) in enumerate(groups)
    )
    menu = f'<label>Group <select id="group"><option value="">all</option>{options}</select></label>' if groups else ""
    return (
        '<div class="controls" role="group" aria-label="what is shown" hidden>'
        f'{menu}<label>Order <select id="order">{order}</select></label><output aria-live="polite"></output></div>'
    )


def short(text: str, most: int = 120) -> str:
    """Text of at most so many characters.

    >>> short("shapes_000.png", 7)
    'shapes…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"
