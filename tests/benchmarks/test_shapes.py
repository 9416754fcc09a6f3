"""The drawn world: captions are true and foils false, by a reading of their words that the package does not know."""

import hashlib
import io
import itertools
import math
from collections import Counter
from random import Random

import make_shapes_benchmark
import pytest
from other_process import made_elsewhere

from clip4dm.benchmarks.shapes.benchmark import FIRST_SEED
from clip4dm.benchmarks.shapes.captions import every_word, write_caption
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.foils import make_foil
from clip4dm.benchmarks.shapes.lexicon import KINDS
from clip4dm.benchmarks.shapes.scenes import sample_scene

SEEDS = range(5_000_000, 5_001_500)


def captioned(seed):
    scene, random = sample_scene(seed), Random(f"test {seed}")
    caption = write_caption(scene, random)
    return scene, caption, make_foil(scene, caption, random)


@pytest.fixture(scope="module")
def triples():
    return [captioned(seed) for seed in SEEDS]


# The truth, worked out from the words of a caption and the scene's geometry alone.

MEANING = {word: (kind, value) for kind, values in KINDS.items() for value, words in values.items() for word in words}
NOUNS = {word: value for word, (kind, value) in MEANING.items() if kind == "object"}
NOUNS |= {word + "s": value for word, value in NOUNS.items()} | {
    "boxes": "square",
    "crosses": "cross",
    "pluses": "cross",
    "fishes": "fish",
}


def read_words(words):
    """(mentions, other facts): adjectives belong to the noun that follows, or else to the only noun."""
    mentions, pending, facts = [], {}, {}
    for word in words:
        if word in NOUNS:
            mentions.append({"shape": NOUNS[word], **pending})
            pending = {}
        elif word in MEANING:
            kind, value = MEANING[word]
            if kind in ("colour", "size", "texture"):
                pending[kind] = value
            else:
                facts[kind] = value
                if kind == "relation" and not mentions:
                    facts["fronted"] = True
    assert not pending or len(mentions) == 1
    mentions[0].update(pending)
    return mentions, facts


def fits(thing, said):
    small = thing.radius < 0.135
    return all(
        {"shape": thing.shape, "colour": thing.colour, "texture": thing.texture, "size": "small" if small else "large"}[
            key
        ]
        == value
        for key, value in said.items()
    )


def is_true(words, scene):
    mentions, facts = read_words(words)
    if facts.get("background", scene.background) != scene.background:
        return False
    if "count" in facts and sum(fits(thing, mentions[0]) for thing in scene.things) != facts["count"]:
        return False
    if facts.pop("fronted", False):
        mentions.reverse()
    for things in itertools.permutations(scene.things, len(mentions)):
        if not all(fits(thing, said) for thing, said in zip(things, mentions, strict=True)):
            continue
        if "position" in facts:
            x, y = things[0].x, things[0].y
            if not {"left": x < 0.5, "right": x > 0.5, "top": y < 0.5, "bottom": y > 0.5}[facts["position"]]:
                continue
        if "relation" in facts:
            a, b = things
            if math.hypot(a.x - b.x, a.y - b.y) < b.radius - a.radius:
                holds = "inside"
            elif abs(a.y - b.y) > abs(a.x - b.x):
                holds = "above" if a.y < b.y else "below"
            else:
                holds = "beside"
            if holds != facts["relation"]:
                continue
        return True
    return False


def test_captions_are_true_and_foils_are_false(triples):
    for scene, caption, foil in triples:
        assert is_true(caption.words, scene), (caption.text, scene)
        assert foil is None or not is_true(foil.caption.words, scene), (foil.caption.text, scene)


def test_of_the_usual_benchmark_no_caption_is_false_and_every_foil_is():
    """Of scene 1000413 too, whose four pluses are large or a hair smaller."""
    for seed in range(FIRST_SEED, FIRST_SEED + 2000):
        scene, random = sample_scene(seed), Random(f"benchmark {seed}")
        caption = write_caption(scene, random)
        foil = make_foil(scene, caption, random)
        assert is_true(caption.words, scene), caption
        assert foil is not None and not is_true(foil.caption.words, scene), foil


def test_a_foil_differs_in_one_word_of_its_kind(triples):
    kinds = Counter()
    for _, caption, foil in triples:
        if foil is None:
            continue
        changed = [i for i, (a, b) in enumerate(zip(caption.words, foil.caption.words, strict=True)) if a != b]
        assert changed == [foil.index]
        before, after = (MEANING.get(w, ("object", NOUNS.get(w))) for w in (foil.original_word, foil.foil_word))
        assert before[0] == after[0] == foil.kind
        assert before[1] != after[1]
        kinds[foil.kind] += 1
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 20


def test_foils_of_every_kind_can_be_asked_for():
    for kind in KINDS:
        made = 0
        for seed in SEEDS:
            scene, random = sample_scene(seed), Random(seed)
            foil = make_foil(scene, write_caption(scene, random), random, kind)
            if foil:
                assert foil.kind == kind
                made += 1
            if made == 5:
                break
        assert made == 5, kind


def test_captions_vary(triples):
    lengths = Counter(len(caption.words) for _, caption, _ in triples)
    assert set(lengths) <= set(range(4, 16))
    assert len(lengths) >= 9
    assert len({caption.text for _, caption, _ in triples}) > 0.9 * len(triples)
    assert {word for _, caption, _ in triples for word in caption.words} <= set(every_word())


def test_things_lie_inside_the_picture_and_apart(triples):
    for scene, _, _ in triples:
        for thing in scene.things:
            assert thing.radius <= thing.x <= 1 - thing.radius or scene.sort == "two"
            assert 0 < thing.x < 1 and 0 < thing.y < 1
        if scene.sort == "several":
            for a, b in itertools.combinations(scene.things, 2):
                assert math.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius


def digest_of_scenes():
    digest = hashlib.sha256()
    for seed in range(40):
        scene, caption, foil = captioned(seed)
        file = io.BytesIO()
        draw(scene, 96).save(file, "PNG")
        digest.update(file.getvalue() + repr((scene, caption, foil)).encode())
    return digest.hexdigest()


def test_scenes_are_byte_identical_across_processes():
    """Another process, with another hash seed: pictures, scenes, captions and foils are the same bytes."""
    assert made_elsewhere("test_shapes", "digest_of_scenes") == digest_of_scenes()


def test_a_scene_is_the_one_it_has_always_been():
    """The shipped model was trained on these scenes: a change to the generator must be seen."""
    scene = sample_scene(0)
    assert (scene.sort, scene.background, scene.things[0].shape, scene.things[0].colour) == EXPECTED_SCENE_0
    assert write_caption(scene, Random("captions 0")).text == EXPECTED_CAPTION_0


EXPECTED_SCENE_0 = ("one", "wood", "circle", "yellow")
EXPECTED_CAPTION_0 = "a circle on wood"


def test_the_picture_shows_the_colours_said(triples):
    """At the middle of a plain thing that is not beside its edge, the pixel is the thing's colour, but for its tint."""
    from clip4dm.benchmarks.shapes.drawing import COLOUR_RGB

    checked = 0
    for scene, _, _ in triples[:200]:
        for thing in scene.things:
            if scene.sort == "one" and thing.texture == "plain" and thing.shape in ("circle", "square", "heart"):
                pixel = draw(scene, 128).getpixel((round(thing.x * 128), round(thing.y * 128)))
                nearest = min(
                    COLOUR_RGB, key=lambda name: sum((a - b) ** 2 for a, b in zip(COLOUR_RGB[name], pixel, strict=True))
                )
                assert nearest == thing.colour
                checked += 1
    assert checked >= 5


def test_the_benchmark_is_foils_format_and_the_same_each_time(tmp_path):
    from clip4dm.benchmarks import read_benchmark

    make_shapes_benchmark.main([str(tmp_path / "a"), "--pairs", "12"])
    make_shapes_benchmark.main([str(tmp_path / "b"), "--pairs", "12"])
    for name in ("shapes_foil.json", *(f"images/{path.name}" for path in (tmp_path / "a" / "images").iterdir())):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    benchmark, reading = read_benchmark(tmp_path / "a" / "shapes_foil.json")
    assert benchmark.name == "foil"
    assert len(reading.samples) == 24
    for original, foil in (
        itertools.batched(reading.samples, 2)
        if hasattr(itertools, "batched")
        else zip(reading.samples[::2], reading.samples[1::2], strict=True)
    ):
        assert not original.misaligned and foil.misaligned
        ((start, end),) = foil.spans
        assert foil.caption[start:end] == foil.label
        assert original.groups == foil.groups and original.groups["kind"] in KINDS
    make_shapes_benchmark.main([str(tmp_path / "c"), "--pairs", "3", "--kind", "count"])
    assert {sample.groups["kind"] for sample in read_benchmark(tmp_path / "c" / "shapes_foil.json")[1].samples} == {
        "count"
    }
