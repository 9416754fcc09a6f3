"""A report of a folder that main.py or `clip4dm score` wrote: which it is, and all pages of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clip4dm import __version__
from clip4dm.report.runs import CARDS
from clip4dm.report.runs.cards import Cards
from clip4dm.report.runs.folder import ReportFolder, check_place
from clip4dm.report.runs.galleries import MOST_GROUPS, Tally, fetch, galleries_of, tally_of
from clip4dm.report.runs.overview import overview_page
from clip4dm.report.runs.pages import EXAMPLES, WORDS, Frame, gallery_pages, groups_of, skipped_page, words_page
from clip4dm.report.runs.sources.base import ReportError, Source


@dataclass(frozen=True)
class Report:
    """What was written. files: in the folder, index.html first. notices: what is amiss with the run, text.

    write_report(Path("output/foil/ViT-B-32-openai/SETTINGS"), Path("report")).index
    """

    folder: Path
    files: tuple[str, ...]
    scored: int
    skipped: int
    notices: tuple[str, ...]

    @property
    def index(self) -> Path:
        """To be opened first."""
        return self.folder / "index.html"


def write_report(
    run: Path, folder: Path, *, img_dir: str | None = None, cards: int = CARDS, overwrite: bool = False
) -> Report:
    """Write a report's folder, whole or not at all.

    img_dir: where the pictures are now (None: where they were). cards: how many a gallery shows. overwrite: an earlier
    report there. Errors: ReportError; RunError, DamagedRun or ScoringError where the run cannot be read.

        write_report(Path("output/foil/ViT-B-32-openai/SETTINGS"), Path("report"), cards=50)
    """
    place, within = folder.resolve(), run.resolve()
    if within in (place, *place.parents):
        raise ReportError(f"{folder} lies in {run}, which is reported: give another --output")
    check_place(folder, overwrite)
    source = open_source(run, img_dir)
    tally = tally_of(source, cards)
    with ReportFolder(folder, overwrite) as files:
        for name, text in pages(source, tally):
            files.write(name, text)
    skipped = sum(tally.reasons.values())
    return Report(folder, tuple(files.names), tally.scored, skipped, tuple(source.notices))


def open_source(run: Path, img_dir: str | None = None) -> Source:
    """The run, by what lies in its folder. Errors: ReportError where it is none, RunError, DamagedRun, ScoringError.

    open_source(Path("scores")).title
    """
    from clip4dm.evaluation.store.runfiles import CONFIG, RESULT, SAMPLES, part_files
    from clip4dm.scoring.sink import SCORE_FILE

    if not run.is_dir():
        raise ReportError(f"{run} is no folder: give one that main.py or `clip4dm score` wrote")
    if (run / SCORE_FILE).exists():
        from clip4dm.report.runs.sources.scores import open_scores_source

        return open_scores_source(run, img_dir)
    begun = (run / CONFIG).exists() or (run / SAMPLES).exists() or part_files(run)
    if begun and not (run / RESULT).exists():
        raise ReportError(f"{run} is a run that has not finished: its main.py command, given again, goes on with it")
    if not (run / RESULT).exists():
        raise ReportError(
            f"{run} holds neither a run of main.py nor scores of `clip4dm score`: give the folder that main.py "
            'printed behind "run:", or the --output of `clip4dm score`'
        )
    from clip4dm.report.runs.sources.run import open_run_source

    return open_run_source(run, img_dir)


def pages(source: Source, tally: Tally) -> Iterator[tuple[str, str]]:
    """(file, page) of a whole report; index.html comes last, when it is known which pictures there are.

    dict(pages(source, tally_of(source, cards=100)))["index.html"]
    """
    galleries, counts = galleries_of(source), tally.words.most_called(WORDS)
    places = [place for chosen in tally.chosen.values() for place in chosen]
    pairs = fetch(source, [*places, *(count.place for count in counts[:EXAMPLES])])
    cards = Cards(source, groups_of(tally, MOST_GROUPS))
    links = [("index.html", "Overview"), *((f"{one.name}.html", one.title) for one in galleries)]
    links += [("words.html", "Words"), *([("skipped.html", "Not scored")] if tally.reasons else [])]
    rule = "the lowest word of a caption" if source.sorted_by == "most_negative" else f"words below {source.epsilon:g}"
    frame = Frame(
        f"{source.title} · {source.model}",
        f"{source.title} by {source.model}. Misaligned: {rule}.",
        links,
        f"Made by clip4dm {__version__}. Every page holds all it shows: nothing is fetched from anywhere.",
    )
    for gallery in galleries:
        yield from gallery_pages(frame, gallery, tally, pairs, cards, source)
    yield "words.html", words_page(frame, counts, pairs, cards, source)
    if tally.reasons:
        yield "skipped.html", skipped_page(frame, tally)
    yield "index.html", overview_page(frame, source, tally, pairs, cards)
