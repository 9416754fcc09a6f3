"""The English of exchanging a word: articles, numbers of nouns, inflections, capitals. Never an error, whatever string.

Plurals and articles are those of the library inflect, with its known slips mended here: it takes every -s for a
plural's ("bus" for that of "bu"), and wants letters. Verbs are by rule and by a table of those that have none.
What nothing here reaches: degrees (bigger), nouns and adjectives made of verbs but by -ing and -ed (rider, sleepy),
spellings (grey, gray: synonyms of the vocabulary), and which of its meanings a form has ("saw" is of "see" too).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal

from clip4dm.suggestion.irregular import (
    ENDS_IN_IE,
    ENDS_IN_S,
    ENDS_IN_U_OR_I,
    IRREGULAR_VERBS,
    NO_NOUNS,
    NO_VERB_FORMS,
    PAIRS,
    READ_AS_WORDS,
    SPELLED_OUT,
    UNCOUNTED,
)
from clip4dm.suggestion.vocabulary import packaged_vocabulary

if TYPE_CHECKING:
    import inflect

_CACHED = 1 << 16  # words; what is asked once is asked for every caption
_LONGEST = 60  # letters of what is looked at as one English word; longer ones are left as they are

_FIRST = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_NOUN = re.compile(rf"(?=.{{1,{_LONGEST}}}\Z)[A-Za-zÀ-ÖØ-öø-ž]+(?:-[A-Za-zÀ-ÖØ-öø-ž]+)*")
# A phrase up to its noun, the noun, and what follows it: "two | cups | of coffee".
_PHRASE = re.compile(r"(.*?)([^\s]+)(\s+(?:of|in|on|at|with|without|for|from|to|by|under|behind)\s.*)?", re.DOTALL)


def article(word: str) -> Literal["a", "an"]:
    """The indefinite article before a word; of several words the first decides, of several readings the usual one.

    >>> [article(word) for word in ("hour", "unicorn", "MRI", "8", "18th", "80s", "orange car", "'apple'")]
    ['an', 'a', 'an', 'an', 'an', 'an', 'an', 'an']
    """
    found = _FIRST.search(word)
    return _article(found.group()[:_LONGEST]) if found else "a"


def plural(word: str) -> str:
    """A noun for several things: the last word's, or that before a preposition. Plurals and pronouns stay.

    >>> [plural(word) for word in ("dog", "fire hydrant", "glass of milk", "sheep", "TV", "dogs", "jeans")]
    ['dogs', 'fire hydrants', 'glasses of milk', 'sheep', 'TVs', 'dogs', 'jeans']
    """
    before, noun, after = _split(word)
    if noun.isascii() and noun.isdigit() and len(noun) <= _LONGEST:
        return f"{before}{noun}s{after}"
    return before + _plural(noun) + after if _NOUN.fullmatch(noun) else word


def singular(word: str) -> str | None:
    """The noun for one of the things that a plural names; None for what is no plural.

    What has one form for both (sheep, jeans) is its own singular.

    >>> [singular(word) for word in ("dogs", "glasses of milk", "people", "sheep", "bus", "grass")]
    ['dog', 'glass of milk', 'person', 'sheep', None, None]
    """
    before, noun, after = _split(word)
    one = _singular(noun) if _NOUN.fullmatch(noun) else None
    return None if one is None else before + one + after


def same_word(a: str, b: str) -> bool:
    """Whether two words are inflections of each other, case aside: of several words, each of its like.

    >>> same_word("Dogs", "dog"), same_word("riding", "rode"), same_word("hot dogs", "hot dog"), same_word("bed", "be")
    (True, True, True, False)
    """
    mine, other = a.casefold().split(), b.casefold().split()
    return len(mine) == len(other) and all(
        one == two or (max(len(one), len(two)) <= _LONGEST and not _bases(one).isdisjoint(_bases(two)))
        for one, two in zip(mine, other, strict=True)
    )


def like_case(word: str, model: str) -> str:
    """A word with the capitals of the one it replaces: all, the first letter's, or its own.

    A model of one capital alone ("A", "I") has a capital first letter, and one that begins small ("iPhone") or has no
    cases has none to give. No capital of the word's own is taken away.

    >>> [like_case("coffee", model) for model in ("coke", "Coke", "COKE", "I", "iPhone", "可乐")]
    ['coffee', 'Coffee', 'COFFEE', 'Coffee', 'coffee', 'coffee']
    """
    cased = [c for c in model if c.isupper() or c.istitle() or c.islower()]
    if len(cased) > 1 and all(c.isupper() for c in cased):
        return word.upper()
    first, begin = _first_letter(model), _first_letter(word)
    if first is None or begin is None or not (model[first].isupper() or model[first].istitle()):
        return word
    if any(c.isupper() for c in word):  # it has capitals of its own: iPhone, MRI
        return word
    return word[:begin] + word[begin].title() + word[begin + 1 :]


def _first_letter(word: str) -> int | None:
    """Where the first letter or digit stands."""
    return next((place for place, c in enumerate(word) if c.isalnum()), None)


def _split(word: str) -> tuple[str, str, str]:
    """A phrase as what stands before its noun, the noun and what follows."""
    match = _PHRASE.fullmatch(word)
    return (match[1], match[2], match[3] or "") if match else ("", word, "")


@cache
def _engine() -> inflect.engine:
    import inflect  # a third of a second, which those who suggest nothing need not wait

    return inflect.engine()


@lru_cache(_CACHED)
def _article(word: str) -> Literal["a", "an"]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    plain = plain.replace("œ", "oe").replace("Œ", "Oe").replace("æ", "ae").replace("Æ", "Ae")
    if digits := re.match(r"[0-9]+", plain):
        first = digits.group()[: (digits.end() - 1) % 3 + 1]  # as it is spoken: 11,000 is eleven thousand
        return "an" if first[0] == "8" or first in ("11", "18") else "a"
    letters = re.match(r"[A-Za-z]+", plain)
    if letters is None:
        return "a"
    low = letters.group().lower()
    if low in SPELLED_OUT or (low not in READ_AS_WORDS and not set(low) & set("aeiouy")):
        return "an" if low[0] in "fhlmnrsx" else "a"
    # Of words in capitals inflect takes some for abbreviations: right of FBI, wrong of STROLLER.
    short = len(low) <= 4 and not packaged_vocabulary().groups_of(low)
    return "an" if _engine().a(letters.group() if short else low).startswith("an ") else "a"


@lru_cache(_CACHED)
def _plural(noun: str) -> str:
    low = noun.lower()
    if low in NO_NOUNS | UNCOUNTED or _singular(noun) is not None:
        return noun
    many = low + "es" if low in ENDS_IN_S else str(_engine().plural_noun(low))
    if many.startswith(low):
        short = len(noun) <= 3 or not noun.isupper()  # TV: TVs, but BUS STOP: BUS STOPS
        return noun + (many[len(low) :] if short else many[len(low) :].upper())
    return like_case(many, noun)


@lru_cache(_CACHED)
def _singular(noun: str) -> str | None:
    low = noun.lower()
    if low in PAIRS:
        return noun
    if noun.endswith("s") and noun[:-1].isupper() and len(noun) > 2:  # MRIs
        return noun[:-1]
    one = _one_of(low)
    if one is None or one == low:
        return None if one is None else noun
    return noun[: len(one)] if noun[: len(one)].lower() == one else like_case(one, noun)


def _one_of(low: str) -> str | None:
    """The singular of a noun in small letters."""
    if low in NO_NOUNS | UNCOUNTED | ENDS_IN_S or low.endswith("ss") or len(low) < 3:
        return None
    if low.endswith("s"):
        if low[:-2] in ENDS_IN_S:
            return low[:-2]
        if low[:-1] in ENDS_IN_IE or packaged_vocabulary().groups_of(low[:-1]):
            return low[:-1]
        if low.endswith(("us", "is")):
            return low[:-1] if low[:-1] in ENDS_IN_U_OR_I else None
    return _engine().singular_noun(low) or None


@lru_cache(_CACHED)
def _bases(word: str) -> frozenset[str]:
    """The words that a word may be an inflection of, itself among them. word: in small letters."""
    word = re.sub(r"['’]s?\Z", "", word) or word
    found = {word}
    if _NOUN.fullmatch(word):
        found |= _irregular().get(word, frozenset())
        if (one := _singular(word)) is not None:
            found.add(one)
        if word not in NO_VERB_FORMS:
            found |= {base for base in _stems(word) if word in _forms(base)}
    return frozenset(found)


@cache
def _irregular() -> dict[str, frozenset[str]]:
    """Forms of the table -> what they are forms of: "saw" of two verbs."""
    found: dict[str, frozenset[str]] = {}
    for base, *forms in map(str.split, IRREGULAR_VERBS.split(";")):
        for form in (base, *forms):
            found[form] = found.get(form, frozenset()) | {base}
    return found


@cache
def _irregular_bases() -> frozenset[str]:
    return frozenset(line.split()[0] for line in IRREGULAR_VERBS.split(";"))


def _stems(word: str) -> set[str]:
    """What a word may be an -ing or -ed form of, more than it is."""
    found: set[str] = set()
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and re.search("[aeiouy]", stem):
            found |= {stem, stem + "e", stem[:-1]}  # wait-ing, rid-ing, swimm-ing
            found |= {stem[:-1] + "y", stem[:-1] + "ie", stem.removesuffix("k")}  # carri-ed, ly-ing, picnick-ed
    return {stem for stem in found if len(stem) > 2 or stem in _irregular_bases()}


@lru_cache(_CACHED)
def _forms(base: str) -> frozenset[str]:
    """A verb's forms in -ing and -ed by the rules; irregular ones have no -ed."""
    stems = {base}
    sounds = base.replace("qu", "qw")
    if re.fullmatch(r".*[^aeiou][aeiou][^aeioucwxy]", sounds):  # swim, and travel with one l or two
        stems = {base + base[-1]} | ({base} if len(re.findall("[aeiou]+", sounds)) > 1 else set())
    elif base.endswith("c"):
        stems = {base + "k"}
    continuous = {stem + "ing" for stem in stems}
    if base.endswith("ie"):
        continuous = {base[:-2] + "ying"}
    elif base.endswith("e") and not base.endswith(("ee", "oe", "ye")) and base != "be":
        continuous = {base[:-1] + "ing"}
    if base in _irregular_bases():
        return frozenset(continuous)
    past = {stem + "ed" for stem in stems}
    if base.endswith("e"):
        past = {base + "d"}
    elif re.search("[^aeiou]y\\Z", base):
        past = {base[:-1] + "ied"}
    return frozenset(continuous | past)
