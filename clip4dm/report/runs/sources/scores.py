"""A folder of `clip4dm score` as a report takes it: pairs that nobody labelled."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.detection import Word
from clip4dm.files.reading import is_number
from clip4dm.report.runs.sources.base import Shown, Skipped, score_title
from clip4dm.report.runs.sources.pictures import FolderPictures, TarPictures, tar_pictures
from clip4dm.report.runs.sources.run import rule_of, versions_of
from clip4dm.report.runs.sources.suggested import of_column
from clip4dm.scores import EPSILON, F_CLIP_SCORE, SORTED_BY, SortedBy
from clip4dm.scoring.filtering.stored import Scores, read_scores
from clip4dm.scoring.schema import SUGGESTIONS, further_columns

if TYPE_CHECKING:
    from PIL.Image import Image

    from clip4dm.evaluation.metrics.calibration import Words

COLUMNS = (
    "key", "image", "caption", "cosine", "f_clip_score", "score", "misaligned", "words", "truncated", "error",
)  # fmt: skip
BATCH = 2_000  # rows read at a time


@dataclass(frozen=True)
class ScoresSource:
    """The rows of a folder of scores.

    source = open_scores_source(Path("scores"))
    next(source.pairs()).caption
    """

    scores: Scores
    pictures: FolderPictures | TarPictures
    labelled = False
    result = None

    @property
    def title(self) -> str:
        """What was scored, by the last names of what was given."""
        given = [Path(one).name or one for one in _given(self.scores)]
        return ", ".join(given[:3]) + (", ..." if len(given) > 3 else "") or self.scores.folder.name

    @property
    def model(self) -> str:
        """Backbone and weights."""
        weights = Path(str(self.scores.about.get("pretrained", ""))).name
        return f"{_object(self.scores.about.get('model')).get('backbone', 'an unknown model')} {weights}".strip()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """As in _score.json."""
        return _object(self.scores.about.get("settings"))

    @property
    def sorted_by(self) -> SortedBy:
        """The settings'."""
        return next((rule for rule in SORTED_BY if rule == self.settings.get("sorted_by")), SORTED_BY[0])

    @property
    def epsilon(self) -> float:
        """The settings'."""
        value: Any = self.settings.get("epsilon")
        return float(value) if is_number(value) else EPSILON

    @property
    def score_name(self) -> str:
        """The settings'."""
        return score_title(str(self.settings.get("score", F_CLIP_SCORE)))

    @property
    def notices(self) -> Sequence[str]:
        """Unfinished scoring, missing pictures."""
        return [*self.scores.remarks, *([self.pictures.amiss] if self.pictures.amiss else [])]

    @property
    def about(self) -> Sequence[tuple[str, str]]:
        """From _score.json."""
        about, settings = self.scores.about, self.settings
        model = _object(about.get("model"))
        rows: dict[str, Any] = {
            "scored": f"{self.title} ({_object(about.get('input')).get('format', 'unknown format')})",
            "backbone": model.get("backbone"),
            "weights": Path(str(about.get("pretrained", ""))).name,
            "weights' SHA-256": about.get("weights_sha256"),
            "method": settings.get("method"),
            "start_layer_text": settings.get("start_layer_text"),
            "template": repr(settings["template"]) if "template" in settings else None,
            "a word is misaligned": rule_of(self.sorted_by, self.epsilon),
            "captions are ordered by": self.score_name,
            "precision": model.get("precision"),
            "versions": versions_of(about.get("versions")),
            "fingerprint": about.get("fingerprint"),
        }
        return [(name, str(value)) for name, value in rows.items() if value not in (None, "")]

    def pairs(self) -> Iterator[Shown | Skipped]:
        """Errors: ScoringError."""
        wanted = {*COLUMNS, *further_columns(self.settings)}
        names = [name for name in self.scores.schema.names if name in wanted]
        for rows in self.scores.batches(names, BATCH):
            yield from map(_shown, rows)

    def picture(self, name: str) -> Image:
        """Errors: ImageError."""
        return self.pictures.picture(name)

    def words(self) -> Words | None:
        """None: no word is labelled."""
        return None


def open_scores_source(folder: Path, img_dir: str | None = None) -> ScoresSource:
    """A folder of scores, finished or not. img_dir: where its pictures or tars are (None: where they were).

    Errors: ScoringError.

        open_scores_source(Path("scores")).notices
    """
    scores = read_scores(folder, partial=True)
    made_of = _object(scores.about.get("input"))
    given = _given(scores)
    if made_of.get("format") == "tar":
        labels = [str(_object(shard.metadata.get("shard")).get("file", "")) for shard in scores.shards]
        return ScoresSource(scores, tar_pictures(given, [label for label in labels if label], img_dir))
    first = given[0] if given else ""
    was = made_of.get("img_dir") or (first if made_of.get("format") == "folder" else os.path.dirname(first) or ".")
    return ScoresSource(scores, FolderPictures(img_dir or str(was)))


def _shown(row: Mapping[str, Any]) -> Shown | Skipped:
    key, image, caption = (str(row.get(name) or "") for name in ("key", "image", "caption"))
    if row.get("error") is not None or not all(
        is_number(row.get(name)) for name in ("cosine", "f_clip_score", "score")
    ):
        return Skipped(key, image, caption, str(row.get("error") or "its scores are no numbers"))
    found = {(word["start"], word["end"]) for word in row["misaligned"] or []}
    words = tuple(
        Word(word["text"], word["start"], word["end"], word["attribution"], (word["start"], word["end"]) in found)
        for word in row["words"] or []
        if None not in (word["text"], word["start"], word["end"])
        if word["attribution"] is None or is_number(word["attribution"])
    )
    return Shown(
        key,
        image,
        caption,
        words,
        row["cosine"],
        row["f_clip_score"],
        row["score"],
        bool(row.get("truncated")),
        suggested=of_column(row.get(SUGGESTIONS)),
    )


def _given(scores: Scores) -> list[str]:
    """The words of the command line then."""
    given = scores.about.get("given")
    return [str(one) for one in given] if isinstance(given, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
