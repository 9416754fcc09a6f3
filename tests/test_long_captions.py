"""CLIP4DM(long="split"): captions beyond the context, read whole; those that fit, as ever."""

from __future__ import annotations

import json
import warnings

import numpy as np
import open_clip
import pytest
import torch
from contract import ATTRIBUTION, COSINE, INNER_PRODUCT, attribution_tolerance
from making import WORDS
from text_towers import make_tiny_siglip

from clip4dm import CLIP4DM
from clip4dm.attribution.methods import METHODS
from clip4dm.commands import infer
from clip4dm.errors import InputError
from clip4dm.scores import CLIP4DM_METHOD

PICTURES = [np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8) for i in range(2)]
SENTENCES = ["A woman's red-haired horse stands here, alone. ", "two zebras!  ", "the cat (a sleeping one)\n"] * 12
LONG = "".join(SENTENCES)
NO_STOP = " ".join(WORDS[6].split() * 20)  # 160 words
methods = pytest.mark.parametrize("name", METHODS)


def same(name: str, ours, theirs) -> None:
    """Attributions of two ways to the same numbers."""
    if name in ("occlusion", "replacement"):  # the difference of two cosines
        allowed = 2 * COSINE
    else:
        largest = np.abs(theirs).max(initial=0)
        allowed = attribution_tolerance(largest, ATTRIBUTION if name in ("clip4dm", "gae") else INNER_PRODUCT)
    assert np.abs(ours - theirs).max(initial=0) <= allowed


@methods
def test_sentences_are_attributed_as_captions_of_their_own(detector, name):
    (whole,) = CLIP4DM(detector.model, method=name, long="split", batch_size=7).detect(PICTURES[:1], LONG)
    alone = CLIP4DM(detector.model, method=name).detect(PICTURES[:1], SENTENCES)
    assert not whole.truncated and not any(one.truncated for one in alone)
    same(name, whole.layer_attributions, np.concatenate([one.layer_attributions for one in alone], axis=1))
    assert [word.text for word in whole.words] == [word.text for one in alone for word in one.words]
    assert all(word.scored and LONG[word.start : word.end] == word.text for word in whole.words)
    # Start, end and the template's three tokens do not count.
    tokens = [len(one.encoded.ids) - 5 for one in alone]
    assert abs(whole.cosine - np.average([one.cosine for one in alone], weights=tokens)) <= COSINE
    total = sum(word.attribution for word in whole.words if word.attribution < whole.epsilon)
    assert abs(whole.f_clip_score - (1 - whole.cosine) * total) <= 1e-9
    again = whole.with_settings(epsilon=0.0)
    assert again.misaligned == tuple(word for word in again.words if word.attribution < 0)


@methods
def test_a_sentence_without_end_is_read_in_windows(detector, name):
    """Each window reads as that run of words by itself; every word comes from one that holds it away from its cuts."""
    found = CLIP4DM(detector.model, method=name, long="split").detect(PICTURES[:1], NO_STOP)[0]
    words, windows = NO_STOP.split(), found.encoded.windows
    assert len(windows) == 3 and all(word.scored for word in found.words)
    texts = [" ".join(words[w.first : w.first + len(w.encoded.units)]) for w in windows]
    alone = CLIP4DM(detector.model, method=name).detect(PICTURES[:1], texts)
    for window, one in zip(windows, alone, strict=True):
        counts = np.array(window.counted, dtype=bool)
        of_caption = found.layer_attributions[:, window.first : window.first + len(counts)]
        same(name, of_caption[:, counts], one.layer_attributions[:, counts])
        places = np.flatnonzero(counts)
        assert (places[0] >= 8 or window is windows[0]) and (places[-1] < len(counts) - 8 or window is windows[-1])


@methods
def test_captions_that_fit_have_the_same_bits(detector, name):
    captions = [*WORDS, "", "!?", "a dog. a cat! " * 4, WORDS[0]]
    cut, split = (CLIP4DM(detector.model, method=name, long=long) for long in ("cut", "split"))
    for ours, theirs in zip(split.detect(PICTURES[:1], captions), cut.detect(PICTURES[:1], captions), strict=True):
        assert ours == theirs and not ours.truncated
        assert ours.layer_attributions.tobytes() == theirs.layer_attributions.tobytes()


def test_long_and_short_captions_and_pictures_in_any_mixture(detector):
    split = CLIP4DM(detector.model, long="split", batch_size=5)
    captions = [LONG, WORDS[0], NO_STOP, "", LONG]
    found = split.detect(PICTURES[:1], captions)
    assert [one.caption for one in found] == captions
    for ours, caption in zip(found, captions, strict=True):
        (theirs,) = CLIP4DM(detector.model, long="split").detect(PICTURES[:1], caption)
        same(CLIP4DM_METHOD, ours.layer_attributions, theirs.layer_attributions)
        assert abs(ours.cosine - theirs.cosine) <= COSINE
    one, two = split.detect(PICTURES, LONG)
    same(CLIP4DM_METHOD, one.layer_attributions, found[0].layer_attributions)
    assert np.abs(two.layer_attributions - one.layer_attributions).max() > 1e-6


def test_masked_copies_of_the_picture(detector):
    masked = CLIP4DM(detector.model, image_masks=3, long="split")
    (whole,), alone = masked.detect(PICTURES[:1], LONG), masked.detect(PICTURES[:1], SENTENCES)
    same(CLIP4DM_METHOD, whole.layer_attributions, np.concatenate([one.layer_attributions for one in alone], axis=1))


@pytest.mark.parametrize("name", ["gradient_value", "clip4dm", "ensemble"])
def test_towers_that_see_padding(tmp_path, name):
    detector = CLIP4DM.from_pretrained(
        pretrained=str(make_tiny_siglip(tmp_path)), device="cpu", method=name, long="split"
    )
    sentences = ["two zebras on a plate. ", "one hot dog. "] * 6
    (whole,) = detector.detect(PICTURES[:1], "".join(sentences))
    alone = detector.detect(PICTURES[:1], sentences)
    assert len(whole.encoded.windows) == 12 and not any(one.encoded.windows for one in alone)
    same(name, whole.layer_attributions, np.concatenate([one.layer_attributions for one in alone], axis=1))
    assert all(word.scored for word in whole.words)


def test_two_thousand_words_go_through_in_batches(detector, monkeypatch):
    """No word is unscored; a pass holds no more than batch_size windows, and none is longer than the context."""
    random = np.random.default_rng(0)
    vocabulary = [word.strip(".,") for text in WORDS for word in text.split()]

    def caption(stops: list[str]) -> str:
        return "".join(str(random.choice(vocabulary)) + str(random.choice(stops)) for _ in range(2000))

    captions = [caption([" ", " ", ", "]), caption([" "] * 9 + [". "]), caption(["\n"]), caption([" "])]
    split = CLIP4DM(detector.model, long="split", batch_size=16)
    run, sizes = split._attribute_batch, []

    def noted(features, encoded):
        sizes.append((len(encoded), max(len(one.ids) for one in encoded)))
        return run(features, encoded)

    monkeypatch.setattr(split, "_attribute_batch", noted)
    found = split.detect(PICTURES[:1], captions)
    assert [len(one.words) for one in found] == [2000] * 4
    assert all(word.scored and word.text == one.caption[word.start : word.end] for one in found for word in one.words)
    assert sum(size for size, _ in sizes) == sum(len(one.encoded.windows) for one in found)
    assert max(size for size, _ in sizes) == 16 and max(length for _, length in sizes) <= 77


def test_a_word_longer_than_the_context(detector):
    (found,) = CLIP4DM(detector.model, long="split").detect(PICTURES[:1], "a " + "qj" * 200 + " cup")
    assert [word.scored for word in found.words] == [True] * 3 and len(found.encoded.windows) > 2
    values = [window for window in found.encoded.windows if window.first <= 1 < window.first + len(window.counted)]
    assert len(values) > 2


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """A random CLIP whose text tower has 248 positions, as Long-CLIP's."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("longer")
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 248, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    torch.manual_seed(3)
    model = open_clip.CLIP(**config).eval()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    return folder


@pytest.mark.parametrize("long", ["cut", "split"])
def test_a_tower_with_a_longer_context_is_used_whole(longer, long):
    detector = CLIP4DM.from_pretrained(pretrained=str(longer), device="cpu", long=long)
    (found,) = detector.detect(PICTURES[:1], NO_STOP)
    assert len(found.encoded.ids) == 165 and not found.encoded.windows and not found.truncated
    assert all(word.scored for word in found.words)
    with torch.no_grad():
        text = open_clip.get_tokenizer(f"local-dir:{longer}")([detector.template + NO_STOP])
        feature = detector.model.model.encode_text(text, normalize=True)
    image = detector.encode_images(PICTURES[:1])
    assert abs(float(feature @ image.T) - found.cosine) <= COSINE
    (more,) = detector.detect(PICTURES[:1], " ".join([NO_STOP] * 2))
    assert more.truncated == (long == "cut") and all(word.scored for word in more.words) == (long == "split")


def test_what_long_may_be(detector):
    with pytest.raises(InputError, match="unknown long 'fold'; allowed: cut, split"):
        CLIP4DM(detector.model, long="fold")


def test_infer_reads_all_and_says_no_word_was_left_out(tiny_folder, tmp_path, capsys):
    from PIL import Image

    picture = tmp_path / "picture.png"
    Image.fromarray(PICTURES[0]).save(picture)
    ask = ["--image", str(picture), "--pretrained", str(tiny_folder), "--device", "cpu", "--text", LONG]
    infer.main(ask)
    assert "words lie beyond CLIP's context and were not scored" in capsys.readouterr().err
    infer.main([*ask, "--long", "split", "--json"])
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert "not scored" not in shown.err and not found["truncated"]
    assert all(LONG[word["start"] : word["end"]] == word["text"] for word in found["words"])
    assert all(word["attribution"] is not None for word in found["words"])
    with pytest.raises(SystemExit) as left:
        infer.main([*ask, "--long", "fold"])
    assert left.value.code == 2 and "--long: invalid choice: 'fold'" in capsys.readouterr().err


def test_the_metric_warns_of_no_word_where_all_are_read(detector):
    from clip4dm.scoring.metric import FCLIPScore, UnscoredWords

    pictures = torch.from_numpy(PICTURES[0]).permute(2, 0, 1)[None]
    with pytest.warns(UnscoredWords, match="lie beyond the model's context"):
        FCLIPScore(detector).update(pictures, LONG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric = FCLIPScore(CLIP4DM(detector.model, long="split"), per_sample=True)
        metric.update(pictures, LONG)
    (expected,) = CLIP4DM(detector.model, long="split").detect(PICTURES[:1], LONG)
    assert abs(float(metric.compute()["f_clip_score"]) - expected.f_clip_score) <= 1e-6
