"""The harder drawn benchmark: captions are true and foils false, and one word is to blame.

The truth is worked out from the words and the scene's geometry alone, by a reading that the package does not know.
"""

import io
import itertools
import json
import math
from collections import Counter

import make_shapes_benchmark
import pytest
from other_process import made_elsewhere

from clip4dm.benchmarks.shapes.benchmark import FIRST_SEED, HARD_FIRST_SEED
from clip4dm.benchmarks.shapes.captions import every_word
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.harder import HARD_KINDS, make_hard_pair
from clip4dm.benchmarks.shapes.harder_captions import NEW_WORDS

SEEDS = range(6_000_000, 6_001_400)


@pytest.fixture(scope="module")
def pairs():
    return [make_hard_pair(seed) for seed in SEEDS]


# A caption's reader. The words by hand, not from the lexicon.

SHAPES = (
    "circle disc|square box|triangle|star|heart|cross plus|diamond|moon crescent|house cottage|fish|tree|bolt lightning"
)
SHAPE = {word: words.split()[0] for words in SHAPES.split("|") for word in words.split()}
SHAPE |= {word + "s": shape for word, shape in SHAPE.items()}
SHAPE |= {"boxes": "square", "crosses": "cross", "pluses": "cross", "fishes": "fish"}
ADJECTIVE = {word: ("colour", word) for word in "red yellow green blue purple pink brown black white".split()}
ADJECTIVE |= {word: ("size", "small") for word in "small little tiny".split()}
ADJECTIVE |= {word: ("size", "large") for word in "large big huge".split()}
ADJECTIVE |= {word: ("texture", word) for word in "plain striped dotted hollow".split()}
ADJECTIVE |= {"spotted": ("texture", "dotted")}
NUMBER = {"two": 2, "three": 3, "four": 4, "five": 5}
RELATION = {"above": "above", "over": "above", "below": "below", "under": "below", "beneath": "below"}
RELATION |= {"beside": "beside", "alongside": "beside", "inside": "inside", "within": "inside"}
GROUND = {"grass": "grass", "sand": "sand", "snow": "snow", "water": "water", "bricks": "brick", "wood": "wood"}
PLACE = ("left", "right", "top", "bottom")
ALIKE = [  # words of which one could stand for another
    [word for word in SHAPE if not word.endswith("s") or word == "plus"],
    [word for word in SHAPE if word.endswith("s") and word not in ("plus", "cross")],
    *([word for word, (of, _) in ADJECTIVE.items() if of == kind] for kind in ("colour", "size", "texture")),
    list(NUMBER),
    list(RELATION),
    list(GROUND),
    list(PLACE),
]


def read(words):
    """({"shape", "number" or None, "denied", "place", adjectives...} of each noun, relation, ground)."""
    parts, relation, ground = [], None, None
    number, denied, adjectives, behind = None, False, {}, False
    for i, word in enumerate(words):
        after = words[i + 1] if i + 1 < len(words) else ""
        if word in SHAPE:
            parts.append({"shape": SHAPE[word], "number": number, "denied": denied, "place": None, **adjectives})
            number, denied, adjectives, behind = None, False, {}, False
        elif word in ADJECTIVE:
            kind, value = ADJECTIVE[word]
            (parts[-1] if behind else adjectives)[kind] = value
        elif word in ("no", "without"):
            denied = True
        elif word in NUMBER:
            number, behind = NUMBER[word], False
        elif word == "that":
            behind = True
        elif word in ("a", "together"):
            behind = False
        elif word in RELATION:
            relation = RELATION[word]
        elif word in GROUND:
            ground = GROUND[word]
        elif word in ("left", "right") and after == "of":
            relation = word
        elif word in PLACE:
            assert words[i - 2 : i] in (["at", "the"], ["on", "the"])
            parts[-1]["place"] = word
        else:
            assert word in ("and", "of", "at", "on", "the", "we", "see", "there", "is", "are", "with", "lies"), word
    assert not adjectives
    return parts, relation, ground


def fits(thing, part):
    """Whether what is said of a thing's looks is so."""
    looks = {"shape": thing.shape, "colour": thing.colour, "texture": thing.texture}
    looks["size"] = "small" if thing.radius < 0.135 else "large"
    return all(part.get(name, value) == value for name, value in looks.items())


def is_there(thing, place, off):
    along = {"left": 0.5 - thing.x, "right": thing.x - 0.5, "top": 0.5 - thing.y, "bottom": thing.y - 0.5}
    return place is None or along[place] > off


def stands(a, b, relation, clearly):
    """How a stands to b: for a reader who is strict in what he calls so (clearly), or one who is generous."""
    right, down = b.x - a.x, b.y - a.y
    level, upright = abs(right) > abs(down), abs(down) > abs(right)
    return {
        None: True,
        "left": right > 0 and (level or not clearly),
        "right": right < 0 and (level or not clearly),
        "above": down > 0.08 and (upright or not clearly),
        "below": down < -0.08 and (upright or not clearly),
        "beside": abs(right) > 0.15 and (level or not clearly),
        "inside": math.hypot(right, down) < b.radius - a.radius,
    }[relation]


def is_true(words, scene, clearly):
    parts, relation, ground = read(list(words))
    if ground not in (None, scene.background):
        return False
    for part in parts:
        number = sum(fits(thing, part) for thing in scene.things)
        if (part["denied"] and number) or part["number"] not in (None, number):
            return False
    single = [part for part in parts if not part["denied"] and part["number"] is None]
    return any(
        all(
            fits(t, part) and is_there(t, part["place"], 0.12 * clearly) for t, part in zip(things, single, strict=True)
        )
        and (relation is None or stands(things[0], things[1], relation, clearly))
        for things in itertools.permutations(scene.things, len(single))
    )


@pytest.mark.parametrize(
    ("text", "clear", "generous"),
    [
        ("a red star left of a blue star", True, True),
        ("a blue star left of a red star", False, False),
        ("a blue star beside a blue star", False, False),
        ("a star above a blue star", False, True),  # a little higher
        ("a star and no moon", True, True),
        ("a star without a star", False, False),
        ("two stars and no moon on sand", True, True),
        ("three stars", False, False),
        ("a star that is red and small on the left and a blue star at the right", True, True),
        ("a star that is red at the right", False, False),
        ("we see a star on snow", False, False),
    ],
)
def test_the_reader_reads(text, clear, generous):
    from clip4dm.benchmarks.shapes.scenes import Scene, Thing

    things = (Thing("star", "red", "plain", 0.2, 0.4, 0.1, 0.0), Thing("star", "blue", "plain", 0.8, 0.5, 0.1, 0.0))
    scene = Scene(0, "apart", "sand", things)
    assert (is_true(text.split(), scene, True), is_true(text.split(), scene, False)) == (clear, generous)


def test_captions_are_true_and_foils_are_false(pairs):
    """True to a strict reader, false to a generous one."""
    for pair in pairs:
        assert is_true(pair.caption.words, pair.scene, clearly=True), (pair.caption.text, pair.scene)
        assert not is_true(pair.foil.words, pair.scene, clearly=False), (pair.foil.text, pair.scene)


def test_one_word_differs_and_no_other_is_to_blame(pairs):
    """Whatever other word of the foil is exchanged for one of its kind, it stays false, but for the denied thing's "no"."""
    for pair in pairs:
        both = zip(pair.caption.words, pair.foil.words, strict=True)
        assert [i for i, (before, after) in enumerate(both) if before != after] == [pair.index]
        for i, word in enumerate(pair.foil.words):
            alternatives = next((words for words in ALIKE if word in words), [])
            if pair.foil.words[i + 1 : i + 2] == ("of",):
                alternatives = ["left", "right"]
            if i == pair.index:
                alternatives = []
            for other in alternatives:
                mended = (*pair.foil.words[:i], other, *pair.foil.words[i + 1 :])
                assert not is_true(mended, pair.scene, clearly=False), (pair.foil.text, word, other)


def test_each_kind_exchanges_what_it_says(pairs):
    seen = Counter()
    for pair in pairs:
        before, after = pair.caption.words[pair.index], pair.foil.words[pair.index]
        parts = read(list(pair.caption.words))[0]
        values = {part.get(pair.fact) for part in parts}
        if pair.kind.endswith("-binding"):
            assert pair.fact == pair.kind.removesuffix("-binding")
            assert [thing.shape for thing in pair.scene.things] == [parts[0]["shape"]] * 2
            assert {ADJECTIVE[before][1], ADJECTIVE[after][1]} == values  # the other thing's, which is said too
        elif pair.kind == "negation":
            shapes = {thing.shape for thing in pair.scene.things}
            assert SHAPE[before] not in shapes and SHAPE[after] in shapes
            assert [part["denied"] for part in read(list(pair.foil.words))[0]].count(True) == 1
        elif pair.kind == "left-right":
            assert {before, after} == {"left", "right"}
        elif pair.kind == "count":
            assert abs(NUMBER[before] - NUMBER[after]) == 1
        assert len(pair.caption.words) in (range(16, 26) if pair.kind == "long" else range(4, 16))
        seen[pair.kind] += 1
    assert set(seen) == set(HARD_KINDS) and min(seen.values()) > 0.6 * len(pairs) / len(HARD_KINDS)


def test_long_captions_are_false_anywhere(pairs):
    long = [pair for pair in pairs if pair.kind == "long"]
    assert len({pair.fact for pair in long}) >= 7
    thirds = Counter(3 * pair.index // len(pair.foil.words) for pair in long)
    assert min(thirds[i] for i in range(3)) > 0.15 * len(long)


def test_every_number_is_counted(pairs):
    assert {pair.caption.words[pair.index] for pair in pairs if pair.kind == "count"} == set(NUMBER)


def test_few_words_are_new(pairs):
    """Beyond what the demo model's training met: those that are listed, and all of them occur."""
    words = {word for pair in pairs for word in (*pair.caption.words, *pair.foil.words)}
    assert words - set(every_word()) == set(NEW_WORDS.split()) == {"no", "without", "of"}


def test_things_stand_apart_inside_the_picture(pairs):
    for pair in pairs:
        for thing in pair.scene.things:
            assert all(thing.radius < at < 1 - thing.radius for at in (thing.x, thing.y))
        for a, b in itertools.combinations(pair.scene.things, 2):
            assert math.hypot(a.x - b.x, a.y - b.y) > 1.15 * (a.radius + b.radius)


def digest_of_pairs():
    import hashlib

    digest = hashlib.sha256()
    for seed in range(40):
        pair = make_hard_pair(seed)
        file = io.BytesIO()
        draw(pair.scene, 96).save(file, "PNG")
        digest.update(file.getvalue() + repr(pair).encode())
    return digest.hexdigest()


def test_pairs_are_byte_identical_across_processes():
    assert made_elsewhere("test_harder_shapes", "digest_of_pairs") == digest_of_pairs()


def test_the_harder_benchmark_on_disk(tmp_path):
    """FOIL's format, the same each time, from seeds of its own; the exchanged word is where the reader finds it."""
    from clip4dm.benchmarks import read_benchmark

    assert FIRST_SEED < HARD_FIRST_SEED
    for name in "ab":
        make_shapes_benchmark.main([str(tmp_path / name), "--hard", "--pairs", "150", "--size", "16"])
    names = sorted(path.name for path in (tmp_path / "a" / "images").iterdir())
    assert names[0] == f"shapes_{HARD_FIRST_SEED:09d}.png" and len(names) == 150
    for name in ("shapes_foil.json", *(f"images/{name}" for name in names)):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    benchmark, reading = read_benchmark(tmp_path / "a" / "shapes_foil.json")
    rows = json.loads((tmp_path / "a" / "shapes_foil.json").read_text())["annotations"]
    assert benchmark.name == "foil" and len(reading.samples) == len(rows) == 300
    assert {row["kind"] for row in rows} == set(HARD_KINDS)
    for original, foil in zip(reading.samples[::2], reading.samples[1::2], strict=True):
        assert not original.misaligned and foil.misaligned and original.groups == foil.groups
        index = make_hard_pair(int(foil.image_id)).index
        start = len(" ".join([*foil.caption.split()[:index], ""]))
        assert foil.spans == ((start, start + len(foil.label)),)


def test_a_kind_can_be_asked_for_and_has_to_be_of_the_set(tmp_path, capsys):
    make_shapes_benchmark.main([str(tmp_path), "--hard", "--pairs", "3", "--kind", "negation", "--size", "16"])
    rows = json.loads((tmp_path / "shapes_foil.json").read_text())["annotations"]
    assert {row["kind"] for row in rows} == {"negation"}
    for wrong in (["--hard", "--kind", "colour"], ["--kind", "negation"]):
        with pytest.raises(SystemExit) as raised:
            make_shapes_benchmark.main([str(tmp_path / "x"), *wrong])
        assert raised.value.code == 2
        assert "is none of this set's: " in capsys.readouterr().err
