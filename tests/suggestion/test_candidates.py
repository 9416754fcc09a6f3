"""Which words may take another's place: its own group's first, in its number, without itself, its forms and its like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip4dm.suggestion.candidates import candidates
from clip4dm.suggestion.vocabulary import Vocabulary, packaged_vocabulary

MINE = Vocabulary(
    "mine",
    {
        "animal": (("dog", "hound"), ("cat",), ("sheep",), ("Dalmatian",)),
        "colour": (("red",), ("orange",)),
        "fruit": (("orange",), ("apple",)),
        "action": (("riding",), ("running",)),
    },
)


@pytest.mark.parametrize(
    ("word", "own"),
    [
        ("cat", ("dog", "hound", "sheep", "Dalmatian")),
        ("Cat", ("dog", "hound", "sheep", "Dalmatian")),
        ("CATS", ("dogs", "hounds", "sheep", "Dalmatians")),
        ("dog", ("cat", "sheep", "Dalmatian")),  # a hound is a dog
        ("dogs", ("cats", "sheep", "Dalmatians")),
        ("dalmatian", ("dog", "hound", "cat", "sheep")),
        ("orange", ("red", "apple")),
        ("riding", ("running",)),
        ("rides", ()),
        ("xyzzy", ()),
    ],
)
def test_words_of_its_own_groups_in_its_number(word, own):
    found = candidates(MINE, word)
    assert found.own == own
    everything = {other.casefold() for other in MINE.words}
    assert len(set(found.others)) == len(found.others) and {other.casefold() for other in found.others} <= everything
    if not own:
        assert len(found.others) >= len(MINE.words) - 1


def test_inflections_and_words_of_the_same_meaning_come_back_on_request():
    near = candidates(MINE, "dog", distinct=False)
    assert near.own == ("hound", "cat", "sheep", "Dalmatian")
    assert "riding" in candidates(MINE, "rides", distinct=False).others
    assert "riding" not in candidates(MINE, "rides").others


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(st.text(max_size=8), st.sampled_from([*packaged_vocabulary().words, "dogs", "Rode", "children"])),
    st.booleans(),
)
def test_of_the_packaged_words_none_is_lost_and_none_is_the_word_itself(word, distinct):
    vocabulary = packaged_vocabulary()
    own, others = candidates(vocabulary, word, distinct)
    assert word.casefold() not in {other.casefold() for other in (*own, *others)}
    assert len(set(own)) == len(own) and not set(own) & set(others) - set(vocabulary.words)
    if vocabulary.groups_of(word) and not distinct:
        assert len(own) + len(others) == len(vocabulary.words) - 1


def test_an_empty_list_and_one_of_the_word_alone():
    assert candidates(Vocabulary("none", {}), "dog") == ((), ())
    assert candidates(Vocabulary("none", {"": (("dog",),)}), "Dogs") == ((), ())
