"""What a benchmark is: its samples, its labels as character spans, its decision rule, its usual settings.

A label (a FOIL word, a HAT span, a Rich-HF token) is a character span of the caption, and so is a word of a
Detection. Every decision rule therefore compares spans, and nothing here parses `"3_coke"`-like strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from clip4dm.errors import CLIP4DMError

Span = tuple[int, int]  # [start, end) in characters of the caption as given
SortedBy = Literal["threshold", "most_negative"]


@dataclass(frozen=True)
class Sample:
    """One image-caption pair and what is known about it.

    id: unique in its file and stable over runs. image: path relative to the image folder.
    spans: the caption's misaligned character spans, () for a caption that is true of its image.
    misaligned: whether the caption as a whole is misaligned.
    label: the published `GT_foil_word` (foil word, "ORIG", joined words, caption_misalignment).
    tokens, token_labels: where the benchmark labels every token, their spans and True = misaligned.
    gt_score: a human score of the pair, where there is one. groups: e.g. {"domain": "in-domain"}.
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


@dataclass(frozen=True)
class Judgement:
    """What the decision rule says of one sample.

    predicted: the words found, as the benchmark spells them. hit: the paper's rule for location accuracy,
    None where it does not count (an original, an unlabelled caption). hit_span: the sound rule on spans.
    tp, fp, fn: token counts for precision and recall, None where the benchmark has no token labels. sum_negative: the
    published sum_negative_attribution, where the rule has one of its own.
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
class Benchmark:
    """A benchmark: how its file is recognised and read, how a sample is judged, what is measured of it.

    rule: the decision rule in a line. structure: its file in a line, for errors. positive: the class whose average
    precision is taken, None where there is none. sorted_by, epsilon: the paper's usual. group_keys: of Sample.groups.
    recognises(content): whether parsed JSON, CSV rows, or the path of something else is its file.
    reader(path, content, img_dir, reference_path) -> samples, and the reasons for which rows were left out, counted.
    judge(sample, words, sorted_by, epsilon) -> Judgement; words have text, start, end, attribution.
    """

    name: str
    title: str
    rule: str
    structure: str
    positive: Literal["original", "misaligned"] | None
    sorted_by: SortedBy
    epsilon: float
    recognises: Callable[[Any], bool]
    reader: Callable[..., tuple[list[Sample], dict[str, int]]]
    judge: Callable[..., Judgement]
    group_keys: tuple[str, ...] = ()
    has_location: bool = False
    has_tokens: bool = False
    has_correlation: bool = False
    has_nli: bool = False


@dataclass(frozen=True)
class Reading:
    """The samples of a file and what there is to say of them. left_out: rows that are no samples, by reason."""

    samples: Sequence[Sample]
    left_out: Mapping[str, int]

    def describe(self) -> dict[str, Any]:
        """Counts: samples, images, misaligned captions, those whose label was located, and what was not, and why."""
        misaligned = [sample for sample in self.samples if sample.misaligned]
        labelled_tokens = any(sample.tokens for sample in self.samples)
        unlocated: dict[str, int] = {}
        for sample in misaligned:
            if not sample.spans:
                reason = "the label does not stand in the caption" if sample.label.strip() else "the label is empty"
                unlocated[reason] = unlocated.get(reason, 0) + 1
        return {
            "samples": len(self.samples),
            "images": len({sample.image for sample in self.samples}),
            "misaligned": len(misaligned),
            "located": sum(bool(sample.spans) for sample in misaligned),
            **({"tokens": sum(len(sample.tokens) for sample in self.samples)} if labelled_tokens else {}),
            "not located": unlocated,
            "left out": dict(self.left_out),
        }


class BenchmarkError(CLIP4DMError, ValueError):
    """An annotation file that cannot be read: says which file, which record, and what was expected."""
