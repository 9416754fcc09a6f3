"""samples.jsonl: one line a sample, holding all that any metric needs, so that the model runs once.

A record keeps the cosine and, for every unit of the caption and every text layer, the attribution (float32,
base64). `score_record` is the pure function from a record and the settings (epsilon, sorted_by, start_layer_text)
to words, verdicts and scores: it makes the record's Detection again and judges it by `score_detection`, as a run does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clip4dm import published, scores
from clip4dm.benchmarks.base import Benchmark, Judgement, Sample
from clip4dm.captions.tracked import Span
from clip4dm.captions.words import EncodedCaption, Unit
from clip4dm.detection import Detection, Word, make_detection
from clip4dm.scores import CLIP4DM_METHOD, F_CLIP_SCORE, ScoreName, SortedBy

# What a unit is, in a record's "units": DROPPED is punctuation that the published code drops in threshold mode.
CANDIDATE, PUNCTUATION, DROPPED = 0, 1, 2


@dataclass(frozen=True)
class Settings:
    """What turns stored attributions into verdicts and a score (`scores.pair_score`).

    layers: of the text tower, to count start_layer_text by.

    >>> Settings("threshold", epsilon=-5e-5, start_layer_text=-3, layers=12).stored()
    {'sorted_by': 'threshold', 'epsilon': -5e-05, 'start_layer_text': -3, 'layers': 12}
    """

    sorted_by: SortedBy
    epsilon: float
    start_layer_text: int
    layers: int
    score: ScoreName = F_CLIP_SCORE
    score_weight: float | None = None

    def chosen(self) -> dict[str, Any]:
        """What can be chosen afterwards, for `Detection.with_settings`: all but layers."""
        return {name: value for name, value in asdict(self).items() if name != "layers"}

    def stored(self) -> dict[str, Any]:
        """As config.json has them; F-CLIPScore unsaid, so that runs from before there were others are the same runs."""
        stored = asdict(self)
        if self.score == F_CLIP_SCORE:
            del stored["score"], stored["score_weight"]
        return stored


@dataclass(frozen=True)
class Scored:
    """A sample under some settings. published: judged on the published code's units; sound: on words alone.

    published_words: the published code's. sum_negative, f_clip_score_published: by the rules of `published`.
    misaligned_sum: F-CLIPScore's sum, without its factor (1 - s). score_name, score: the one of the settings.

        scored = score_record(record, sample_of(record), benchmark, settings)
        scored.published.hit, scored.sound.hit_span
    """

    words: tuple[Word, ...]
    published_words: tuple[Word, ...]
    published: Judgement
    sound: Judgement
    clip_score: float
    f_clip_score: float
    f_clip_score_published: float
    sum_negative: float
    misaligned_sum: float
    cosine: float
    score_name: ScoreName
    score: float


def stored_fields(detection: Detection) -> dict[str, Any]:
    """The model's part of a record.

    stored_fields(detection)["layer_attributions"]  # base64 of (layers, units) little-endian float32
    """
    units = []
    for unit in detection.encoded.units:
        kind = CANDIDATE if unit.candidate else DROPPED if unit.dropped_by_published else PUNCTUATION
        units.append([unit.start, unit.end, kind, int(unit.scored)])
    values = np.ascontiguousarray(detection.layer_attributions, dtype="<f4")
    return {
        "cosine": detection.cosine,
        "truncated": detection.truncated,
        "units": units,
        "layer_attributions": base64.b64encode(values.tobytes()).decode("ascii"),
    }


def score_record(
    record: Mapping[str, Any], sample: Sample, benchmark: Benchmark, settings: Settings, *, half: bool = False
) -> Scored:
    """A record (with `stored_fields`) judged by its benchmark under the given settings.

    half: numbers rounded as the published code's are (`published.halved`). Errors: NotFinite.

        score_record(record, sample_of(record), get_benchmark("foil"), settings).f_clip_score
    """
    return score_detection(detection_of(record, sample.caption, settings, half=half), sample, benchmark)


def score_detection(detection: Detection, sample: Sample, benchmark: Benchmark) -> Scored:
    """A Detection judged by its benchmark, under the Detection's own settings.

    score_detection(detection.with_settings(epsilon=-1e-4), sample, get_benchmark("foil")).f_clip_score
    """
    published_words = detection.published_words

    def judged(words: tuple[Word, ...]) -> Judgement:
        return benchmark.judge(sample, words, detection.sorted_by, detection.epsilon)

    as_published = judged(published_words)
    total = as_published.sum_negative
    if total is None:
        values = [word.attribution for word in published_words if word.attribution is not None]
        total = published.sum_negative(values, detection.sorted_by, detection.epsilon)
    return Scored(
        words=detection.words,
        published_words=published_words,
        published=as_published,
        sound=judged(detection.words),
        clip_score=detection.clip_score,
        f_clip_score=detection.f_clip_score,
        f_clip_score_published=published.f_clip_score_published(detection.cosine, total),
        sum_negative=total,
        misaligned_sum=scores.misaligned_sum([word.attribution for word in detection.words], detection.epsilon),
        cosine=detection.cosine,
        score_name=detection.score_name,
        score=detection.score,
    )


def detection_of(
    record: Mapping[str, Any], caption: str, settings: Settings, *, method: str = CLIP4DM_METHOD, half: bool = False
) -> Detection:
    """The Detection that a record was made of, under the given settings; its tokens are not kept.

    method: of the record's run, which config.json says and no record does (`FinishedRun.method`).

        detection_of(record, record["caption"], run.settings, method=run.method).misaligned
    """
    units = tuple(
        Unit(
            text=caption[start:end],
            start=start,
            end=end,
            candidate=kind == CANDIDATE,
            scored=bool(scored),
            dropped_by_published=kind == DROPPED,
            beyond_context=False,
        )
        for start, end, kind, scored in record["units"]
    )
    values = np.frombuffer(base64.b64decode(record["layer_attributions"]), dtype="<f4")
    per_layer = values.reshape(-1, len(units)) if units else np.zeros((settings.layers, 0), dtype=np.float32)
    encoded = EncodedCaption(caption, (), (), units, record["truncated"], padded=False)
    start, layers, cosine = settings.start_layer_text, settings.layers, record["cosine"]
    if half:
        means, cosine = published.halved(per_layer, scores.last_layers(start, layers), cosine)
        per_layer, start, layers = means[None], -1, 1  # the mean over layers is what was rounded
    return make_detection(
        encoded,
        per_layer,
        cosine,
        layers=layers,
        sorted_by=settings.sorted_by,
        epsilon=settings.epsilon,
        start_layer_text=start,
        method=method,
        score=settings.score,
        score_weight=settings.score_weight,
    )


def make_record(
    sample: Sample,
    detection: Detection,
    benchmark: Benchmark,
    settings: Settings,
    *,
    ref_clip_score: float | None = None,
) -> dict[str, Any]:
    """A line of samples.jsonl: the published keys first, then what re-scoring needs. nli_score is set later.

    >>> from clip4dm.benchmarks import get_benchmark
    >>> from clip4dm.detection import make_averaged_detection
    >>> sample = Sample("1", "a.jpg", "a", "coke", True, ((0, 4),), "coke")
    >>> settings = Settings("threshold", -5e-5, start_layer_text=-1, layers=1)
    >>> encoded = EncodedCaption("coke", (), (), (Unit("coke", 0, 4, True, True, False, False),), False, padded=False)
    >>> detection = make_averaged_detection(encoded, np.float32([-2e-4]), 0.25, sorted_by="threshold", epsilon=-5e-5)
    >>> record = make_record(sample, detection, get_benchmark("foil"), settings)
    >>> record["predicted_foil_word"], sample_of(record) == sample, detection_of(record, "coke", settings) == detection
    ('coke', True, True)
    """
    scored = score_detection(detection.with_settings(**settings.chosen()), sample, benchmark)
    return {
        "id": sample.id,
        "caption": sample.caption,
        "pair_score": scored.clip_score,
        "GT_foil_word": sample.label,
        "predicted_foil_word": scored.published.predicted,
        "sum_negative_attribution": scored.sum_negative,
        "gt_score": sample.gt_score if sample.gt_score is not None else float(not sample.misaligned),
        "is_correct": scored.published.hit,
        "is_correct_span": scored.sound.hit_span,
        "image_id": sample.image_id,
        "word_attributions": [[word.text, word.attribution] for word in scored.published_words],
        "f_clip_score": scored.f_clip_score,
        **({} if scored.score_name == F_CLIP_SCORE else {scored.score_name: scored.score}),
        "ref_clipscore": ref_clip_score,
        "nli_score": None,
        "groupby": dict(sample.groups),
        "image": sample.image,
        "label": {
            "misaligned": sample.misaligned,
            "spans": sample.spans,
            "tokens": sample.tokens,
            "token_labels": sample.token_labels,
            "gt_score": sample.gt_score,
            **({"ratings": sample.ratings} if sample.ratings else {}),
        },
        **stored_fields(detection),
    }


def sample_of(record: Mapping[str, Any]) -> Sample:
    """The sample that a record was made of, references apart: re-scoring needs no annotation file.

    sample_of(record).spans
    """
    label = record["label"]
    return Sample(
        id=record["id"],
        image=record["image"],
        image_id=record["image_id"],
        caption=record["caption"],
        misaligned=label["misaligned"],
        spans=_spans(label["spans"]),
        label=record["GT_foil_word"],
        tokens=_spans(label["tokens"]),
        token_labels=tuple(label["token_labels"]),
        gt_score=label["gt_score"],
        groups=record["groupby"],
        ratings=tuple(label.get("ratings", ())),
    )


def _spans(pairs: list[list[int]]) -> tuple[Span, ...]:
    return tuple((start, end) for start, end in pairs)


def skipped_record(sample: Sample, reason: str) -> dict[str, Any]:
    """The line of a sample whose picture could not be read.

    >>> skipped_record(Sample("1", "a.jpg", "a", "coke", True, ((0, 4),), "coke"), "no such picture: a.jpg")["skipped"]
    'no such picture: a.jpg'
    """
    return {
        "id": sample.id,
        "caption": sample.caption,
        "image_id": sample.image_id,
        "image": sample.image,
        "skipped": reason,
    }


def to_line(record: Mapping[str, Any]) -> bytes:
    """A record as a line of samples.jsonl. Errors: ValueError for NaN, which no record may hold.

    >>> from_line(to_line({"id": "7", "caption": "café"}))
    {'id': '7', 'caption': 'café'}
    """
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return (text + "\n").encode("utf-8", "surrogatepass")


def from_line(line: bytes) -> dict[str, Any]:
    """What `to_line` wrote. Errors: ValueError for what it did not.

    from_line(b'{"id":"7"}')  # {'id': '7'}
    """
    record: dict[str, Any] = json.loads(line.decode("utf-8", "surrogatepass"))
    return record
