"""The tokenizer's own words as a vocabulary: each is one token of open_clip's, of Hugging Face's; what callers give."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from text_towers import build, make_tiny_siglip

from clip4dm.captions.words import encode_caption
from clip4dm.errors import InputError
from clip4dm.suggestion.open_words import open_vocabulary, vocabulary_of
from clip4dm.suggestion.vocabulary import VocabularyError, packaged_vocabulary
from clip4dm.towers.text import TextTower


@pytest.fixture(scope="module")
def tower():
    return TextTower(build("clip"))


@pytest.fixture(scope="module")
def clips(tokenizer, tower):
    return open_vocabulary(tokenizer, tower)


def test_clips_words_are_one_token_of_open_clips_own_tokenizer(tokenizer, clips):
    assert len(clips.words) > 25_000 and clips.name == "clip" and list(clips.groups) == [""]
    for word in [*clips.words[::40], *(word for word in clips.words if not word.isascii())]:
        ids = tokenizer([word])[0].tolist()
        assert ids[1] not in (49406, 49407) and ids[2] == 49407, word


def test_clips_words_are_lower_case_letters_alone(clips):
    assert all(word.isalpha() and word == word.lower() and len(word) >= 3 for word in clips.words)
    assert len({word.casefold() for word in clips.words}) > 0.999 * len(clips.words)
    assert {"dog", "coffee", "zebra", "café"} <= set(clips.words)
    assert not {"the7", "a", "¼", "cafã©"} & set(clips.words)


def test_words_whose_rows_are_equal_were_never_trained(tokenizer):
    model = build("clip")
    never = [tokenizer.encoder[word + "</w>"] for word in ("dog", "zebra", "coffee")]
    with torch.no_grad():
        model.token_embedding.weight[never] = 0.25
    words = set(open_vocabulary(tokenizer, TextTower(model)).words)
    assert not {"dog", "zebra", "coffee"} & words and {"cat", "tea"} <= words


def wordpiece(words):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, "##s", "##ing", "red7", "Ab", "ox"]
    raw = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", sep_token="[SEP]")


def byte_pairs(words):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator([" ".join(words)] * 5, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=raw)


@pytest.mark.parametrize("make", [wordpiece, byte_pairs])
def test_words_of_hugging_faces_tokenizers(make, tower):
    words = ["horse", "house", "café", "zebra"]
    inner = make(words)
    found = open_vocabulary(SimpleNamespace(tokenizer=inner), tower).words
    assert set(words) <= set(found)
    for word in found:
        ids = inner(word, add_special_tokens=False)["input_ids"]
        assert len(ids) == 1 and inner.decode(ids).strip() == word


def test_words_of_sentencepiece(tmp_path):
    from clip4dm import CLIP4DM

    model = CLIP4DM.from_pretrained(pretrained=str(make_tiny_siglip(tmp_path)), device="cpu").model
    found = open_vocabulary(model.tokenizer, model.tower).words
    assert {"photo", "dog"} & set(found)
    for word in found:
        caption = encode_caption(model.tokenizer, word)
        assert sum(owner == 0 for owner in caption.unit_of) == 1, word


def test_a_tokenizer_without_whole_words_is_refused(tower):
    letters = SimpleNamespace(get_vocab=lambda: {"a": 0, "b": 1})
    with pytest.raises(InputError, match="does not say which of its tokens are whole words"):
        open_vocabulary(SimpleNamespace(tokenizer=letters), tower)


def test_what_callers_may_give(tokenizer, tower, clips, tmp_path):
    (tmp_path / "mine.txt").write_text("tea, coffee\n")
    assert vocabulary_of(None, tokenizer, tower) is packaged_vocabulary()
    assert vocabulary_of("clip", tokenizer, tower).words == clips.words
    assert vocabulary_of("clip", tokenizer, tower) is vocabulary_of("clip", tokenizer, tower)
    assert vocabulary_of(clips, tokenizer, tower) is clips
    for path in (tmp_path / "mine.txt", str(tmp_path / "mine.txt")):
        assert vocabulary_of(path, tokenizer, tower).words == ("tea", "coffee")
    for words in (["tea", "ice  cream ", "", " ", "tea"], iter(["tea", "ice\tcream"]), {"tea": 1, "ice cream": 2}):
        assert vocabulary_of(words, tokenizer, tower).words == ("tea", "ice cream")
    assert vocabulary_of([], tokenizer, tower).words == ()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["tea", 7], "a vocabulary's words are strings, got int: 7"),
        ([["tea"]], r"a vocabulary's words are strings, got list: \['tea'\]"),
        ([b"tea"], "a vocabulary's words are strings, got bytes"),
        ([None], "a vocabulary's words are strings, got NoneType"),
        (b"tea", "a vocabulary's words are strings, got int"),
        (7, "a vocabulary is a Vocabulary, a file or words, got int: 7"),
        (["tea\x1b[31m"], r"no control characters, as 'tea\\x1b\[31m' has"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tokenizer, tower, wrong, why):
    with pytest.raises(InputError, match=why):
        vocabulary_of(wrong, tokenizer, tower)


def test_a_file_that_is_not_there_is_refused(tokenizer, tower):
    with pytest.raises(VocabularyError):
        vocabulary_of("tea", tokenizer, tower)


def test_a_model_is_not_kept_for_its_words(tokenizer):
    tower = TextTower(build("clip"))
    vocabulary_of("clip", tokenizer, tower)
    gone = weakref.ref(tower)
    del tower
    gc.collect()
    assert gone() is None
