"""A caption on a terminal: what was not scored is said, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clip4dm.captions.words import encode_caption
from clip4dm.commands import cli, infer
from clip4dm.commands.terminal import coloured_caption
from clip4dm.detection import make_detection

BEYOND = "words lie beyond CLIP's context and were not scored, from"
WITHOUT = "words have no token of their own and were not scored, first"


def detection_of(tokenizer, caption: str, without: str = ""):
    """A detection with zero attributions. without: words that are taken their tokens."""
    encoded = encode_caption(tokenizer, caption, "A photo depicts ")
    gone = {i for i, unit in enumerate(encoded.units) if unit.text in without.split()}
    encoded = replace(
        encoded,
        units=tuple(replace(unit, scored=unit.scored and i not in gone) for i, unit in enumerate(encoded.units)),
        unit_of=tuple(-1 if owner in gone else owner for owner in encoded.unit_of),
    )
    values = np.zeros((4, len(encoded.units)), dtype=np.float32)
    return make_detection(encoded, values, 0.2, layers=4, sorted_by="threshold", epsilon=-5e-5, start_layer_text=-3)


@pytest.mark.parametrize(
    ("caption", "without", "notes"),
    [
        ("a red dog", "", []),
        ("a red dog", "red", [f"1 {WITHOUT} 'red'"]),
        ("w " * 80, "", [f"8 {BEYOND} 'w' on"]),
        ("a red dog " + "w " * 80, "red dog", [f"11 {BEYOND} 'w' on", f"2 {WITHOUT} 'red'"]),
        ("w " * 72 + "!" * 80, "", []),  # truncated, but no word is lost
    ],
)
def test_each_reason_is_counted_apart(tokenizer, capsys, caption, without, notes):
    detection = detection_of(tokenizer, caption, without)
    infer.show(detection, "x.png", as_json=False)
    assert capsys.readouterr().err.splitlines() == [f"infer.py: note: {note}" for note in notes]
    dim = [line for line in coloured_caption(detection).splitlines() if "not scored" in line]
    assert len(dim) == len(notes) and all(f"dim: {note}" in line for note, line in zip(notes, dim, strict=True))


def test_words_say_why_they_were_not_scored(tokenizer):
    words = detection_of(tokenizer, "a red dog " + "w " * 80, "red").words
    assert [(word.scored, word.beyond_context) for word in words[:3]] == [(True, False), (False, False), (True, False)]
    assert all(word.scored != word.beyond_context for word in words[3:]) and words[-1].beyond_context


def test_a_message_moves_no_cursor(capsys):
    cli.tell("note: the folder \x1b[2J\r\x9b1m\t\u00e9 is not there")
    assert capsys.readouterr().err == "note: the folder \ufffd[2J\ufffd\ufffd1m\t\u00e9 is not there\n"
