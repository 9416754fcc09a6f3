"""A report's other pages: galleries, words, pairs without scores. What is too large for a page goes on on the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clip4dm.report.html import escaped, page
from clip4dm.report.runs.cards import Cards, Group, controls_html, short
from clip4dm.report.runs.galleries import SKIPPED, Gallery, Tally
from clip4dm.report.runs.parts import STYLE, Cell, nav_html, table_html
from clip4dm.report.runs.script import SCRIPT
from clip4dm.report.runs.sources.base import Shown, Source
from clip4dm.report.runs.wordcounts import Count

MOST_BYTES = 6_000_000  # of a page's cards
MOST_CARDS = 300  # on a page
WORDS, EXAMPLES = 200, 24  # words in the table, those of them with a card
LONGEST = 300  # characters of a caption in a table


@dataclass(frozen=True)
class Frame:
    """What all pages of a report have. links: (file, title).

    frame.page("hits.html", "Surest hits", "<ol>...</ol>")
    """

    title: str
    lead: str
    links: Sequence[tuple[str, str]]
    footer: str

    def page(self, file: str, heading: str, body: str) -> str:
        """A document: links, a heading, the body. heading: text. body: HTML."""
        lead = f'<p class="lead">{escaped(self.lead)}</p>'
        whole = (
            f"{nav_html(self.links, file)}<main><h1>{escaped(heading)}</h1>{lead}{body}</main>"
            f"<footer>{escaped(self.footer)}</footer>"
        )
        return page(f"{heading} · {self.title}", whole, script=SCRIPT, style=STYLE)


def gallery_pages(
    frame: Frame, gallery: Gallery, tally: Tally, pairs: Mapping[int, Shown], cards: Cards, source: Source
) -> Iterator[tuple[str, str]]:
    """(file, page) of a gallery, one after another.

    dict(gallery_pages(frame, LABELLED[0], tally, pairs, cards, source))["hits.html"]
    """
    places = tally.chosen[gallery.name]
    many = tally.members[gallery.name]
    shown = f"{len(places):,} of {many:,} such captions are shown." if many else ""
    made = list(_pages_of(cards.html(pairs[place], rank) for rank, place in enumerate(places, 1)))
    for number, items in enumerate(made, 1):
        file, others = _file(gallery.name, number), ""
        if len(made) > 1:
            others = nav_html(
                [(_file(gallery.name, one), f"page {one}") for one in range(1, len(made) + 1)], file
            ).replace('aria-label="pages"', 'aria-label="pages of this gallery"')
        body = (
            f"<p>{escaped(gallery.what)} {shown}</p>{cards.legend(pairs[place] for place in places)}{others}"
            f"{controls_html(list(cards.groups), source.score_name)}"
            f'<ol class="cards">{"".join(items)}</ol>{others}'
            if items
            else f"<p>{escaped(gallery.what)}</p><p><b>There is none in this run.</b></p>"
        )
        heading = gallery.title + (f", page {number} of {len(made)}" if len(made) > 1 else "")
        yield file, frame.page(file, heading, body)


def words_page(frame: Frame, counts: Sequence[Count], pairs: Mapping[int, Shown], cards: Cards, source: Source) -> str:
    """The words most often called misaligned: a table, and a card of each of the first ones.

    words_page(frame, tally.words.most_called(WORDS), pairs, cards, source)
    """
    heads = ["word", "times called misaligned", "times in captions", "share"]
    heads += ["of these labelled", "in true captions"] if source.labelled else []
    rows = [_word_row(count, source.labelled) for count in counts]
    shown = [(rank, count) for rank, count in enumerate(counts[:EXAMPLES], 1) if count.place in pairs]
    examples = [pairs[count.place] for _, count in shown]
    items = [
        cards.html(pair, rank, f'<p class="faint">an example of <b>{escaped(count.word)}</b></p>', 3)
        for (rank, count), pair in zip(shown, examples, strict=True)
    ]
    what = "Every word counts once for each time it stands in a caption. "
    if source.sorted_by == "most_negative":
        what += (
            "Each caption has one word that is called misaligned here, the lowest, whether the caption is true or not."
        )
    body = f"<p>{what}</p>" + (
        f"{table_html('words most often called misaligned', heads, rows)}<h2>An example of each, the lowest</h2>"
        f'{cards.legend(examples)}<ol class="cards">{"".join(items)}</ol>'
        if counts
        else "<p><b>No word was called misaligned.</b></p>"
    )
    return frame.page("words.html", "Words most often called misaligned", body)


def skipped_page(frame: Frame, tally: Tally) -> str:
    """Pairs without scores: how many for which reason, and the first of them.

    skipped_page(frame, tally)
    """
    total = sum(tally.reasons.values())
    reasons: list[Sequence[Cell]] = [
        [(escaped(reason), ""), (f"{count:,}", count)] for reason, count in tally.reasons.most_common(50)
    ]
    rows: list[Sequence[Cell]] = [
        [(escaped(short(one.key)), "")]
        + [(escaped(short(text, LONGEST)), None) for text in (one.image, one.caption, one.reason)]
        for one in tally.skipped
    ]
    first = f"<p>The first {SKIPPED} of {total:,}.</p>" if total > SKIPPED else ""
    body = (
        "<p>What has no scores is part of no figure.</p>"
        f"{table_html('reasons', ['reason', 'pairs'], reasons)}<h2>Which</h2>{first}"
        f"{table_html('pairs without scores', ['pair', 'picture', 'caption', 'reason'], rows)}"
    )
    return frame.page("skipped.html", "Not scored", body)


def groups_of(tally: Tally, most: int) -> dict[Group, int]:
    """Numbers of the groups that can be chosen, in the order of their names.

    >>> tally = Tally()
    >>> tally.groups.update([("kind", "size"), ("kind", "colour"), ("kind", "size")]); groups_of(tally, most=9)
    {('kind', 'colour'): 0, ('kind', 'size'): 1}
    """
    return {group: number for number, group in enumerate(sorted(tally.groups)[:most])}


def _pages_of(cards: Iterator[str]) -> Iterator[list[str]]:
    """Cards, as many together as a page may have; one page without any where there are none."""
    items: list[str] = []
    size, full = 0, False
    for card in cards:
        if items and (len(items) == MOST_CARDS or size + len(card.encode()) > MOST_BYTES):
            yield items
            items, size, full = [], 0, True
        items.append(card)
        size += len(card.encode())
    if items or not full:
        yield items


def _file(name: str, number: int) -> str:
    return f"{name}.html" if number == 1 else f"{name}-{number}.html"


def _word_row(count: Count, labelled: bool) -> list[Cell]:
    row: list[Cell] = [
        (escaped(count.word), ""),
        (f"{count.called:,}", count.called),
        (f"{count.there:,}", count.there),
        (f"{count.share:.1%}", count.share),
    ]
    return row + ([(f"{count.right:,}", count.right), (f"{count.on_true:,}", count.on_true)] if labelled else [])
