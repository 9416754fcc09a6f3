"""Articles, plurals, inflections and capitals: against lists written by hand, and no error whatever the string."""

from __future__ import annotations

import string
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clip4dm.suggestion import english
from clip4dm.suggestion.english import article, like_case, plural, same_word, singular
from clip4dm.suggestion.vocabulary import packaged_vocabulary

# Any text, and what looks like English: inflect tells words by their letters and endings.
TEXT = st.one_of(
    st.text(max_size=30),
    st.text(string.ascii_letters + "'’-. 8éßİǅœ犬\n\t\0", max_size=12),
    st.tuples(
        st.sampled_from(["", "a", "M", "hot ", "bus", "über", "8", "犬", "-", "I", "ſ", "ﬁ", "qu", "'"]),
        st.sampled_from(
            ["s", "es", "ies", "us", "is", "ing", "ed", "'s", "man", "MEN", " of ", "-in-law", "ves", "ss", ""]
        ),
    ).map("".join),
)
GROUPS_WITHOUT_PLURAL = (
    "action",
    "colour",
    "size",
    "count",
    "pattern",
    "weather",
    "relation",
    "position",
    "state",
    "mood",
)


def nouns() -> list[str]:
    """The packaged words of groups of things."""
    known = packaged_vocabulary()
    return list(known.of_groups([group for group in known.groups if group not in GROUPS_WITHOUT_PLURAL]))


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("an", "apple egg Orange umbrella hour honest heir hourglass MRI SUV suv FBI LED LCD mri X-ray x-ray f-16 nfl"),
        ("an", "8 11 18 80 800 8,000 11000 18th 80s 8-ball island unopened uninteresting ugly 'apple' (apple) m&m"),
        ("an", "élan Ônibus œuvre ökonom e-bike iPhone ice-cream ISLAND"),
        ("a", "dog unicorn uniform university European ukulele one one-way once euro used UFO UK US u-turn USB tv TV"),
        ("a", "1 7 10 110 1100 180 108 1800 9 0 house yak SKY FLY STROLLER Mr t-shirt y-shaped piñata"),
        ("a", "犬 может ... - ' 可乐"),
    ],
)
def test_articles(expected, words):
    assert {word: article(word) for word in words.split()} == dict.fromkeys(words.split(), expected)


def test_of_several_words_the_first_has_the_article():
    assert [article(words) for words in ("old dog", "hour of need", "small umbrella", ' "open door"', "", "  ")] == [
        *("an", "an", "a", "an", "a", "a")
    ]


def test_articles_of_the_packaged_words():
    """By the first letter, but for these."""
    known = [word for word in packaged_vocabulary().words if (article(word) == "an") != (word[0] in "aeiou")]
    assert known == ["uniform", "ukulele", "unicorn", "one"]


PLURALS = """
dog dogs, bus buses, glass glasses, box boxes, brush brushes, watch watches, baby babies, monkey monkeys, leaf leaves,
knife knives, roof roofs, potato potatoes, photo photos, man men, woman women, snowman snowmen, child children,
person people, foot feet, tooth teeth, goose geese, mouse mice, ox oxen, sheep sheep, fish fish, deer deer, lens lenses,
gas gases, canvas canvases, thermos thermoses, octopus octopuses, cactus cactuses, menu menus, taxi taxis, kiwi kiwis,
ski skis, shoe shoes, cookie cookies, movie movies, selfie selfies, smoothie smoothies, tie ties, lady ladies, axe axes,
horse horses, house houses, quiz quizzes, canoe canoes, wolf wolves, scarf scarves, jeans jeans, scissors scissors,
t-shirt t-shirts, merry-go-round merry-go-rounds, café cafés, Dog Dogs, TV TVs, MRI MRIs, iPhone iPhones, Man Men,
HOUSE HOUSES, MAN MEN, rhino rhinos, plus pluses, heart hearts, cross crosses
"""
PHRASES = [
    ("hot dog", "hot dogs"),
    ("fire hydrant", "fire hydrants"),
    ("cup of coffee", "cups of coffee"),
    ("man in a hat", "men in a hat"),
    ("bus  stop", "bus  stops"),
    ("bus of tourists", "buses of tourists"),
    ("wine glass", "wine glasses"),
]


@pytest.mark.parametrize(
    ("one", "many"), [tuple(pair.split()) for pair in PLURALS.replace("\n", " ").split(",")] + PHRASES
)
def test_plurals_and_back(one, many):
    assert plural(one) == many and singular(many) == one
    assert plural(many) == many
    assert singular(one) == (one if one == many else None)


def test_other_plurals():
    assert [singular(many) for many in ("fishes", "DOGS", "HOT DOGS", "lightnings")] == [
        "fish",
        "DOG",
        "HOT DOG",
        "lightning",
    ]
    assert [plural(word) for word in ("8", "犬", "", "dog's", "--", "golf", "tennis", "us")] == [
        *("8s", "犬", "", "dog's", "--", "golf", "tennis", "us")
    ]


@pytest.mark.parametrize(
    "words",
    [
        "bus glass grass dress cross chess lens gas canvas tennis iris cactus walrus octopus this is his was has us its as",
        "always perhaps red riding 8 犬 tv we they it I Christmas Paris plus princess mattress compass s ss dog's --",
    ],
)
def test_what_is_no_plural(words):
    assert {word: singular(word) for word in words.split()} == dict.fromkeys(words.split())


def test_every_packaged_noun_has_a_plural_that_leads_back():
    """But for what is not counted, or is no thing."""
    alone = [word for word in nouns() if singular(word) is None and singular(plural(word)) != word]
    assert alone == [
        *("butter", "peanut butter", "jewelry", "luggage", "tennis", "golf", "gymnastics", "chess", "money"),
        *("outdoors", "indoors"),
    ]


@pytest.mark.parametrize(
    "forms",
    [
        "dog dogs Dog DOGS dog's dogs'",
        "man men man's",
        "leaf leaves",
        "ride rides riding rode ridden",
        "sit sits sitting sat",
        "swim swims swimming swam swum",
        "run runs running ran",
        "carry carries carrying carried",
        "play plays playing played",
        "lie lies lying lay",
        "tie ties tying tied",
        "skate skates skating skated",
        "jump jumps jumping jumped",
        "hop hops hopping hopped",
        "squat squats squatting squatted",
        "travel traveling travelling traveled travelled",
        "picnic picnics picnicking picnicked",
        "kayak kayaks kayaking kayaked",
        "ski skis skiing skied",
        "burn burns burning burnt burned",
        "see sees seeing saw seen",
        "go goes going went gone",
        "be is are was been being",
        "have has having had",
        "watch watches watching watched",
        "kiss kisses kissing kissed",
        "dye dyes dyeing dyed",
        "person people",
    ],
)
def test_inflections_are_one_word(forms):
    first, *others = forms.split()
    for other in others:
        assert same_word(first, other) and same_word(other, first), other
    assert all(same_word(one, other) for one in others for other in others if {one, other} != {"lay", "lies"})


@pytest.mark.parametrize(
    "pair",
    [
        *(
            "dog cat",
            "bed be",
            "red re",
            "thing the",
            "king k",
            "ring r",
            "earring ear",
            "herring her",
            "seed see",
            "weed we",
        ),
        *(
            "bring br",
            "bus bu",
            "grass gras",
            "his hi",
            "this thi",
            "hoping hopping",
            "planing planning",
            "starring staring",
        ),
        *(
            "big bigger",
            "rider ride",
            "sleepy sleep",
            "gray grey",
            "evening even",
            "hundred hundr",
            "feed fee",
            "bird bed",
        ),
        *("wing we", "shed she", "left right", "man woman", "one two", "dog dog-house", "犬 猫", "a an"),
    ],
)
def test_others_are_not(pair):
    one, other = pair.split()
    assert not same_word(one, other) and not same_word(other, one)


def test_words_of_several_words():
    assert same_word("Hot dogs", "hot  dog") and same_word("riding a horse", "rides a horse")
    assert not same_word("a" * 70, "a" * 71) and same_word("A" * 71, "a" * 71)
    assert not same_word("hot dog", "dog") and not same_word("hot dog", "hot cat")


@pytest.mark.parametrize(
    ("word", "model", "expected"),
    [
        ("coffee", "coke", "coffee"),
        ("coffee", "Coke", "Coffee"),
        ("coffee", "COKE", "COFFEE"),
        ("hot dog", "COKE", "HOT DOG"),
        ("hot dog", "Coke", "Hot dog"),
        ("coffee", "I", "Coffee"),
        ("an", "A", "An"),
        ("coffee", "T-shirt", "Coffee"),
        ("coffee", "McDonald", "Coffee"),
        ("coffee", "iPhone", "coffee"),
        ("iPhone", "Coke", "iPhone"),
        ("iPhone", "coke", "iPhone"),
        ("iPhone", "COKE", "IPHONE"),
        ("MRI", "Coke", "MRI"),
        ("Eiffel Tower", "tower", "Eiffel Tower"),
        ("coffee", '"Coke', "Coffee"),
        ('"coffee"', "Coke", '"Coffee"'),
        ("coffee", "8", "coffee"),
        ("coffee", "3D", "coffee"),
        ("8 cups", "Coke", "8 cups"),
        ("coffee", "可乐", "coffee"),
        ("咖啡", "COKE", "咖啡"),
        ("coffee", "", "coffee"),
        ("", "Coke", ""),
        ("straße", "COKE", "STRASSE"),
        ("ǆ", "Coke", "ǅ"),
        ("éclair", "Ôle", "Éclair"),
        ("кофе", "Кола", "Кофе"),
        ("coffee", "TVs", "Coffee"),
    ],
)
def test_capitals(word, model, expected):
    assert like_case(word, model) == expected


@settings(max_examples=400, deadline=None)  # the library's import, and other work on the machine
@given(word=TEXT, other=TEXT)
@example(word="\n", other=" ")
@example(word="s" * 5000, other="ing" * 5000)
def test_no_string_is_an_error(word, other):
    assert article(word) in ("a", "an")
    many, one = plural(word), singular(word)
    assert isinstance(many, str) and (one is None or isinstance(one, str))
    assert same_word(word, word) and same_word(word, word.casefold())
    assert same_word(word, other) == same_word(other, word)
    assert like_case(word, other).upper() == word.upper()
    assert like_case(word, word.lower()) == word or any(c.isupper() for c in word.lower())


def test_plurals_of_packaged_nouns_are_the_same_word():
    assert not [word for word in nouns() if not same_word(word, plural(word)) or plural(plural(word)) != plural(word)]


def test_capitals_of_packaged_words():
    for word in packaged_vocabulary().words:
        assert like_case(word, "COKE") == word.upper() and like_case(word, "Coke") == word.capitalize()
        assert article(word.upper()) == article(word) and article(word.capitalize()) == article(word)


def test_the_library_waits_until_it_is_asked():
    """It takes a third of a second."""
    code = "import clip4dm.suggestion.english, clip4dm.suggestion.vocabulary, sys; print('inflect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_each_word_is_asked_for_once():
    english._plural.cache_clear()
    assert [plural("lantern") for _ in range(3)] == ["lanterns"] * 3
    assert english._plural.cache_info().misses == 1
