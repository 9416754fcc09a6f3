"""Words and tokens of any string: offsets slice the caption, every token has one owner, the template stays out."""

from __future__ import annotations

import difflib
import html
import subprocess
import sys
from types import SimpleNamespace

import pytest
from fuzzing.caption_checks import fuzz, violations
from fuzzing.captions import PIECES, make_caption
from hypothesis import example, given, settings
from hypothesis import strategies as st
from places import ROOT

from clip4dm.captions.cleaning import base_clean, unescape
from clip4dm.captions.tokens import _final_clean, merge_long, tokenize
from clip4dm.captions.tracked import Tracked, align
from clip4dm.captions.words import CaptionError, encode_caption, is_punctuation, split

TEMPLATES = ("A photo depicts ", "", "A photo depicts", "a picture of: ", "  spaces ", "&amp; ")
READABLE = tuple(piece for piece in PIECES if len(piece) < 1000)  # open_clip fails on numbers of 4,301 digits
CAPTIONS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(READABLE), max_size=12).map(" ".join),
    st.lists(st.sampled_from(READABLE), max_size=12).map("".join),
)


def check(encoded, caption: str, template: str, tokenizer) -> None:
    tokens = tokenize(tokenizer, template + caption)
    assert len(encoded.ids) == len(encoded.unit_of) == len(tokens.spans) <= 77
    assert not violations(tokenizer, caption, template)


@settings(max_examples=400, deadline=None)
@given(CAPTIONS, st.sampled_from(TEMPLATES))
@example("\ud800 lone", "A photo depicts ")
@example("", "A photo depicts ")
@example("a" * 300, "A photo depicts ")
@example("<end_of_text>", "")
@example(
    "\u0321" * 40 + "\u0323" + "\u0300" * 40 + "0", "A photo depicts"
)  # accents that go to the template's last letter
def test_any_caption(tokenizer, caption, template):
    encoded = encode_caption(tokenizer, caption, template)
    check(encoded, caption, template, tokenizer)


@settings(max_examples=300, deadline=None)
@given(CAPTIONS)
def test_ids_are_open_clips_own(tokenizer, caption):
    """Outside oracle: open_clip's tokenizer, for every text without its special tokens' names."""
    text = "A photo depicts " + caption
    if any(name in base_clean(text).text.lower() for name in ("<end_of_text>", "<start_of_text>")):
        return
    theirs = tokenizer([text])[0].tolist()
    ours = list(encode_caption(tokenizer, caption, "A photo depicts ").ids)
    assert theirs[: len(ours)] == ours
    assert not any(theirs[len(ours) :])


@settings(max_examples=300, deadline=None)
@given(CAPTIONS)
def test_cleaning_is_open_clips_own(tokenizer, caption):
    from open_clip.tokenizer import get_clean_fn

    base = base_clean(caption)
    assert base.text == get_clean_fn("whitespace")(caption)
    for kind in ("lower", "whitespace", "canonicalize"):
        final = _final_clean(base, get_clean_fn(kind), caption)
        assert final.text == get_clean_fn(kind)(caption)
        assert len(final.spans) == len(final.text)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (
            "A man, riding. Well...ok",
            [("A", "a"), ("man", "man"), ("riding", "riding"), ("Well", "well"), ("ok", "ok")],
        ),
        ("(a dog). nice", [("(a", "( a"), ("dog)", "dog )."), ("nice", "nice")]),
        ("İstanbul's café", [("İstanbul's", "i ̇stan bul 's"), ("café", "café")]),
        ("cats &amp; d&ouml;gs", [("cats", "cats"), ("d&ouml;gs", "dö gs")]),
        ("a “big” dog", [("a", "a"), ("“big”", '" big "'), ("dog", "dog")]),
        ("one\n\ntwo", [("one", "one"), ("two", "two")]),
        (
            "a dog <end_of_text> cat",
            [("a", "a"), ("dog", "dog"), ("<end_of_text>", "< end _ of _ text >"), ("cat", "cat")],
        ),
        ("3,000 birds", [("3", "3"), ("000", "0 0 0"), ("birds", "birds")]),
        ("hi — there !! 🐶", [("hi", "hi"), ("there", "there"), ("🐶", "🐶")]),
    ],
)
def test_words_and_their_tokens_by_hand(tokenizer, caption, expected):
    encoded = encode_caption(tokenizer, caption, "A photo depicts ")
    found = []
    for number, unit in enumerate(encoded.units):
        if unit.candidate:
            ids = [i for i, owner in zip(encoded.ids, encoded.unit_of, strict=True) if owner == number]
            pieces = [tokenizer.decode([i]).strip() for i in ids]
            found.append((unit.text, pieces))
    assert [text for text, _ in found] == [text for text, _ in expected]
    for (text, pieces), (_, wanted) in zip(found, expected, strict=True):
        if text.isascii() or "&" in text:
            assert "".join(pieces) == wanted.replace(" ", ""), text


def test_template_words_never_appear(tokenizer):
    for template in ("a cat on ", "a cat on", "dog. ", "A&amp;B "):
        encoded = encode_caption(tokenizer, "a red dog", template)
        assert [unit.text for unit in encoded.units if unit.candidate] == ["a", "red", "dog"]


def test_words_beyond_the_context_are_marked(tokenizer):
    caption = " ".join(f"word{i}" for i in range(60))
    encoded = encode_caption(tokenizer, caption, "A photo depicts ")
    assert encoded.truncated and len(encoded.ids) == 77
    scored = [unit.scored for unit in encoded.units]
    assert scored[0] and not scored[-1] and scored == sorted(scored, reverse=True)
    assert not encode_caption(tokenizer, "short").truncated


LONG = {
    "words": "word " * 2000,
    "one letter": "a" * 10_000,
    "letters": "etaoinshrdlu" * 800,
    "letters é": "é" * 10_000,
    "entities": "&amp;" * 2_000,
    "named": "&ouml;x" * 1_500,
    "no semicolon": "&copyright" * 1_000,
    "twice": "&amp;amp;" * 1_000,
    "chain": "&" + "amp;" * 2_500,
    "curly": "“" * 10_000,
    "stops": "." * 10_000,
    "punctuation": "!?(-" * 2_500,
    "mojibake": "ðŸ˜€Ã©" * 1_600,
    "mojibake and blanks": "ðŸ˜€ Ã© " * 1_300,
    "mojibake in others": "不Ã©錯ðŸ˜€" * 1_100,
    "full-width": "ｆｕｌｌ" * 2_500,
    "accents": "e\u0301" * 5_000,
    "accents out of order": "e" + "\u0301\u0323" * 5_000,
    "controls": "\x00a" * 5_000,
}


@pytest.mark.parametrize("kind", LONG)
def test_ten_thousand_characters(tokenizer, kind):
    encoded = encode_caption(tokenizer, LONG[kind], "A photo depicts ")
    check(encoded, LONG[kind], "A photo depicts ", tokenizer)
    assert encoded.truncated or kind == "chain"  # which ends as one "&"


@pytest.mark.parametrize("kind", LONG)
def test_nothing_that_takes_quadratic_time_is_given_much(tokenizer, kind, monkeypatch):
    """What is quadratic: difflib, open_clip's merging, ftfy's rounds. Counted, since time depends on the machine."""
    import unicodedata

    import ftfy

    given_, merged, rounds = [], [], []
    matcher, bpe, normalize = difflib.SequenceMatcher, tokenizer.bpe, unicodedata.normalize

    def recording(isjunk, a, b, **options):
        given_.append(len(a) * len(b))
        return matcher(isjunk, a, b, **options)

    monkeypatch.setattr(difflib, "SequenceMatcher", recording)
    monkeypatch.setattr(tokenizer, "bpe", lambda token: merged.append(len(token)) or bpe(token))
    monkeypatch.setattr(
        ftfy.unicodedata, "normalize", lambda form, text: rounds.append(len(text)) or normalize(form, text)
    )
    encode_caption(tokenizer, LONG[kind], "A photo depicts ")
    assert max(given_, default=0) <= 20_000 and sum(given_) <= 200 * len(LONG[kind])
    assert max(merged) < 256 and sum(merged) < 2_000
    assert sum(rounds) <= 40 * len(LONG[kind])


@pytest.mark.parametrize("between", [" ", ",", ". ", "\n"])
def test_each_word_of_long_mojibake_has_its_own_span(tokenizer, between):
    words = ["ðŸ˜€", "dÃ©jÃ\xa0vu", "cafÃ©", "dog", "naÃ¯ve", "ÐºÐ¾Ñ‚", "ÃƒÂ©tÃƒÂ©", "â€™s"] * 500
    caption = between.join(words)
    assert len(caption) > 20_000
    found = [unit for unit in encode_caption(tokenizer, caption).units if unit.candidate]
    assert [unit.text for unit in found] == words
    starts = [0]
    for word in words[:-1]:
        starts.append(starts[-1] + len(word) + len(between))
    assert [unit.start for unit in found] == starts


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="abcde é🐶", min_size=1, max_size=400).map(lambda text: text.replace(" ", "") or "a"),
    st.integers(0, 10_000),
)
def test_long_words_merge_as_open_clip_merges_them(tokenizer, word, seed):
    """With CLIP's merges, and with random ones, of which a later pair may rank before the ones it is made of."""
    from random import Random

    encoded = "".join(tokenizer.byte_encoder[b] for b in word.encode())
    assert merge_long(encoded, tokenizer.bpe_ranks) == type(tokenizer).bpe(
        SimpleNamespace(bpe_ranks=tokenizer.bpe_ranks, cache={}), encoded
    ).split(" ")
    random, symbols = Random(seed), sorted(set(encoded)) + [encoded[-1] + "</w>"]
    pairs = []
    for _ in range(60):
        pairs.append((random.choice(symbols), random.choice(symbols)))
        symbols.append("".join(pairs[-1]))
    random.shuffle(pairs)
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    assert merge_long(encoded, ranks) == type(tokenizer).bpe(SimpleNamespace(bpe_ranks=ranks, cache={}), encoded).split(
        " "
    )


def test_two_thousand_fuzzed_captions(tokenizer, detector):
    report = fuzz(tokenizer, range(2_000), seed=1, detector=detector)
    assert not report.violated
    assert report.count == 2_000 and report.detected == 40 and set(report.errors) <= {"CaptionError"}


def test_the_fuzzer_makes_the_same_captions_again_without_torch():
    code = (
        "import sys; from fuzzing.captions import make_caption; print(ascii(make_caption(3, 14)))\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "misc", check=True, capture_output=True, text=True)
    assert done.stdout == ascii(make_caption(3, 14)) + "\n"


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("salt &amp; pepper", ["salt", "&amp;", "pepper"]),
        ("salt &amp;amp; pepper", ["salt", "&amp;amp;", "pepper"]),
        ("salt &amp;amp;amp; <b", ["salt", "&amp;amp;amp;", "<b"]),
        ("&copyright x", ["&copyright", "x"]),
        ("&copy right", ["&copy", "right"]),
        ("a&nbsp;b&#32;c&NewLine;d", ["a", "b", "c", "d"]),
        ("a &#0; b", ["a", "&#0;", "b"]),
        ("a &#1; b", ["a", "b"]),
        ("x&#x80;y", ["x&#x80;y"]),
        ("a&comma;b&period;c", ["a", "&comma;", "b", "&period;", "c"]),
        ("&NotEqualTilde; &fjlig;ord", ["&NotEqualTilde;", "&fjlig;ord"]),
        ("no &semi; here &notit;", ["no", "&semi;", "here", "&notit;"]),
        ("\x1b[31mred\x1b[0m do\x00g", ["red", "do\x00g"]),
        ("a\u200b b \ud800 c", ["a\u200b", "b", "\ud800", "c"]),
        ("cre\u0301me İs ﬁsh…", ["cre\u0301me", "İs", "ﬁsh…"]),
        ("Ã la mode", ["Ã", "la", "mode"]),
        ("dog\x85 \x85", ["dog"]),
        ("a￣b", ["a", "￣b"]),
        ("\x00 \x07", []),
    ],
)
def test_units_are_disjoint_slices(tokenizer, caption, expected):
    assert [unit.text for unit in encode_caption(tokenizer, caption, "A photo depicts ").units] == expected


@pytest.mark.parametrize(("text", "plain"), [("&copyright", "©right"), ("&semi;x", ";x"), ("&amp;", "&")])
def test_a_reference_ends_where_html_ends_it(text, plain):
    tracked = unescape(Tracked.identity(text))
    assert tracked.text == plain == html.unescape(text)
    assert tracked.spans[0] == (0, len(text) - len(plain) + 1)


@pytest.mark.parametrize(("number", "plain"), [("0" * 5000 + "65", "A"), ("9" * 5000, "\ufffd"), ("1114112", "\ufffd")])
def test_numbers_of_any_length(number, plain):
    assert unescape(Tracked.identity(f"&#{number};")).text == plain


def test_what_is_made_of_one_character_is_one_unit():
    """Three full stops of one ellipsis, as another cleaning may make them; and a word that shares a character."""
    dots = Tracked("... ok", ((0, 1), (0, 1), (0, 1), (1, 2), (2, 3), (3, 4)))
    assert [(piece.text, piece.start, piece.end) for piece in split(dots, "… ok", 0)] == [("...", 0, 1), ("ok", 2, 4)]
    shared = Tracked("a b c", ((0, 1), (0, 1), (0, 2), (2, 3), (3, 4)))
    assert [(piece.text, piece.candidate) for piece in split(shared, "ab c", 0)] == [("a b", True), ("c", True)]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab c.", min_size=1, max_size=400), st.text(alphabet="ab d.", max_size=400))
def test_any_rewriting_can_be_aligned(source, target):
    tracked = align(source, target)
    assert tracked.text == target and len(tracked.spans) == len(target)
    assert all(0 <= start < end <= len(source) for start, end in tracked.spans)
    ends = list(zip(tracked.spans, tracked.spans[1:], strict=False))
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in ends)


def test_equal_runs_are_aligned_one_to_one():
    assert align("a red dog", "a big red dog").spans[6:] == tuple((i, i + 1) for i in range(2, 9))
    words = " ".join(f"word{i}" for i in range(500))
    assert align(words, words.replace("word250", "x")).spans[-1] == (len(words) - 1, len(words))


def test_an_unknown_cleaning_is_followed_too(tokenizer):
    shouting = SimpleNamespace(**vars(tokenizer), bpe=tokenizer.bpe)
    shouting.clean_fn = lambda text: tokenizer.clean_fn(text) + " !"
    encoded = encode_caption(shouting, "a red dog")
    assert [unit.text for unit in encoded.units] == ["a", "red", "dog"] and all(unit.scored for unit in encoded.units)


def test_a_word_without_a_token_is_not_beyond_the_context(unaccented):
    encoded = encode_caption(unaccented, "a \u0301 dog")
    assert [(u.text, u.scored, u.beyond_context) for u in encoded.units] == [
        ("a", True, False),
        ("\u0301", False, False),
        ("dog", True, False),
    ]
    assert not encoded.truncated
    long = encode_caption(unaccented, "a \u0301 " + "dog " * 90)
    assert long.truncated and not long.units[1].beyond_context
    assert [u.beyond_context for u in long.units[2:]] == [not u.scored for u in long.units[2:]]
    assert long.units[-1].beyond_context


@pytest.fixture(scope="module")
def unaccented(tmp_path_factory):
    """A Hugging Face tokenizer that drops accents, so that an accent alone has no token."""
    from open_clip.tokenizer import HFTokenizer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "dog": 4}, unk_token="<unk>"))
    raw.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder = tmp_path_factory.mktemp("unaccented")
    PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return HFTokenizer(str(folder), context_length=32)


def test_a_template_that_fills_the_context_is_an_error(tokenizer):
    with pytest.raises(CaptionError, match="template fills CLIP's context of 77"):
        encode_caption(tokenizer, "a dog", "very " * 100)
    assert encode_caption(tokenizer, "", "very " * 100).units == ()
    with pytest.raises(CaptionError, match="a caption is a string, got int"):
        encode_caption(tokenizer, 5)


@pytest.mark.parametrize(
    ("caption", "dropped"),
    [
        ("a dog.", ["."]),
        ("salt & pepper - on, a :-) table !", [",", "!"]),
        ("a &amp; b &quot; c", ["&quot;"]),
        ('a !" b "! c ?; d ;? e !! f ..', ['!"', "?;", ".", "."]),
        ("a “ b ” c — d … e ' f `", ["“", "”"]),
        ("!dog .cat", ["."]),
        ("(a dog). ;: :;", [".", ";:"]),
        ("Ｄog ！ ，", ["！", "，"]),
    ],
)
def test_what_the_published_code_drops(tokenizer, caption, dropped):
    """Substrings of '.,!"?;:" ', of the word as the tokenizer cleans it."""
    assert [
        u.text for u in encode_caption(tokenizer, caption, "A photo depicts ").units if u.dropped_by_published
    ] == dropped


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("...", True),
        ("—", True),
        ("“”", True),
        ("$", True),
        ("🐶", False),
        ("♥", False),
        ("a.", False),
        ("7", False),
        ("", True),
        ("\u200b", True),
    ],
)
def test_punctuation(text, verdict):
    assert is_punctuation(text) is verdict
