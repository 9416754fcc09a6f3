"""detector.suggest against fresh detections, open_clip's own text features and a search of all captions by hand."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contract import COSINE, LOW_PRECISION
from text_towers import TOWERS, build, make_tiny_siglip

from clip4dm import CLIP4DM
from clip4dm.captions.words import encode_caption
from clip4dm.detection import NotFinite, Word
from clip4dm.errors import InputError
from clip4dm.scores import TEMPLATE
from clip4dm.suggestion import suggest as module
from clip4dm.suggestion.reading import cosines
from clip4dm.suggestion.suggest import Asked, read_candidates, suggest, words_asked
from clip4dm.suggestion.vocabulary import Vocabulary
from clip4dm.towers.text import TextTower

PICTURE = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
CAPTION = "A dog's owner, and a red dog on the old sofa."
WORDS = ["cat", "owl", "hot dog", "unbelievably", "horse", "tea", "bus", "elephant"]
LONG = "A woman's red-haired horse stands here, alone. Two zebras! The cat, asleep. " * 12 + "a dog sits"
NO_STOP = "birds flying over the lake near a boat and " * 18 + "a dog"
# Beginnings in common, of one token and of nearly all; ends in common; equal ones; a caption alone.
BATCHES = [
    [
        f"a big brown dog on an old red {word}"
        for word in ("sofa", "bus", "skateboarder's", "cup and a very small saucer")
    ],
    ["dog", "a dog", "a dog on", "a dog on a mat"],
    ["a dog on a mat"] * 3,
    ["a dog on a mat", "a dog on a mat", "a dog on a bus"],
    ["a dog on a mat"],
    ["", ""],
]


def asked_of(words):
    return Asked(Vocabulary("mine", {"": tuple((word,) for word in words)}))


@pytest.fixture(scope="module", params=TOWERS)
def kind(request, tokenizer):
    model, mine = build(request.param), copy.copy(tokenizer)
    mine.context_length = TOWERS[request.param].get("context_length", 77)
    return model, mine


@pytest.fixture(scope="module")
def feature():
    return F.normalize(torch.randn(24, generator=torch.Generator().manual_seed(5)), dim=-1)


@pytest.mark.parametrize("captions", BATCHES)
@pytest.mark.parametrize("exact", [False, True])
def test_what_captions_share_is_read_once_and_the_features_are_open_clips(kind, captions, exact):
    model, tokenizer = kind
    with torch.no_grad():
        theirs = F.normalize(model.encode_text(tokenizer([TEMPLATE + caption for caption in captions])), dim=-1)
    ours = TextTower(model).encode([encode_caption(tokenizer, caption, TEMPLATE) for caption in captions], exact)
    assert (ours - theirs).abs().max() <= COSINE


def test_cosines_are_those_of_open_clips_features_and_in_the_captions_order(kind, feature):
    model, tokenizer = kind
    captions = [caption for batch in BATCHES for caption in batch]
    with torch.no_grad():
        theirs = F.normalize(model.encode_text(tokenizer([TEMPLATE + caption for caption in captions])), dim=-1)
    ours = cosines(TextTower(model), feature, [encode_caption(tokenizer, c, TEMPLATE) for c in captions])
    assert np.abs(np.array(ours) - (theirs @ feature).numpy()).max() <= COSINE
    assert cosines(TextTower(model), feature, []) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_cosines_of_low_precision_towers_are_in_fp32(kind, feature, dtype):
    model, tokenizer = kind
    low = copy.deepcopy(model).to(dtype)
    captions = [encode_caption(tokenizer, f"a big brown dog on a {word}", TEMPLATE) for word in WORDS]
    ours = np.array(cosines(TextTower(low), feature, captions))
    theirs = np.array(cosines(TextTower(model), feature, captions))
    assert np.abs(ours - theirs).max() <= LOW_PRECISION["bf16" if dtype is torch.bfloat16 else "fp16"][1]


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return CLIP4DM.from_pretrained(pretrained=str(make_tiny_siglip(tmp_path_factory.mktemp("siglip"))), device="cpu")


@pytest.fixture(scope="module")
def detectors(detector, siglip):
    return {
        "plain": detector,
        "siglip": siglip,
        "split": CLIP4DM(detector.model, long="split", batch_size=7),
        "masked": CLIP4DM(detector.model, method="occlusion", image_masks=4),
        "occlusion": CLIP4DM(detector.model, method="occlusion"),
    }


def by_hand(detector, caption, start, end, words):
    """(word, caption, detection) of each word that raises the cosine, the best first: all of them detected afresh."""
    (given,) = detector.detect(PICTURE, caption)
    texts = [caption[:start] + word + caption[end:] for word in words]
    texts = [
        text.replace("a owl", "an owl").replace("a unbel", "an unbel").replace("a eleph", "an eleph") for text in texts
    ]
    found = [(word, text, detector.detect(PICTURE, text)[0]) for word, text in zip(words, texts, strict=True)]
    better = [one for one in found if one[2].cosine > given.cosine]
    return given, sorted(better, key=lambda one: -one[2].cosine)


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("plain", CAPTION),
        ("occlusion", CAPTION),
        ("masked", CAPTION),
        ("siglip", "two zebras and a dog"),
        ("split", CAPTION),
        ("split", LONG),
        ("split", NO_STOP),
    ],
)
@pytest.mark.parametrize("given_as", ["picture", "features"])
def test_the_ranking_is_that_of_all_captions_detected_afresh(detectors, name, caption, given_as):
    detector = detectors[name]
    start = caption.rindex("dog")
    image = PICTURE if given_as == "picture" else detector.encode_images([PICTURE])
    meant = [word for word in detector.detect(PICTURE, caption)[0].words if word.start == start]
    (found,) = detector.suggest(image, caption, meant, top=3, vocabulary=WORDS, distinct=False)
    given, wanted = by_hand(detector, caption, start, start + 3, WORDS)
    assert found.tried == len(WORDS) and found.reason is None and abs(found.cosine - given.cosine) <= COSINE
    assert [one.caption for one in found.replacements] == [text for _, text, _ in wanted[:3]]
    for one, (word, text, fresh) in zip(found.replacements, wanted, strict=False):
        assert one.word == word == text[one.start : one.end]
        assert abs(one.cosine - fresh.cosine) <= COSINE and abs(one.gain - (fresh.cosine - given.cosine)) <= 2 * COSINE
        assert [w.text for w in one.misaligned] == [w.text for w in fresh.misaligned]
        assert one.fits == (not fresh.misaligned) and one.probability is None
    if found.leave_out:
        (without,) = detector.detect(PICTURE, found.leave_out.caption)
        assert abs(found.leave_out.gain - (without.cosine - given.cosine)) <= 2 * COSINE and found.leave_out.word == ""
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_caption_without_the_word_is_offered_where_that_gains(detector):
    without = {
        "A dog's": "Dog's owner, and a red dog on the old sofa.",
        "owner": "A dog's, and a red dog on the old sofa.",
        "red": "A dog's owner, and a dog on the old sofa.",
        "on": "A dog's owner, and a red dog the old sofa.",
        "old": "A dog's owner, and a red dog on the sofa.",
        "sofa": "A dog's owner, and a red dog on the old.",
    }
    (given,) = detector.detect(PICTURE, CAPTION)
    seen = set()
    for text, shorter in without.items():
        word = next(word for word in given.words if word.text == text.split()[0])
        (new,) = detector.detect(PICTURE, shorter)
        (found,) = detector.suggest(PICTURE, CAPTION, [word], vocabulary=[])
        assert (found.leave_out is not None) == (new.cosine > given.cosine)
        assert found.leave_out is None or found.leave_out.caption == shorter
        seen.add(found.leave_out is None)
    assert seen == {True, False}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_gains_of_low_precision_towers_are_those_of_their_detections(tiny_folder, precision):
    low = CLIP4DM.from_pretrained(pretrained=str(tiny_folder), device="cpu", precision=precision)
    (found,) = low.suggest(PICTURE, "a big dog", ["dog"], vocabulary=WORDS)
    assert found.replacements
    for one in found.replacements:
        given, new = low.detect(PICTURE, ["a big dog", one.caption])
        # Of a batch of other shape: bf16 rounds otherwise.
        assert abs(one.gain - (new.cosine - given.cosine)) <= 2 * LOW_PRECISION[precision][1]
        assert one.gain > 0


def test_words_that_occur_twice_and_several_words_at_once(detector):
    found = detector.suggest(PICTURE, "a dog and a dog", ["dog"], vocabulary=["owl", "cat"], top=1)
    assert [one.word.start for one in found] == [2, 12]
    texts = {one.best.caption for one in found if one.best}
    assert texts <= {"an owl and a dog", "a cat and a dog", "a dog and an owl", "a dog and a cat"}
    assert detector.suggest(PICTURE, "a dog", [], vocabulary=WORDS) == []
    for words in (["Dog", "dog"], "dog", found[0].word, [found[0].word], ("a", "dog")):
        again = detector.suggest(PICTURE, "a dog", words, vocabulary=["owl"])
        assert [one.word.text for one in again] == (["a", "dog"] if words == ("a", "dog") else ["dog"])


def test_without_words_the_misaligned_ones_are_asked_for(detector):
    eager = CLIP4DM(detector.model, epsilon=0.0)
    wrong = eager.detect(PICTURE, CAPTION)[0].misaligned
    assert len(wrong) > 1
    assert [one.word for one in eager.suggest(PICTURE, CAPTION, vocabulary=WORDS)] == list(wrong)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["cat"], "'cat' is no word of the caption 'a dog.'"),
        (["."], "'.' is no word of the caption"),
        ([7], "a word of a caption is its text or a Word, got int: 7"),
        ([Word("cat", 2, 5, 0.1, False)], "'cat' is no word of the caption"),
    ],
)
def test_words_that_are_not_the_captions_are_refused(detector, words, why):
    with pytest.raises(InputError, match=why):
        detector.suggest(PICTURE, "a dog.", words, vocabulary=WORDS)


def test_suggestions_are_for_one_image(detector):
    with pytest.raises(InputError, match="suggestions are for one image, got 2"):
        detector.suggest([PICTURE, PICTURE], "a dog", ["dog"], vocabulary=WORDS)


def test_words_are_meant_by_their_letters(detector):
    (detection,) = detector.detect(PICTURE, "(The dog's) “Bone”, dog.")
    assert [word.start for word in words_asked(detection, ["dog", "bone", "the"])] == [5, 20, 12, 0]


@pytest.mark.parametrize("wrong", [{"top": 0}, {"top": True}, {"top": 2.5}, {"top": "5"}, {"min_gain": -0.1}])
def test_settings_that_cannot_be_are_refused(detector, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        detector.suggest(PICTURE, "a dog", ["dog"], vocabulary=WORDS, **wrong)


@pytest.mark.parametrize("wrong", [float("nan"), 2.0, "0.1", []])
def test_a_least_gain_is_a_number(detector, wrong):
    with pytest.raises(InputError, match="min_gain is"):
        detector.suggest(PICTURE, "a dog", ["dog"], vocabulary=WORDS, min_gain=wrong)


def test_what_gains_too_little_is_not_shown(detector):
    (all_of_them,) = detector.suggest(PICTURE, "a big dog", ["dog"], top=99, vocabulary=WORDS)
    gains = [one.gain for one in all_of_them.replacements]
    assert len(gains) > 2 and gains == sorted(gains, reverse=True) and gains[-1] > 0
    least = (gains[0] + gains[1]) / 2
    (best,) = detector.suggest(PICTURE, "a big dog", ["dog"], top=99, vocabulary=WORDS, min_gain=least)
    assert [one.word for one in best.replacements] == [all_of_them.best.word]
    (none,) = detector.suggest(PICTURE, "a big dog", ["dog"], vocabulary=WORDS, min_gain=1.9)
    assert none.replacements == () and none.line() == "dog: no better word found among 8, by 1.900 or more"


def test_groups_come_first_and_others_where_none_of_them_gains(detector):
    _, wanted = by_hand(detector, "a big dog", 6, 9, WORDS)
    better = [word for word, _, _ in wanted]
    worse = [word for word in WORDS if word not in better]
    assert len(better) > 1 and worse
    good = Vocabulary("mine", {"own": (("dog",), (better[-1],)), "other": ((better[0],),)})
    poor = Vocabulary("mine", {"own": (("dog",), (worse[0],)), "other": ((better[0],),)})
    found = [detector.suggest(PICTURE, "a big dog", ["dog"], vocabulary=one, distinct=False)[0] for one in (good, poor)]
    assert [one.best.word for one in found] == [better[-1], better[0]]
    assert [one.tried for one in found] == [1, 2]


# Captions at the context's edge: 77 tokens, three of them the template's, start and end.


def test_candidates_that_would_push_words_out_are_left_out_and_counted(detector):
    caption = "dog " * 71 + "cat"
    (given,) = detector.detect(PICTURE, caption)
    assert not given.truncated and len(given.encoded.ids) == 77
    long = ["hot dog", "unbelievablywell", "fire truck"]
    (found,) = detector.suggest(PICTURE, caption, ["cat"], top=99, vocabulary=["owl", "tea", *long], distinct=False)
    assert found.tried == 2 and found.reason == "3 candidates do not fit into the context"
    assert not {one.word for one in found.replacements} & set(long)
    (nothing,) = detector.suggest(PICTURE, caption, ["cat"], vocabulary=["hot dog"])
    assert nothing.tried == 0 and nothing.reason == "1 candidate does not fit into the context"
    assert nothing.line().startswith("cat: 1 candidate does not fit into the context")
    # Nor where long captions are read in windows: the mean of their cosines is another number.
    split = CLIP4DM(detector.model, long="split")
    (same,) = split.suggest(PICTURE, caption, ["cat"], top=99, vocabulary=["owl", "tea", *long], distinct=False)
    assert (same.tried, same.reason) == (2, "3 candidates do not fit into the context")


def test_words_beyond_the_context_and_without_tokens_say_so(detector, siglip):
    caption = "dog " * 100 + "zebra"
    (found,) = detector.suggest(PICTURE, caption, ["zebra"], vocabulary=WORDS)
    assert found.line() == "zebra: nothing can be suggested: the word lies beyond the model's context"
    assert (found.replacements, found.leave_out, found.tried) == ((), None, 0)
    (found,) = siglip.suggest(PICTURE, "a dog \u0301", ["\u0301"], vocabulary=["cat"])
    assert "has no token of its own" in found.line()


def test_a_word_in_the_middle_that_pushes_the_last_one_out(detector):
    caption = "cat " + "dog " * 71
    (found,) = detector.suggest(PICTURE, caption, ["cat"], top=99, vocabulary=["owl", "hot dog"], distinct=False)
    assert (found.tried, found.reason) == (1, "1 candidate does not fit into the context")


def test_a_truncated_caption_is_read_as_far_as_it_fits(detector):
    """Of 2,000 words; those far beyond the context are not so much as tokenised, and the cosines are the same."""
    caption = "a red dog on a mat, " * 400
    features = detector.encode_images([PICTURE])
    (given,) = detector.detect(features, caption)
    beyond = sum(unit.beyond_context for unit in given.encoded.units)
    fresh = {word: detector.detect(features, "a red " + word + caption[9:])[0] for word in WORDS}
    fits = {word for word, new in fresh.items() if sum(u.beyond_context for u in new.encoded.units) <= beyond}
    assert given.truncated and 2 < len(fits) < len(WORDS)
    read, unread = read_candidates(detector, features[0], given, given.words[2], WORDS)
    cosine = {edit.caption: value for edit, value in read}
    assert unread == len(WORDS) - len(fits) and set(cosine) == {fresh[word].caption for word in fits}
    assert all(abs(cosine[fresh[word].caption] - fresh[word].cosine) <= COSINE for word in fits)
    short = SimpleNamespace(model=detector.model, encode_captions=lambda texts: seen.extend(texts) or encode(texts))
    seen, encode = [], detector.encode_captions
    read_candidates(short, features[0], given, given.words[2], WORDS)
    assert max(map(len, seen)) < 1000 < len(caption)


# Vocabularies of any kind.


@pytest.mark.parametrize(
    ("words", "tried", "unread"),
    [
        ([], 0, 0),
        (["dog"], 0, 0),
        (["Dog", "DOG"], 0, 0),
        (["dogs"], 0, 0),  # an inflection of the word itself
        ([""], 0, 0),
        (["", " ", "\t", "cat"], 1, 0),
        (["cat", "cat", " cat"], 1, 0),
        (["lamp" * 125], 0, 1),
        (["two words " * 50], 0, 1),
        (["\u200b", "."], 0, 2),  # no words
        (["แมว", "猫", "حصان", "🐈", "\ud800", "&amp;dog", "<end_of_text>"], 7, 0),
    ],
)
def test_hostile_vocabularies(detector, words, tried, unread):
    (found,) = detector.suggest(PICTURE, "a dog", ["dog"], top=99, vocabulary=words)
    assert found.tried == tried and all(one.word in words for one in found.replacements)
    if unread or not tried:
        assert str(unread) in found.reason if unread else found.reason == "there is no candidate for it"
        assert found.reason in found.line()
    else:
        assert found.reason is None


def test_of_words_that_are_only_other_spellings_of_the_word_nothing_is_said_of_the_context(detector):
    for distinct in (True, False):
        (found,) = detector.suggest(PICTURE, "a Dog", ["Dog"], vocabulary=["dog", "DOG", "Dog"], distinct=distinct)
        assert (found.tried, found.reason) == (0, "there is no candidate for it")


def test_a_long_list_is_searched_and_a_hundred_of_it_read(detector, monkeypatch):
    letters = "bcdfglmnprst"
    words = [a + "a" + b + "o" + c + "e" + d for a in letters for b in letters for c in letters for d in letters[:3]]
    given = detector.detect(PICTURE, "a big dog")[0]
    read = []
    monkeypatch.setattr(module, "cosines", lambda *of: read.extend(of[2]) or cosines(*of))
    (found,) = suggest(detector, detector.encode_images([PICTURE]), given, given.words[2:], asked_of(words))
    assert len(words) == 5184 == found.tried and found.replacements and len(read) == 100 + 2  # the caption, and "a big"


def test_numbers_that_are_none_are_said_not_ranked(detector, tokenizer):
    broken = copy.deepcopy(detector.model.model)
    with torch.no_grad():
        broken.token_embedding.weight[tokenizer.encoder["owl</w>"]] = float("nan")
    loaded = copy.copy(detector.model)
    object.__setattr__(loaded, "model", broken)
    object.__setattr__(loaded, "tower", TextTower(broken))
    with pytest.raises(NotFinite, match="an owl"):
        CLIP4DM(loaded).suggest(PICTURE, "a dog", ["dog"], vocabulary=["cat", "owl", "tea"])


def test_a_detection_at_hand_is_enough(detector):
    features = detector.encode_images([PICTURE, PICTURE])
    (detection,) = detector.detect(features[:1], "a big dog")
    (read,) = suggest(detector, features[:1], detection, detection.words[2:], asked_of(["cat", "owl"]))
    (fresh,) = detector.suggest(PICTURE, "a big dog", ["dog"], vocabulary=["cat", "owl"])
    assert [one.caption for one in read.replacements] == [one.caption for one in fresh.replacements]
    assert abs(read.cosine - fresh.cosine) <= COSINE
