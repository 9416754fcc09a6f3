"""Decision rules against cases worked out by hand from the paper's protocol."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from clip4dm.benchmarks import BENCHMARKS, Sample
from clip4dm.benchmarks.rules import phrases

EPSILON = -5e-5


@dataclass(frozen=True)
class W:
    text: str
    start: int
    end: int
    attribution: float | None


def words(caption: str, *values: float | None) -> list[W]:
    """The caption's words, '.' and ',' aside, with their attributions in units of 1e-4."""
    found, position = [], 0
    for text in caption.replace(".", " ").replace(",", " ").split():
        position = caption.index(text, position)
        found.append((text, position, position + len(text)))
        position += len(text)
    assert len(found) == len(values)
    return [W(*unit, None if v is None else v * 1e-4) for unit, v in zip(found, values, strict=True)]


def sample(caption: str, *labelled: str, label: str | None = None, tokens=(), token_labels=()) -> Sample:
    starts = [caption.lower().index(text.lower()) for text in labelled]
    spans = tuple((start, start + len(text)) for start, text in zip(starts, labelled, strict=True))
    return Sample(
        id="1",
        image="a.jpg",
        image_id="a",
        caption=caption,
        misaligned=bool(labelled),
        spans=spans,
        label=" ".join(labelled) if label is None else label,
        tokens=tokens,
        token_labels=token_labels,
    )


def judge(name, case, found, mode):
    return BENCHMARKS[name].judge(case, found, mode, EPSILON)


@pytest.mark.parametrize(
    ("caption", "label", "values", "mode", "expected"),
    [
        # predicted word, hit as published, hit by span
        (
            "a man on a Snowboard",
            "snowboard",
            (1, 0, 0, 0, -2),
            "most_negative",
            ("snowboard", True, True),
        ),  # lower case, as published
        ("a man on a snowboard", "snowboard", (1, -3, 0, 0, -2), "most_negative", ("man", False, False)),
        ("a man on a snowboard", "snowboard", (1, 2, 3, 4, 0.5), "most_negative", ("snowboard", True, True)),
        ("a man on a snowboard", "snowboard", (1, 2, 3, 4, 0.5), "threshold", ("", False, False)),
        ("a man on a snowboard", "snowboard", (1, 2, 3, -1, -2), "threshold", ("snowboard", True, True)),
        ("a man on a hot dog", "hot dog", (1, 2, 3, 4, -5, 0), "most_negative", ("hot", False, True)),  # several words
        ("a man on a snowboarder", "snowboard", (1, 2, 3, 4, -5), "most_negative", ("snowboarder", False, True)),
        ("a man", "man", (None, None), "most_negative", ("", False, False)),  # nothing was scored
    ],
)
def test_foil_and_nocaps(caption, label, values, mode, expected):
    for name in ("foil", "nocaps"):
        verdict = judge(name, sample(caption, label), words(caption, *values), mode)
        assert (verdict.predicted, verdict.hit, verdict.hit_span) == expected


def test_two_replaced_words_are_hit_by_either():
    caption = "a deer and a small deer"
    case = Sample(
        id="1", image="a", image_id="a", caption=caption, misaligned=True, spans=((2, 6), (19, 23)), label="deer"
    )
    for values in ((0, -9, 0, 0, 0, 0), (0, 0, 0, 0, 0, -9)):
        assert judge("nocaps", case, words(caption, *values), "most_negative").hit_span
    assert not judge("nocaps", case, words(caption, 0, 0, 0, 0, -9, 0), "most_negative").hit_span


def test_originals_count_for_no_location():
    verdict = judge("foil", sample("a man", label="ORIG"), words("a man", -1, -2), "most_negative")
    assert (verdict.predicted, verdict.hit, verdict.hit_span) == ("man", None, None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # neighbours merge by their mean: (-2 - 4) / 2 = -3 loses against -3.5 alone
        ((0, -3.5, 0, -2, -4, 0), ("street", False, False)),
        ((0, -2.5, 0, -2, -4, 0), ("with detours", True, True)),
        ((-9, 0, 0, 0, 0, 0), ("a", False, False)),
        ((0, 0, 0, 0, -1, -3), ("detours everywhere", True, True)),
        ((0, 0, 0, 0, 0, 0), ("", False, False)),  # an empty prediction is a substring of everything, and no hit
        ((0, 0, 0, 0, -1, 0), ("detours", True, True)),
    ],
)
def test_hat(values, expected):
    caption = "a street sign with detours everywhere."
    case = sample(caption, "with", "detours", "everywhere.")
    verdict = judge("hat", case, words(caption, *values), "threshold")
    assert (verdict.predicted, verdict.hit, verdict.hit_span) == expected


def test_hats_published_rule_is_a_substring_and_the_sound_one_is_not():
    caption = "a cat on the grass"
    verdict = judge("hat", sample(caption, "grass"), words(caption, -9, 0, 0, 0, 0), "threshold")
    assert (verdict.predicted, verdict.hit, verdict.hit_span) == ("a", True, False)


def test_hat_most_negative_takes_one_word():
    caption = "a cat on the grass"
    verdict = judge("hat", sample(caption, "the", "grass"), words(caption, 0, 0, 0, -1, -2), "most_negative")
    assert (verdict.predicted, verdict.hit, verdict.hit_span) == ("grass", True, True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # tokens: three cats "on" a red-hot roof; misaligned: cats, red-hot
        ((0, -1, 0, 0, 0, 0), (1, 0, 1)),
        ((-1, -1, 0, 0, -1, 0), (2, 1, 0)),
        ((0, 0, 0, 0, 0, 0), (0, 0, 2)),
        ((0, 0, 0, None, -1, -1), (1, 1, 1)),
    ],
)
def test_richhf_counts_exact_tokens(values, expected):
    from clip4dm.benchmarks.richhf import token_spans

    caption = 'three cats: "on" a red-hot roof'
    spans = token_spans(caption)
    assert [caption[a:b] for a, b in spans] == ["three", "cats", "on", "a", "red-hot", "roof"]
    case = sample(caption, "cats", "red-hot", tokens=spans, token_labels=(False, True, False, False, True, False))
    verdict = judge("richhf", case, words(caption, *values), "threshold")
    assert (verdict.tp, verdict.fp, verdict.fn) == expected
    assert verdict.hit is None and verdict.hit_span is None


def test_richhf_all_aligned_and_all_misaligned():
    for labels, expected in (((False, False), (0, 1, 0)), ((True, True), (1, 0, 1))):
        case = sample("red dog", tokens=((0, 3), (4, 7)), token_labels=labels)
        verdict = judge("richhf", case, words("red dog", -1, 0), "threshold")
        assert (verdict.tp, verdict.fp, verdict.fn) == expected


def test_seetrue_joins_phrases_for_the_entailment_model():
    caption = "A woman with a blue shirt, and yellow flowers."
    found = words(caption, 0, -1, 0, 0, -1, -2, -1, 0, -3)
    verdict = judge("seetrue", sample(caption, "blue shirt"), found, "threshold")
    assert verdict.predicted == "woman, blue shirt and, flowers"
    assert judge("seetrue", sample(caption, "blue shirt"), found, "most_negative").predicted == "flowers"
    assert judge("seetrue", sample("a", "a"), words("a", 1), "threshold").predicted == ""


def test_neighbours():
    assert phrases([None] * 9, [0, 1, 3, 5, 6, 7]) == [[0, 1], [3], [5, 6, 7]]
