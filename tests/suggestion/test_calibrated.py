"""A calibration's least gain and probabilities, where something is suggested: for its own words, and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clip4dm import CLIP4DM
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.examples import SEEDS, example
from clip4dm.calibration.curve import Curve
from clip4dm.calibration.shelf import SHIPPED
from clip4dm.calibration.stored import Suggestions, read_calibration, write_calibration
from clip4dm.commands import infer
from clip4dm.suggestion.calibrated import asked_by, vocabulary_sha256
from clip4dm.suggestion.vocabulary import Vocabulary, packaged_vocabulary

DRINKS = Vocabulary("drinks", {"drink": (("tea",), ("coffee", "espresso"))})
CURVE = Curve((-0.2, 0.0), (0.9, 0.1), "logistic")
SCENE = example(SEEDS[0])
FOIL = next(foil for foil in SCENE.foils if foil.original_word == "heart")
FALSE = SCENE.texts[0].replace("heart", FOIL.foil_word)


def gains_for(vocabulary: Vocabulary, min_gain: float = 0.05) -> Suggestions:
    count, sha256 = len(vocabulary.words), vocabulary_sha256(vocabulary)
    return Suggestions(vocabulary.name, count, sha256, 0.2, 0.1, min_gain, 100, 0.9, {}, CURVE)


def asked(gains, vocabulary, **more):
    said: list[str] = []
    found = asked_by(gains, vocabulary, tell=said.append, **more)
    return found.min_gain, found.curve, said


def test_the_calibrations_are_taken_for_its_words_alone():
    gains = gains_for(DRINKS)
    assert asked(gains, DRINKS) == (0.05, CURVE, [])
    assert asked(gains, replace(DRINKS, name="renamed")) == (0.05, CURVE, [])
    assert asked(gains, DRINKS, min_gain=0.01) == (0.01, CURVE, []), "what was asked for is obeyed"
    assert asked(None, DRINKS) == (0.0, None, [])
    others = [
        Vocabulary("drinks", {"drink": (("tea",), ("coffee",), ("espresso",))}),  # of other meanings
        Vocabulary("drinks", {"": (("tea",), ("coffee", "espresso"))}),  # in no group
        Vocabulary("drinks", {"drink": (("tea",), ("coffee", "milk"))}),
    ]
    for other in others:
        least, curve, said = asked(gains, other)
        assert (least, curve, len(said)) == (0.0, None, 1) and "nothing of these words ('drinks')" in said[0]
    least, curve, said = asked(gains, DRINKS, distinct=False)
    assert (least, curve) == (0.0, None) and "inflections" in said[0]
    assert asked(gains, others[0], min_gain=0.3)[:2] == (0.3, None)


@pytest.fixture(scope="module")
def detector():
    return CLIP4DM.from_pretrained("demo", device="cpu")


@pytest.fixture(scope="module")
def shipped(detector):
    (found,) = (
        one
        for one in map(read_calibration, sorted(SHIPPED.glob("*.json")))
        if not one.attributed_by.differences(detector.attributed_by())
    )
    return found


def test_a_detector_suggests_by_its_calibration(detector, shipped):
    picture = draw(SCENE.scene, 256)

    def suggested(gains, **more):
        calibrated = detector.calibrated(replace(shipped, suggestions=gains))
        return {one.word.text: one for one in calibrated.suggest(picture, FALSE, **more)}[FOIL.foil_word]

    free = suggested(None)
    assert free.best.word == "heart" and len(free.replacements) > 1
    assert {one.probability for one in free.replacements} == {None}
    second = free.replacements[1].gain
    between = (free.best.gain + second) / 2
    found = suggested(gains_for(packaged_vocabulary(), between))
    assert [one.word for one in found.replacements] == ["heart"]
    assert found.best.probability == pytest.approx(CURVE.probability(-found.best.gain))
    nothing = suggested(gains_for(packaged_vocabulary(), free.best.gain * 1.1))
    assert nothing.best is None and "no better word found" in nothing.line()
    gains = gains_for(packaged_vocabulary(), 1.9)
    assert suggested(gains, min_gain=0.0).best.probability, "a least gain of one's own, and the probability still"
    assert suggested(gains, vocabulary=["heart", "star"]).best.probability is None
    assert suggested(gains, words=[FOIL.foil_word]).best.probability is None, "it was not the detector that called it"
    judging = CLIP4DM(detector.model, sorted_by="most_negative")
    assert judging.calibrated(replace(shipped, suggestions=gains)).gains is None


def test_infer_takes_it_and_says_where_it_cannot(shipped, tmp_path, capsys):
    words = tmp_path / "words.txt"
    words.write_text("heart\nstar\n")
    draw(SCENE.scene, 256).save(tmp_path / "heart.png")
    write_calibration(tmp_path / "mine.json", replace(shipped, suggestions=gains_for(packaged_vocabulary(), 1.9)))
    common = ["--image", str(tmp_path / "heart.png"), "--text", FALSE, "--backbone", "demo", "--device", "cpu"]
    common += ["--epsilon", str(tmp_path / "mine.json"), "--suggest"]
    infer.main(common)
    assert f"{FOIL.foil_word}: no better word found" in capsys.readouterr().err
    infer.main([*common, "--vocabulary", str(words)])
    said = capsys.readouterr().err
    assert f"{FOIL.foil_word} -> heart" in said
    assert said.count("note: the calibration knows nothing of these words ('words.txt')") == 1


def test_the_shipped_ones_are_for_the_words_that_come_along():
    for path in SHIPPED.glob("*.json"):
        suggestions = read_calibration(path).suggestions
        if suggestions:
            assert suggestions.sha256 == vocabulary_sha256(packaged_vocabulary()), (
                "python misc/make_demo_calibration.py"
            )
            assert suggestions.held_out["restored"]["value"] >= 0.8
