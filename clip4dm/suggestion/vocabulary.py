"""Words to choose from, in groups: read from a file, and looked up by group and by meaning.

A file has the form of words.txt, the list that comes along: "[group]" heads a group, entries are parted by commas or
line ends, words of one meaning in an entry by " = ", and what follows a # at a line's beginning or behind white space
is a remark. A file without heads is one group without a name: so any list of words, one a line, is such a file. It may
come from anywhere; what cannot be shown or tried as a word is refused with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from clip4dm.errors import CLIP4DMError
from clip4dm.files.reading import FileError, check_regular, read_text

MOST_WORDS = 1_000_000  # distinct ones
LONGEST_WORD = 100  # characters; no word of any language that has blanks is longer, and CLIP reads 77 tokens
LARGEST_FILE = 64 << 20  # bytes

_REMARK = re.compile(r"(?:^|\s)#.*")
_SAME = re.compile(r"(?:^|(?<=\s))=(?=\s|$)")
# Whatever a terminal or a page would act on and not show: C0 and C1 but for the tab, separators of lines, marks that
# turn the direction of writing, blanks and hyphens of no width, tags. Joiners stay: Persian words and emoji have them.
_CONTROL = re.compile(
    "[\0-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


class VocabularyError(CLIP4DMError, ValueError):
    """A list of words that cannot be read: which file, which line and why, in one line."""


@dataclass(frozen=True)
class Vocabulary:
    """Words in groups. groups: group -> entries -> words of one meaning, spelled as they are to be shown.

    A word may be in several groups. Look-ups go by the word's letters, whatever their case; the first of each kind
    passes over all words, the others take no time.

    >>> known = Vocabulary("small", {"seat": (("sofa", "couch"), ("chair",)), "trainer": (("coach",),)})
    >>> known.words, known.groups_of("Couch"), known.synonyms("sofa")
    (('sofa', 'couch', 'chair', 'coach'), ('seat',), frozenset({'couch'}))
    """

    name: str
    groups: Mapping[str, tuple[tuple[str, ...], ...]]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """All distinct words, in order, each as it is first spelled."""
        return self.of_groups(self.groups)

    def groups_of(self, word: str) -> tuple[str, ...]:
        """The groups that a word is in, in order; none for a word that is not in the vocabulary."""
        return tuple(self._groups_of.get(_key(word), ()))

    def of_groups(self, names: Iterable[str]) -> tuple[str, ...]:
        """The distinct words of some groups, in order. Names of no group bring no words."""
        entries = (entry for name in names for entry in self.groups.get(name, ()))
        distinct: dict[str, str] = {}
        for entry in entries:
            for word in entry:
                distinct.setdefault(_key(word), word)
        return tuple(distinct.values())

    def synonyms(self, word: str) -> frozenset[str]:
        """The words that share an entry with it, in any group, without itself."""
        key = _key(word)
        return frozenset(other for entry in self._entries_of.get(key, ()) for other in entry if _key(other) != key)

    @cached_property
    def _groups_of(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for group, entries in self.groups.items():
            alone = [group]  # one list for all words of this group alone
            for word in (_key(word) for entry in entries for word in entry):
                known = found.setdefault(word, alone)
                if known[-1] == group:
                    continue
                if len(known) == 1:
                    found[word] = [*known, group]
                else:
                    known.append(group)
        return found

    @cached_property
    def _entries_of(self) -> dict[str, list[tuple[str, ...]]]:
        """Of words of one meaning. Not the synonyms themselves, which are as many as the entry's words, squared."""
        found: dict[str, list[tuple[str, ...]]] = {}
        for entry in (entry for entries in self.groups.values() for entry in entries if len(entry) > 1):
            for word in entry:
                found.setdefault(_key(word), []).append(entry)
        return found


def read_vocabulary(path: Path) -> Vocabulary:
    """A file's words; its name is the file's. UTF-8 with or without a byte order mark, and any line ends.

    White space within a word becomes one blank; entries that were there before in the same group are dropped. Errors:
    VocabularyError for what is no regular file or larger than LARGEST_FILE, no UTF-8, a control character in a word,
    a word of more than LONGEST_WORD characters, more than MOST_WORDS words, a head without a name, no word at all.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mine.txt"; _ = path.write_text("[drink]\\ncoffee, coke = cola  # sweet\\n")
    >>> read_vocabulary(path).groups
    {'drink': (('coffee',), ('coke', 'cola'))}
    """
    groups: dict[str, dict[tuple[str, ...], tuple[str, ...]]] = {}  # entries by their keys, in order
    words: set[str] = set()
    group = ""
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        line = _shown(line, where).strip()
        if line.startswith("[") and line.endswith("]"):
            group = _word(line[1:-1], where)
            if not group:
                raise VocabularyError(f"{where}: the head of a group without a name")
            continue
        for text in line.split(","):
            entry: dict[str, str] = {}
            for word in filter(None, (_word(part, where) for part in _SAME.split(text))):
                entry.setdefault(_key(word), word)  # the first spelling
            if entry:
                groups.setdefault(group, {}).setdefault(tuple(entry), tuple(entry.values()))
                words.update(entry)
        if len(words) > MOST_WORDS:
            raise VocabularyError(f"{where}: more than {MOST_WORDS:,} words; is it the right file?")
    if not words:
        raise VocabularyError(f"{path} has no word in it: one a line is wanted, or as many as you like between commas")
    return Vocabulary(path.name, {name: tuple(entries.values()) for name, entries in groups.items()})


@cache
def packaged_vocabulary() -> Vocabulary:
    """The list that comes along: some 2,000 plain words for what pictures show, in groups; called "packaged".

    >>> packaged_vocabulary().groups_of("orange")
    ('fruit', 'colour')
    """
    return replace(read_vocabulary(Path(__file__).with_name("words.txt")), name="packaged")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, from 1. Only what ends a line everywhere ends one here: CR, LF or both."""
    try:
        check_regular(path, LARGEST_FILE)
        text = read_text(path)
    except FileError as error:
        raise VocabularyError(str(error)) from None
    yield from enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1)


def _shown(line: str, where: str) -> str:
    """A line without its remark. Errors: VocabularyError for control characters in the rest."""
    line = _REMARK.sub("", line) if "#" in line else line
    if wrong := _CONTROL.search(line):
        code = ord(wrong.group())
        raise VocabularyError(f"{where}: a control character, U+{code:04X}, in a word; is it a list of words?")
    return line


def _word(text: str, where: str) -> str:
    """A word with its white space in order. Errors: VocabularyError for one that is too long."""
    word = " ".join(text.split())
    if len(word) > LONGEST_WORD:
        raise VocabularyError(
            f"{where}: a word of {len(word)} characters, more than {LONGEST_WORD}: {word[:30]}...; words are parted by "
            "commas or line ends"
        )
    return word


def _key(word: str) -> str:
    """What look-ups go by. The word itself where it is that, so that a million words are not kept twice."""
    key = " ".join(word.split()).casefold()
    return word if key == word else key
