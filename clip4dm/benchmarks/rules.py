"""Decision rules: from a caption's words to what a benchmark counts. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clip4dm.benchmarks.base import Judgement, Sample, ScoredWord
from clip4dm.benchmarks.labels import overlaps_any
from clip4dm.captions.tracked import Span
from clip4dm.scores import SortedBy, lowest, misaligned


def found(words: Sequence[ScoredWord], sorted_by: SortedBy, epsilon: float) -> list[int]:
    """Indices of the words said to be misaligned (`scores.misaligned`).

    >>> from clip4dm.detection import Word
    >>> found([Word("a", 0, 1, 2e-4, False), Word("coke", 2, 6, -2e-4, True)], "threshold", -5e-5)
    [1]
    """
    return misaligned([word.attribution for word in words], sorted_by, epsilon)


def phrases(words: Sequence[ScoredWord], indices: Sequence[int]) -> list[list[int]]:
    """Runs of neighbours in the caption's sequence of words; a '.' or ',' between two words does not part them.

    >>> phrases([], [0, 1, 3])
    [[0, 1], [3]]
    """
    runs: list[list[int]] = []
    for i in indices:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def joined(words: Sequence[ScoredWord], run: Sequence[int]) -> str:
    """The words' texts, a blank between them.

    >>> from clip4dm.detection import Word
    >>> joined([Word("red", 0, 3, -1e-4, True), Word("cup", 4, 7, -2e-4, True)], [0, 1])
    'red cup'
    """
    return " ".join(words[i].text for i in run)


def judge_lowest_word(sample: Sample, words: Sequence[ScoredWord], sorted_by: SortedBy, epsilon: float) -> Judgement:
    """FOIL, nocaps-FOIL: the lowest word; a hit if it is the foil word. In threshold mode, if it is below epsilon.

    >>> from clip4dm.detection import Word
    >>> sample = Sample("1", "cup.jpg", "cup", "a coke", True, ((2, 6),), "coke")
    >>> words = [Word("a", 0, 1, 2e-4, False), Word("coke", 2, 6, -2e-4, True)]
    >>> judgement = judge_lowest_word(sample, words, "most_negative", -5e-5)
    >>> judgement.predicted, judgement.hit, judgement.hit_span
    ('coke', True, True)
    """
    first = lowest([word.attribution for word in words])
    if first is None or first not in found(words, sorted_by, epsilon):
        return _verdict(sample, "", (), False, False)
    word = words[first]
    predicted = word.text.strip().lower()
    hit = predicted == sample.label.strip().lower()
    return _verdict(
        sample, predicted, ((word.start, word.end),), hit, overlaps_any((word.start, word.end), sample.spans)
    )


def judge_lowest_phrase(sample: Sample, words: Sequence[ScoredWord], sorted_by: SortedBy, epsilon: float) -> Judgement:
    """HAT: neighbours below epsilon merge, the phrase of the lowest mean counts; a hit if it is part of the label.

    As published, that mean takes the place of the caption's sum, and F-CLIPScore is made of it.

    >>> from clip4dm.detection import Word
    >>> sample = Sample("1", "cup.jpg", "cup", "a red cup", True, ((2, 9),), "red cup")
    >>> words = [Word("a", 0, 1, 2e-4, False), Word("red", 2, 5, -1e-4, True), Word("cup", 6, 9, -3e-4, True)]
    >>> judgement = judge_lowest_phrase(sample, words, "threshold", -5e-5)
    >>> judgement.predicted, judgement.hit, round(judgement.sum_negative, 6)
    ('red cup', True, -0.0002)
    """
    runs = phrases(words, found(words, sorted_by, epsilon))
    means = [sum(words[i].attribution or 0.0 for i in run) / len(run) for run in runs]
    first = lowest(means)
    if first is None:
        return replace(_verdict(sample, "", (), False, False), sum_negative=0.0)
    run = runs[first]
    spans = tuple((words[i].start, words[i].end) for i in run)
    predicted = joined(words, run).lower()
    verdict = _verdict(
        sample,
        predicted,
        spans,
        predicted in sample.label.lower(),
        any(overlaps_any(span, sample.spans) for span in spans),
    )
    return replace(verdict, sum_negative=means[first])


def judge_tokens(sample: Sample, words: Sequence[ScoredWord], sorted_by: SortedBy, epsilon: float) -> Judgement:
    """Rich-HF: a token is said to be misaligned if a misaligned word overlaps it; counted over exact token spans.

    >>> from clip4dm.detection import Word
    >>> labels = {"tokens": ((0, 1), (2, 6)), "token_labels": (True, True)}
    >>> sample = Sample("1", "cup.jpg", "cup", "a coke", True, ((0, 6),), "a coke", **labels)
    >>> words = [Word("a", 0, 1, 2e-4, False), Word("coke", 2, 6, -2e-4, True)]
    >>> judgement = judge_tokens(sample, words, "threshold", -5e-5)
    >>> judgement.tp, judgement.fp, judgement.fn
    (1, 0, 1)
    """
    indices = found(words, sorted_by, epsilon)
    spans = tuple((words[i].start, words[i].end) for i in indices)
    said = [overlaps_any(token, spans) for token in sample.tokens]
    pairs = list(zip(said, sample.token_labels, strict=True))
    return Judgement(
        joined(words, indices),
        spans,
        tp=sum(s and t for s, t in pairs),
        fp=sum(s and not t for s, t in pairs),
        fn=sum(t and not s for s, t in pairs),
    )


def judge_phrases(sample: Sample, words: Sequence[ScoredWord], sorted_by: SortedBy, epsilon: float) -> Judgement:
    """SeeTRUE-Feedback: the misaligned words, neighbours merged, joined by ", " for the entailment model.

    >>> from clip4dm.detection import Word
    >>> sample = Sample("1", "cup.jpg", "cup", "a red cup", True, (), "the cup is blue")
    >>> words = [Word("a", 0, 1, 2e-4, False), Word("red", 2, 5, -1e-4, True), Word("cup", 6, 9, -3e-4, True)]
    >>> judge_phrases(sample, words, "threshold", -5e-5).predicted
    'red cup'
    """
    indices = found(words, sorted_by, epsilon)
    predicted = ", ".join(joined(words, run) for run in phrases(words, indices))
    return Judgement(predicted, tuple((words[i].start, words[i].end) for i in indices))


def _verdict(sample: Sample, predicted: str, spans: tuple[Span, ...], hit: bool, hit_span: bool) -> Judgement:
    """Hits count for misaligned captions alone; an empty prediction never is one."""
    if not sample.misaligned:
        return Judgement(predicted, spans)
    # A caption whose label stands nowhere in it can be hit by no span.
    return Judgement(predicted, spans, hit=bool(predicted) and hit, hit_span=bool(predicted) and hit_span)
