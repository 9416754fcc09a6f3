"""What a benchmark is: its samples, its labels as character spans, its decision rule, its usual settings.

A label (a FOIL word, a HAT span, a Rich-HF token) is a character span of the caption, and so is a word of a
Detection. Every decision rule therefore compares spans, and nothing here parses `"3_coke"`-like strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from clip4dm.captions.tracked import Span
from clip4dm.errors import CLIP4DMError
from clip4dm.scores import SortedBy

__all__ = [
    "Benchmark",
    "BenchmarkError",
    "Judgement",
    "Kendall",
    "ORIGINAL",
    "Reading",
    "Sample",
    "ScoredWord",
    "Span",
    "SortedBy",
]

Kendall = Literal["b", "c"]  # both allow for ties; c also for scales of different lengths (Stuart 1953)

ORIGINAL = "ORIG"  # the label of a caption that is true of its picture


@dataclass(frozen=True)
class Sample:
    """One image-caption pair and what is known about it.

    id: unique in its file and stable over runs. image: path relative to the image folder.
    spans: the caption's misaligned character spans, () for a caption that is true of its image, or whose label stands
    nowhere in it.
    misaligned: whether the caption as a whole is misaligned.
    label: the published `GT_foil_word` (foil word, "ORIG", joined words, caption_misalignment).
    tokens, token_labels: where the benchmark labels every token, their spans and True = misaligned.
    references: other captions of the image, for RefCLIPScore.
    gt_score: a human score of the pair, where there is one. groups: e.g. {"domain": "in-domain"}.
    ratings: what each person gave the pair, where that is known; gt_score is their mean.
    original: the true caption that a misaligned one was made of, where the file says it.

    >>> sample = Sample("1", "cup.jpg", "cup", "a cup of coke", True, ((9, 13),), "coke")
    >>> [sample.caption[start:end] for start, end in sample.spans]
    ['coke']
    """

    id: str
    image: str
    image_id: str
    caption: str
    misaligned: bool
    spans: tuple[Span, ...]
    label: str
    references: tuple[str, ...] = ()
    tokens: tuple[Span, ...] = ()
    token_labels: tuple[bool, ...] = ()
    gt_score: float | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    ratings: tuple[float, ...] = ()
    original: str | None = None


class ScoredWord(Protocol):
    """What a decision rule asks of a word. attribution: None where it was not scored; such a word is never found."""

    @property
    def text(self) -> str:
        """caption[start:end]."""

    @property
    def start(self) -> int:
        """Where it begins, in characters of the caption as given."""

    @property
    def end(self) -> int:
        """Where it ends."""

    @property
    def attribution(self) -> float | None:
        """Negative where the word pulls image and text apart."""


@dataclass(frozen=True)
class Judgement:
    """What the decision rule says of one sample.

    predicted: the words found, as the benchmark spells them. hit: the paper's rule for location accuracy,
    None where it does not count (an original, an unlabelled caption). hit_span: the sound rule on spans.
    tp, fp, fn: token counts for precision and recall, None where the benchmark has no token labels. sum_negative: the
    published sum_negative_attribution, where the rule has one of its own.

    >>> Judgement("coke", ((9, 13),), hit=True).tp is None
    True
    """

    predicted: str
    predicted_spans: tuple[Span, ...]
    hit: bool | None = None
    hit_span: bool | None = None
    tp: int | None = None
    fp: int | None = None
    fn: int | None = None
    sum_negative: float | None = None


@dataclass(frozen=True)
class Reading:
    """The samples of a file and what there is to say of them. left_out: rows that are no samples, by reason.

    >>> Reading([], left_out={"no caption": 2}).describe()["left out"]
    {'no caption': 2}
    """

    samples: Sequence[Sample]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Counts: samples, images, misaligned captions, those whose label was located, and what was not, and why.

        Where people rated whole captions, and none is labelled, there are ratings instead.

        >>> sample = Sample("1", "cup.jpg", "cup", "a cup of coke", True, ((9, 13),), "coke")
        >>> Reading([sample]).describe()["located"]
        1
        """
        misaligned = [sample for sample in self.samples if sample.misaligned]
        labelled_tokens = any(sample.tokens for sample in self.samples)
        ratings = sum(len(sample.ratings) for sample in self.samples)
        located = sum(bool(sample.spans) for sample in misaligned)
        unlocated: dict[str, int] = {}
        for sample in misaligned:
            if not sample.spans:
                reason = "the label does not stand in the caption" if sample.label.strip() else "the label is empty"
                unlocated[reason] = unlocated.get(reason, 0) + 1
        return {
            "samples": len(self.samples),
            "images": len({sample.image for sample in self.samples}),
            **({"ratings": ratings} if ratings else {"misaligned": len(misaligned), "located": located}),
            **({"tokens": sum(len(sample.tokens) for sample in self.samples)} if labelled_tokens else {}),
            "not located": unlocated,
            "left out": dict(self.left_out),
        }


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: how its file is recognised and read, how a sample is judged, what is measured of it.

    rule: the decision rule in a line. structure: its file in a line, for errors. positive: the class whose average
    precision is taken, None where there is none. sorted_by, epsilon: the paper's usual. group_keys: of Sample.groups.
    recognises(content): whether parsed JSON, CSV rows, or the path of something else is its file.
    reader(path, content, img_dir, reference_path) -> Reading, in the file's order. Errors: BenchmarkError.
    judge(sample, words, sorted_by, epsilon) -> Judgement; words: the caption's, in order, as the rule takes them.
    has_...: what is measured: location accuracy, precision and recall of tokens, correlation with gt_score, entailment.
    kendall: the variant of Kendall's tau with every one of a sample's ratings; None where it is not measured.

    >>> from clip4dm.benchmarks import get_benchmark
    >>> get_benchmark("foil").sorted_by
    'most_negative'
    """

    name: str
    title: str
    rule: str
    structure: str
    positive: Literal["original", "misaligned"] | None
    sorted_by: SortedBy
    epsilon: float
    recognises: Callable[[Any], bool]
    reader: Callable[[Path, Any, Path | None, Path | None], Reading]
    judge: Callable[[Sample, Sequence[ScoredWord], SortedBy, float], Judgement]
    group_keys: tuple[str, ...] = ()
    has_location: bool = False
    has_tokens: bool = False
    has_correlation: bool = False
    has_nli: bool = False
    kendall: Kendall | None = None


class BenchmarkError(CLIP4DMError, ValueError):
    """An annotation file that cannot be read: says which file, which record, and what was expected."""
