"""A word exchanged or left out: of any caption, nothing else changes, and the new word stands where it is said to."""

from __future__ import annotations

import html
import re
import unicodedata

import pytest
from fuzzing.captions import PIECES
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from clip4dm.captions.cleaning import base_clean
from clip4dm.captions.words import encode_caption, is_punctuation
from clip4dm.suggestion.edits import core, leave_out, replace_word

READABLE = [piece for piece in PIECES if len(piece) < 1000]
OTHERS = [
    "a",
    "an",
    "A",
    "AN",
    "แมวน้ำ",
    "حصان",
    "\u200b",
    "\u0301",
    "x\u0301",
    "&eacute;clair",
    "&quot;dog&quot;",
    "❤️",
    "1️⃣",
]
ANY = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(READABLE + OTHERS), max_size=8).map(" ".join),
    st.lists(st.sampled_from(READABLE + OTHERS), max_size=8).map("".join),
    st.lists(st.sampled_from(["a", "an", "dog", "(red", "owl's,", '"cat"', "."]), max_size=8).map("\r\n".join),
)
PLAIN = st.sampled_from(["owl", "pear", "hot dog", "ice-cream", "o'clock", "hour", "unicorn"])
_ARTICLE_LAST = re.compile(r"\b(an?)(?=\s+(&\w+;|[^\s\w])*\Z)", re.IGNORECASE)


def without_article(before: str) -> str:
    return _ARTICLE_LAST.sub("", before)


def of_caption(caption: str, word: str, which: int = 0) -> tuple[int, int]:
    place = [match.start() for match in re.finditer(re.escape(word), caption)][which]
    return place, place + len(word)


def letters(text: str) -> list[str]:
    """What a reader sees as letters and digits; a possessive's s aside."""
    plain = re.sub(r"(?<=\w)['’]s?\Z", "", html.unescape(html.unescape(text)), flags=re.IGNORECASE)
    return [c for c in plain if unicodedata.category(c)[0] in "LN"]


@settings(max_examples=250, deadline=None)
@given(ANY, st.one_of(PLAIN, st.text(min_size=1, max_size=8)))
@example("\ud800 lone", "owl")
@example("a ❤️ here", "owl")
@example("an &eacute;clair", "owl")
@example("x\u200d\u0301 y", "owl")
def test_a_replaced_word_stands_where_it_is_said_to_and_nothing_else_changes(tokenizer, caption, word):
    for unit in encode_caption(tokenizer, caption).units:
        new = replace_word(caption, unit.start, unit.end, word)
        assert new.caption[new.start : new.end].casefold() == word.casefold()
        first, last = core(caption, unit.start, unit.end)
        assert unit.start <= first < last <= unit.end
        assert new.caption[new.end :] == caption[last:]
        assert without_article(new.caption[: new.start]) == without_article(caption[:first])
        assert abs(new.start - first) <= 1  # an "n" more or less


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.sampled_from([*OTHERS, "(a", "dog).", "“red”", "cat's", "..", "$5", "日本の猫", "é"]), max_size=8),
    PLAIN,
)
def test_no_letter_of_the_old_word_stays_and_the_new_one_is_a_word_of_the_caption(tokenizer, pieces, word):
    caption = " ".join(pieces)
    before = [unit for unit in encode_caption(tokenizer, caption).units if unit.candidate]
    for number, unit in enumerate(before):
        first, last = core(caption, unit.start, unit.end)
        assert not letters(caption[unit.start : first]) and not letters("x" + caption[last : unit.end])[1:]
        new = replace_word(caption, unit.start, unit.end, word)
        after = [unit for unit in encode_caption(tokenizer, new.caption).units if unit.candidate]
        words = word.split()
        assert len(after) == len(before) + len(words) - 1
        mine = after[number : number + len(words)]
        assert mine[0].start <= new.start and new.end <= mine[-1].end
        for theirs, ours in zip(
            before[:number] + before[number + 1 :], after[:number] + after[number + len(words) :], strict=True
        ):
            assert theirs.text == ours.text or {theirs.text.strip("(").lower(), ours.text.strip("(").lower()} == {
                "a",
                "an",
            }


@settings(max_examples=250, deadline=None)
@given(ANY)
@example("dog ☕")
@example("a dog; a cat")
@example("\ud800")
@example("Ä À\x80")
def test_a_word_left_out_takes_no_other_with_it(tokenizer, caption):
    units = [unit for unit in encode_caption(tokenizer, caption).units if unit.candidate]
    assume(all(caption[unit.start : unit.end].strip() for unit in units))
    for number, unit in enumerate(units):
        new = leave_out(caption, unit.start, unit.end)
        others = [other for at, other in enumerate(units) if at != number]
        if new is None:
            # Nothing but articles, and what alone is cleaned to punctuation (mojibake: "À\x80").
            left = [other.text for other in others if not is_punctuation(base_clean(other.text).text)]
            assert all(text.strip("([{\"'“‘«—–-").casefold() in ("a", "an") for text in left)
            continue
        assert new.start == new.end <= len(new.caption)
        assert len(new.caption) < len(caption)
        # All letters of the other words are there, in order, but for an article's; a capital may have moved.
        kept = "".join(filter(str.isalnum, new.caption)).casefold()
        article = re.search(r"(?<!\w)(an?)(?=\W*\Z)", caption[: unit.start], re.IGNORECASE)
        head, tail = caption[: unit.start], caption[unit.end :]
        wanted = {"".join(filter(str.isalnum, head + tail)).casefold()}
        if article:
            for other in ("", "a", "an"):
                changed = head[: article.start()] + other + head[article.end() :]
                wanted.add("".join(filter(str.isalnum, changed + tail)).casefold())
        assert kept in wanted


@pytest.mark.parametrize(
    ("caption", "word", "other", "wanted"),
    [
        ("a dog on an old sofa", "dog", "owl", "an owl on an old sofa"),
        ("an owl", "owl", "dog", "a dog"),
        ("A owl", "owl", "ape", "An ape"),
        ("AN OWL", "OWL", "dog", "A DOG"),
        ("A DOG", "DOG", "owl", "AN OWL"),
        ("A Dog", "Dog", "owl", "An Owl"),
        ("An Hour", "Hour", "unicorn", "A Unicorn"),
        ("a 'coke'", "'coke'", "apple", "an 'apple'"),
        ("(an apple)", "apple)", "pear", "(a pear)"),
        ("a &quot;dog&quot;", "&quot;dog&quot;", "owl", "an &quot;owl&quot;"),
        ("“a dog”", "dog”", "owl", "“an owl”"),
        ("here—a dog", "dog", "owl", "here—an owl"),
        ("an old dog", "dog", "owl", "an old owl"),  # not directly before the word
        ("a, dog", "dog", "owl", "a, owl"),
        ("area dog", "dog", "owl", "area owl"),
        ("vitamin-a dog", "dog", "owl", "vitamin-a owl"),
        ("rich in vitamin A dog", "dog", "owl", "rich in vitamin A owl"),
        ("A man. A dog", "dog", "owl", "A man. An owl"),
        ("the dog's bone", "dog's", "owl", "the owl's bone"),
        ("the dogs’ bone", "dogs’", "owls", "the owls’ bone"),
        ("the dog&#39;s bone", "dog&#39;s", "owl", "the owl&#39;s bone"),
        ("an ice-cream cone", "ice-cream", "pear", "a pear cone"),
        ("a red-haired man", "red-haired", "old", "an old man"),
        ("at five o'clock", "o'clock", "dogs", "at five dogs"),
        ("they don’t run", "don’t", "do", "they do run"),
        ("caf&eacute; au lait", "caf&eacute;", "tea", "tea au lait"),
        ("a ❤️ here", "❤️", "cat", "a cat here"),
        ("an “❤️” here", "“❤️”", "cat", "a “cat” here"),
        ("um cão bravo", "cão", "gato", "um gato bravo"),
        ("แมว นอน", "แมว", "หมา", "หมา นอน"),
        ("一只 猫 在", "猫", "狗", "一只 狗 在"),
        ("\u200fכלב\u200f רץ", "\u200fכלב\u200f", "חתול", "\u200fחתול\u200f רץ"),
        ("Two\r\ndogs", "Two", "three", "Three\r\ndogs"),
    ],
)
def test_replaced_by_hand(caption, word, other, wanted):
    new = replace_word(caption, *of_caption(caption, word), other)
    assert new.caption == wanted
    assert new.caption[new.start : new.end].casefold() == other


def test_of_a_word_that_is_there_twice_the_one_that_is_meant_changes():
    caption = "a dog and a dog"
    assert replace_word(caption, *of_caption(caption, "dog", 0), "owl").caption == "an owl and a dog"
    assert replace_word(caption, *of_caption(caption, "dog", 1), "owl").caption == "a dog and an owl"
    assert leave_out(caption, *of_caption(caption, "dog", 1)).caption == "a dog and"


@pytest.mark.parametrize(
    ("caption", "word", "wanted"),
    [
        ("a red dog", "red", "a dog"),
        ("a red owl", "red", "an owl"),
        ("AN ORANGE CAT", "ORANGE", "A CAT"),
        ("A BIG ORANGE", "BIG", "AN ORANGE"),
        ("The red-haired man", "The", "Red-haired man"),
        ("A man with a hat", "hat", "A man with"),
        ("A cup of a coke.", "coke", "A cup of."),
        ("a cat and a dog", "cat", "and a dog"),
        ("A dog is here", "dog", "Is here"),
        ("A dog, a cat", "dog", "A cat"),
        ("a dog; a cat", "dog;", "a cat"),
        ("two dogs; a cat", "dogs;", "two; a cat"),
        ("a man (with a hat) runs", "hat)", "a man (with) runs"),
        ("a (red dog) runs", "(red", "a (dog) runs"),
        ("the (dog) runs", "(dog)", "the runs"),
        ("(a dog) runs", "dog)", "runs"),
        ("“the dog” runs", "dog”", "“the” runs"),
        ("the 'red dog' runs", "dog'", "the 'red' runs"),
        ("the dogs' bone", "dogs'", "the bone"),
        ("the dog's bone", "dog's", "the bone"),
        ("one\r\ntwo\r\nthree", "two", "one\r\nthree"),
        ("dog ☕", "dog", "☕"),
        ("dog", "dog", None),
        ("A dog.", "dog", None),
        ("“dog”!", "“dog”!", None),
    ],
)
def test_left_out_by_hand(caption, word, wanted):
    new = leave_out(caption, *of_caption(caption, word))
    assert (new and new.caption) == wanted
