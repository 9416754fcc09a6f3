"""Vocabularies: the list that comes along holds what it should, and any file is read, or refused in one line."""

from __future__ import annotations

import os
import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

from clip4dm.benchmarks.shapes.lexicon import KINDS
from clip4dm.errors import CLIP4DMError
from clip4dm.suggestion.vocabulary import (
    LARGEST_FILE,
    LONGEST_WORD,
    MOST_WORDS,
    Vocabulary,
    VocabularyError,
    packaged_vocabulary,
    read_vocabulary,
)

# The 80 things that COCO's annotators boxed, as its files call them.
COCO = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, parking meter,
bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase,
frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle,
wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake,
chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven,
toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush
"""


def test_the_packaged_words_are_plain():
    words = packaged_vocabulary().words
    assert packaged_vocabulary().name == "packaged" and 1800 <= len(words) <= 2400
    assert not [word for word in words if not re.fullmatch(r"[a-z]+([ -][a-z]+)*", word)]
    assert all(len(packaged_vocabulary().of_groups([group])) > 3 for group in packaged_vocabulary().groups)


def test_every_packaged_entry_is_there_once_in_its_group():
    """The file itself, without the reader's own dropping of what is there twice."""
    text = (ROOT / "clip4dm" / "suggestion" / "words.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    groups = [line for line in lines if line.startswith("[")]
    assert len(set(groups)) == len(groups) == len(packaged_vocabulary().groups)
    for part in re.split(r"^\[.*\]$", "\n".join(lines), flags=re.MULTILINE)[1:]:
        words = [word.strip() for word in re.split(r",|\n| = ", part.strip())]
        assert all(words) and sorted(words) == sorted(set(words))


def test_coco_is_among_the_packaged_words():
    names = [name.strip() for name in COCO.replace("\n", " ").split(",")]
    assert len(names) == 80
    assert not [name for name in names if not packaged_vocabulary().groups_of(name)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_drawn_world_is_among_the_packaged_words(kind):
    """Each value's words in one entry; values of a kind in one group, and never two in one entry."""
    entries = {word: entry for group in packaged_vocabulary().groups.values() for entry in group for word in entry}
    values = list(KINDS[kind].values())
    for words in values:
        assert {*words[1:]} <= packaged_vocabulary().synonyms(words[0]), words
        assert not {entries[words[0]]} & {entries[other[0]] for other in values if other != words}
    shared = set.intersection(*(set(packaged_vocabulary().groups_of(word)) for words in values for word in words))
    assert len(shared) == 1


def test_drinks():
    drinks = packaged_vocabulary().of_groups(["drink"])
    assert {"coffee", "tea", "coke", "milk", "juice", "beer", "wine", "water"} <= set(drinks)


def test_a_word_may_be_in_two_groups():
    assert packaged_vocabulary().groups_of("orange") == ("fruit", "colour")
    assert packaged_vocabulary().groups_of("BAT") == ("sports gear", "animal")


def read(tmp_path: Path, data: bytes | str) -> Vocabulary:
    path = tmp_path / "mine.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_vocabulary(path)


def test_the_format(tmp_path):
    text = """# mine
coffee

[drink]  # what is drunk
tea,  coke\t= Cola , hot   chocolate  # sweet
  tea, TEA, cola = COKE = Cola, coke = cola
[ things  to eat ]
a=b, c#, , = d =, coke
[drink]
milk"""
    found = read(tmp_path, text)
    assert found.name == "mine.txt"
    assert found.groups == {
        "": (("coffee",),),
        "drink": (("tea",), ("coke", "Cola"), ("hot chocolate",), ("cola", "COKE"), ("milk",)),
        "things to eat": (("a=b",), ("c#",), ("d",), ("coke",)),
    }
    assert found.words == ("coffee", "tea", "coke", "Cola", "hot chocolate", "milk", "a=b", "c#", "d")
    assert found.groups_of("COKE") == ("drink", "things to eat") and found.groups_of("beer") == ()
    assert found.groups_of("Hot  Chocolate") == ("drink",)
    assert found.synonyms("COLA") == {"coke", "COKE"} and found.synonyms("tea") == frozenset() == found.synonyms("no")
    assert found.of_groups(["things to eat", "none", ""]) == ("a=b", "c#", "d", "coke", "coffee")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks(tmp_path, end, mark):
    found = read(tmp_path, mark + end.join(["[g]", "café", "", "犬", "می\u200cخواهم"]).encode())
    assert found.groups == {"g": (("café",), ("犬",), ("می\u200cخواهم",))}


def test_look_ups_go_by_letters_whatever_their_case(tmp_path):
    found = read(tmp_path, "Straße = Weg\nΣίσυφος")
    assert found.groups_of("STRASSE") == ("",) and found.synonyms("STRASSE") == {"Weg"}
    assert found.groups_of("ΣΊΣΥΦΟΣ") == ("",)


WORD = (
    st.text(string.ascii_letters + "éß犬-'’ ", min_size=1, max_size=12)
    .map(lambda text: " ".join(text.split()))
    .filter(bool)
)
WORDS = st.lists(WORD, min_size=1, max_size=4, unique_by=str.casefold).map(tuple)
ENTRIES = st.lists(WORDS, min_size=1, max_size=5, unique_by=lambda entry: tuple(map(str.casefold, entry))).map(tuple)


@settings(deadline=None)
@given(
    groups=st.dictionaries(WORD, ENTRIES, min_size=1, max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    in_one_line=st.booleans(),
)
def test_what_is_written_is_read(tmp_path_factory, groups, end, in_one_line):
    lines = []
    for name, entries in groups.items():
        texts = [" = ".join(entry) for entry in entries]
        lines += [f"[{name}]", *([", ".join(texts)] if in_one_line else texts)]
    found = read(tmp_path_factory.mktemp("made"), end.join(lines))
    assert found.groups == groups
    folded = {name: [{word.casefold() for word in entry} for entry in entries] for name, entries in groups.items()}
    assert {word.casefold() for word in found.words} == {
        w for entries in folded.values() for entry in entries for w in entry
    }
    assert len({word.casefold() for word in found.words}) == len(found.words)
    for word in map(str.casefold, found.words):
        assert list(found.groups_of(word)) == [name for name in groups if any(word in entry for entry in folded[name])]
        together = {w for entries in folded.values() for entry in entries if word in entry for w in entry}
        assert {other.casefold() for other in found.synonyms(word)} == together - {word}


@settings(deadline=None)
@given(data=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "ignore"))))
def test_any_bytes_are_words_or_one_line(tmp_path_factory, data):
    try:
        found = read(tmp_path_factory.mktemp("any"), data)
    except VocabularyError as error:
        assert "mine.txt" in str(error) and isinstance(error, CLIP4DMError)
        assert all(c.isprintable() for c in str(error).partition("mine.txt")[2])
    else:
        assert found.words and all(word == " ".join(word.split()) for word in found.words)
        assert not re.search("[\0-\x1f\x7f-\x9f]", "".join(found.words))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "mine.txt has no word in it"),
        (b"# nothing\n\n[group]\n , = ,\n", "mine.txt has no word in it"),
        (b"tea\ncof\0fee\n", "line 2: a control character, U+0000"),
        (b"tea\rcof\x1b[31mfee", "line 2: a control character, U+001B"),
        ("tea\n\ncof\u202efee".encode(), "line 3: a control character, U+202E"),
        ("tea\u2028coffee".encode(), "line 1: a control character, U+2028"),
        ("tea\u0085".encode(), "line 1: a control character, U+0085"),
        ("tea\n\ufeffcoffee".encode(), "line 2: a control character, U+FEFF"),
        ("[dr\u2066ink]\ntea".encode(), "line 1: a control character, U+2066"),
        (b"tea\n[ ]\ncoffee", "line 2: the head of a group without a name"),
        (b"tea\ncaf\xe9\n", "no UTF-8 text: byte 7 is 0xe9, in line 2"),
        ("tea".encode("utf-16"), "UTF-16"),
        (b"\0" * 100, "zero byte"),
        (b"tea\n" + b"x" * (LONGEST_WORD + 1), f"line 2: a word of {LONGEST_WORD + 1} characters, more than {LONGEST_WORD}"),
        (b"tea\n[" + b"x" * 5000 + b"]", "line 2: a word of 5000 characters"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said_in_one_line(tmp_path, data, says):
    with pytest.raises(VocabularyError) as caught:
        read(tmp_path, data)
    assert (
        says in str(caught.value)
        and "\n" not in str(caught.value)
        and len(str(caught.value)) < 300 + len(str(tmp_path))
    )


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, says in (
        (tmp_path / "none.txt", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is a pipe"),
        (Path("/dev/zero"), "is a device"),
    ):
        with pytest.raises(VocabularyError, match=says):
            read_vocabulary(path)


def test_a_remark_may_hold_anything(tmp_path):
    assert read(tmp_path, "tea # \u202e\x1b\n#\0\n").words == ("tea",)


def test_one_word_and_the_longest(tmp_path):
    assert read(tmp_path, "x" * LONGEST_WORD).words == ("x" * LONGEST_WORD,)


def test_a_million_words_are_read(tmp_path):
    lines = [f"word {number}" for number in range(1_000_000)]
    found = read(tmp_path, "\n".join(lines + lines[:5]))
    assert found.words == tuple(lines)
    assert found.groups_of("WORD 999999") == ("",)


def test_one_more_is_not(tmp_path, monkeypatch):
    assert MOST_WORDS == 1_000_000
    monkeypatch.setattr("clip4dm.suggestion.vocabulary.MOST_WORDS", 1000)
    lines = [f"word {number}" for number in range(1000)]
    assert len(read(tmp_path, "\n".join(lines + lines)).words) == 1000
    with pytest.raises(VocabularyError, match="line 1001: more than 1,000 words"):
        read(tmp_path, "\n".join([*lines, "tea", "coffee"]))


def test_files_that_are_too_large_are_not_read(tmp_path):
    path = tmp_path / "sparse.txt"
    with open(path, "wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(VocabularyError, match=f"sparse.txt has {LARGEST_FILE + 1} bytes"):
        read_vocabulary(path)


def test_large_entries_take_no_room_squared(tmp_path):
    """100,000 words of one meaning: all pairs of them would be 10 thousand millions."""
    found = read(tmp_path, " = ".join(f"w{number}" for number in range(100_000)))
    assert len(found.synonyms("w5")) == 99_999
