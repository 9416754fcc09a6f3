"""What the page says, without Gradio: captions taken apart, settings changed without the model, examples."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from contract import COSINE, assert_attributions
from html_reading import HOSTILE, elements, parsed, seen
from made_detections import detection_of

from clip4dm import CLIP4DM
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.examples import SEEDS, example, what_to_look_at
from clip4dm.benchmarks.shapes.lexicon import KINDS
from clip4dm.calibration.curve import Curve
from clip4dm.calibration.stored import Suggestions
from clip4dm.commands import web
from clip4dm.commands.arguments import detector_of
from clip4dm.errors import InputError
from clip4dm.report.web.answers import (
    ASK_AGAIN,
    LONGEST,
    MOST_CAPTIONS,
    Checker,
    as_json,
    captions_html,
    captions_of,
    lowest_epsilon,
    problem_html,
    tables_html,
)
from clip4dm.report.web.app import Page
from clip4dm.report.web.examples import offered
from clip4dm.report.web.suggesting import MOST_WORDS, PATIENCE, Suggested, suggested
from clip4dm.suggestion.calibrated import vocabulary_sha256
from clip4dm.suggestion.result import Replacement, Suggestion
from clip4dm.suggestion.suggest import Asked
from clip4dm.suggestion.vocabulary import Vocabulary, packaged_vocabulary


@pytest.fixture(scope="module")
def demo():
    return CLIP4DM.from_pretrained("demo", device="cpu")


@pytest.fixture(scope="module")
def calibrated():
    """As the page begins: by the calibration that comes along."""
    return detector_of(web.parse_args(["--device", "cpu"]), web.BACKBONE)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    draw(example(SEEDS[0]).scene, 256).save(path)
    return path


def test_the_examples_have_a_foil_of_every_kind():
    assert {foil.kind for seed in SEEDS for foil in example(seed).foils} == set(KINDS)


def test_as_the_page_begins_the_exchanged_words_alone_are_misaligned(calibrated, tmp_path):
    checker = Checker(calibrated)
    for one, seed in zip(offered(tmp_path, drawn_first=True), SEEDS, strict=False):
        found = checker.check(one.picture, "\n".join(one.captions), calibrated.epsilon, checker.usual)
        wrong = [[word.text for word in detection.misaligned] for detection in found]
        assert wrong == [[], *([foil.foil_word] for foil in example(seed).foils)]


@pytest.mark.parametrize("start, kept", [(0, True), (-1, False)])
def test_probabilities_are_of_the_layers_that_were_calibrated(picture, start, kept):
    detector = CLIP4DM.from_pretrained("demo", device="cpu", start_layer_text=start)
    detector.curve = Curve((-0.01, 0.01), (0.9, 0.1))
    checker = Checker(detector)
    for layers in (1, 2):
        (found,) = checker.check(picture, "a red heart", -1e-3, layers)
        assert (found.words[0].probability is not None) == (kept and layers == 2)


def test_a_slider_there_and_back_loses_nothing(demo, picture):
    checker = Checker(demo)
    found = checker.check(picture, "a red heart", -1e-3, 2)
    page = SimpleNamespace(checker=checker)
    for epsilon, layers in ((-1e-3, 1), (float("nan"), 2), (-1e-3, 2)):
        kept, *_ = Page._again(page, str(picture), found, epsilon, layers)
        assert kept is found


@pytest.mark.parametrize("seed", SEEDS)
def test_the_demo_model_finds_the_exchanged_word_of_every_example(calibrated, seed):
    """As the page shows it, which takes the calibration: what lies above its epsilon is not called."""
    one = example(seed)
    true, *foils = calibrated.detect([draw(one.scene, 256)], one.texts)
    assert calibrated.curve is not None and true.sorted_by == "threshold" and not true.misaligned
    for found, foil in zip(foils, one.foils, strict=True):
        before, after = true.caption.split(), found.caption.split()
        assert [i for i, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1] == [foil.index]
        assert min(found.words, key=lambda word: word.attribution).text == foil.foil_word in what_to_look_at(foil)
        assert [word.text for word in found.misaligned] == [foil.foil_word]


def test_the_offered_pictures_are_files_and_the_coffee_comes_first_for_photographs(tmp_path):
    drawn, photographs = (offered(tmp_path, drawn_first) for drawn_first in (True, False))
    assert all(one.picture.is_file() for one in drawn) and sorted(drawn, key=str) == sorted(photographs, key=str)
    assert photographs[0].captions == ("a cup of coke", "a cup of coffee") and drawn[0].name == drawn[0].captions[0]


def test_settings_change_without_the_model(demo, picture, monkeypatch):
    text = "\n".join(example(SEEDS[0]).texts)
    checker = Checker(CLIP4DM(demo.model, start_layer_text=-1))
    assert (checker.layers, checker.usual) == (2, 1)
    found = checker.check(picture, text, epsilon=-5e-5, layers=2)
    plain = CLIP4DM(demo.model, start_layer_text=-2)
    assert found == plain.detect([picture], text.splitlines())
    monkeypatch.setattr(CLIP4DM, "detect", None)
    last = checker.again(found, epsilon=-0.5, layers=1)
    assert last == [one.with_settings(epsilon=-0.5, start_layer_text=-1) for one in found] and last != found


def test_a_method_of_one_row_has_no_layers_to_choose(demo, picture):
    checker = Checker(CLIP4DM(demo.model, method="occlusion"))
    (found,) = checker.check(picture, "a purple heart", epsilon=-1e-3, layers=2)
    assert checker.layers == checker.usual == 1 and found.epsilon == -1e-3 and found.method == "occlusion"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write a caption first"),
        (" \n\t\n", "write a caption first"),
        ("a\n" * (MOST_CAPTIONS + 1), f"{MOST_CAPTIONS + 1} captions; up to {MOST_CAPTIONS}"),
        ("a" * (LONGEST + 1), "a caption of 1,001 characters; up to 1,000"),
    ],
)
def test_captions_that_are_refused(text, said):
    with pytest.raises(InputError, match=said):
        captions_of(text)
    assert len(captions_of("a\n\n" * MOST_CAPTIONS)) == MOST_CAPTIONS and captions_of("a" * LONGEST) == ["a" * LONGEST]


def test_no_picture_is_said(demo):
    with pytest.raises(InputError, match="choose a picture first"):
        Checker(demo).check(None, "a cup", epsilon=-5e-5, layers=1)


def test_below_the_sliders_left_end_no_word_is_misaligned(tokenizer):
    for values in ([2e-4, -3.14159e-4], [1e-4, 2e-4], [-0.031, 0.9e-9], [0.0]):
        found = [detection_of(tokenizer, "red cup", values), detection_of(tokenizer, "dog", [values[0] / 2])]
        low = lowest_epsilon(found, -5e-5)
        assert low <= -1e-4 and not [word for one in found for word in one.with_settings(epsilon=low).misaligned]
        assert f"{low:.2g}" == f"{low:g}"


def test_what_is_suggested_is_judged_by_the_pages_settings(demo, picture):
    true, *foils = example(SEEDS[0]).texts
    checker = Checker(CLIP4DM(demo.model, start_layer_text=-1))
    for epsilon, layers in ((-5e-5, 1), (-4e-3, 2)):
        answer = checker.answer(picture, "\n".join([true, foils[0]]), epsilon, layers, suggesting=True)
        plain = CLIP4DM(demo.model, start_layer_text=-layers, epsilon=epsilon)
        expected = plain.detect([picture], [true, foils[0]])
        for ours, theirs in zip(answer.detections, expected, strict=True):
            assert_judged_alike(ours, theirs)
        assert answer.suggested.left == 0
        for own, caption in zip(answer.suggested.of, (true, foils[0]), strict=True):
            assert [one.as_dict() for one in own] == approximately(plain.suggest(picture, caption))
    assert checker.check(picture, true, -5e-5, 1) and checker.answer(picture, true, -5e-5, 1).suggested is None


def test_a_calibration_counts_until_its_settings_are_changed(demo, picture):
    """Its least gain where --suggest was not given too; its probabilities for the words alone that it calls."""
    words = packaged_vocabulary()
    curve = Curve((-0.2, 0.0), (0.9, 0.1), "logistic")
    made = Suggestions("packaged", len(words.words), vocabulary_sha256(words), 0.2, 0.1, 0.05, 9, 0.9, {}, curve)
    detector = CLIP4DM(demo.model, sorted_by="threshold", epsilon=-3e-3)
    detector.gains = made
    checker = Checker(detector)
    scene = example(SEEDS[0])
    foil = scene.texts[0].replace(scene.foils[0].original_word, scene.foils[0].foil_word)
    below = min(word.attribution for word in checker.check(picture, foil, -3e-3, 1)[0].words) / 2
    assert below < 0
    for epsilon, layers, calibrated in ((-3e-3, checker.usual, True), (-4e-3, checker.usual, False), (below, 1, False)):
        found = checker.answer(picture, foil, epsilon, layers, suggesting=True).suggested
        shown = [new for own in found.of for one in own for new in one.replacements]
        assert shown and all(new.gain >= 0.05 for new in shown)
        assert all((new.probability is not None) == calibrated for new in shown)


def assert_judged_alike(ours, theirs):
    """Up to rounding: the page explains all layers and takes the last, the other computes the last alone."""
    for name in ("caption", "sorted_by", "epsilon", "start_layer_text"):
        assert getattr(ours, name) == getattr(theirs, name), name
    verdicts = [[(word.text, word.start, word.misaligned) for word in one.words] for one in (ours, theirs)]
    assert verdicts[0] == verdicts[1]
    values = [[word.attribution for word in one.words] for one in (ours, theirs)]
    assert_attributions(*values, np.abs(theirs.layer_attributions).max())
    assert abs(ours.cosine - theirs.cosine) <= COSINE


def approximately(suggestions):
    """Cosines of other batches."""
    rows = [one.as_dict() for one in suggestions]
    for row in rows:
        row["cosine"] = pytest.approx(row["cosine"], abs=1e-5)
        for new in filter(None, [*row["replacements"], row["leave_out"]]):
            new |= {name: pytest.approx(new[name], abs=1e-5) for name in ("cosine", "gain")}
    return rows


@pytest.mark.parametrize(("seconds", "done"), [(0.0, MOST_WORDS), (PATIENCE / 4, 4), (PATIENCE * 2, 0)])
def test_the_lowest_words_come_first_and_none_is_begun_when_the_time_is_over(demo, picture, seconds, done):
    """seconds: that a look at the clock takes."""
    features = demo.encode_images(picture)
    captions = ["a red dog eats snow", "four green cups in a house", "two yellow moons", "the sofa is near a train"]
    detections = [one.with_settings(epsilon=1.0) for one in demo.detect(features, captions)]
    clock = iter(range(99))
    few = Asked(Vocabulary("few", {"": (("moon",), ("tree",))}))
    found = suggested(demo, features, detections, few, lambda: next(clock) * seconds)
    words = sorted((word.attribution, word.text) for one in detections for word in one.misaligned)
    assert len(words) == 20 and found.left == len(words) - done
    looked_for = sorted((one.word.attribution, one.word.text) for own in found.of for one in own)
    assert looked_for == words[:done]
    assert (f"No suggestion for {found.left} more" in captions_html(detections, found)) == (found.left > 0)
    for own in found.of:
        assert [one.word.start for one in own] == sorted(one.word.start for one in own)


def test_a_slider_says_that_suggestions_are_of_before(demo, picture):
    checker = Checker(demo)
    found = checker.check(picture, "a red heart", -1e-3, 2)
    page = SimpleNamespace(checker=checker)
    _, ticked, _, rows = Page._again(page, str(picture), found, -1e-3, 2, True)
    _, plain, _, _ = Page._again(page, str(picture), found, -1e-3, 2, False)
    assert ASK_AGAIN in ticked and ASK_AGAIN not in plain and "suggestions" not in json.loads(rows)


def test_what_is_shown_is_escaped(tokenizer):
    found = [detection_of(tokenizer, text, [-1e-4]) for text in (HOSTILE, "a cup")]
    new = Replacement(HOSTILE, f"a {HOSTILE}", 2, 2 + len(HOSTILE), cosine=0.3, gain=0.1, misaligned=found[0].words)
    word = found[0].words[0]
    out = replace(new, word="", caption=HOSTILE, start=0, end=0)
    of = Suggested(((Suggestion(word, 0.2, (new,), out, 1), Suggestion(word, 0.2, (), None, 0, HOSTILE)), ()))
    tree = parsed(captions_html(found, of) + tables_html(found, of))
    assert not list(tree.iter("img")) and not list(tree.iter("script"))
    line, nothing = elements(tree, "suggestions")[0].iter("li")
    assert seen(line) == f"{word.text} → {HOSTILE}\xa0+0.100*; left out\xa0+0.100"
    assert seen(nothing) == f"{word.text}: {HOSTILE}" and elements(tree, "instead")[0].get("title") == f"a {HOSTILE}"
    assert [seen(row.find("th")) for row in elements(tree, "new")[0].iter("tr")][2] == f"a {HOSTILE}"
    tree = parsed(captions_html(found) + tables_html(found) + problem_html(HOSTILE))
    assert [seen(one) for one in elements(tree, "caption")] == [HOSTILE, "a cup"]
    assert [seen(one) for one in tree.iter("h3")] == [HOSTILE, "a cup"] and not list(tree.iter("img"))
    assert seen(elements(tree, "problem")[0]) == HOSTILE and len(elements(tree, "legend")) == 1
    rows = [json.loads(line) for line in as_json("x.png", found).splitlines()]
    assert [row["caption"] for row in rows] == [HOSTILE, "a cup"] and captions_html([]) == ""
