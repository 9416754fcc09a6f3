"""Suggestions as a report shows them: of a folder of scores from its column, of a run of main.py from a file beside it.

Both may come from anywhere: what is not as it should be is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clip4dm.evaluation.store.runfiles import SUGGESTIONS
from clip4dm.files.reading import FileError, check_regular, is_number, parse_json

MOST_WORDS, MOST = 8, 5  # words of a pair and replacements of a word, of those that are read


@dataclass(frozen=True)
class Instead:
    """A word that could stand there. fits: whether the new caption has no misaligned word; None where nobody said.

    >>> Instead("coffee", 0.041).fits is None
    True
    """

    word: str
    gain: float
    caption: str = ""
    fits: bool | None = None


@dataclass(frozen=True)
class Suggested:
    """Of a word of a caption. leave_out: the gain without it. reason: why there is nothing, or less.

    >>> Suggested("coke", (Instead("coffee", 0.041),)).leave_out is None
    True
    """

    word: str
    instead: tuple[Instead, ...]
    leave_out: float | None = None
    reason: str | None = None


def of_column(value: Any) -> tuple[Suggested, ...]:
    """A row's cell in the column `suggestions`.

    >>> cell = {"word": "coke", "replacements": [{"word": "tea", "caption": "a tea", "gain": 0.02, "fits": True}]}
    >>> of_column([cell, 7])
    (Suggested(word='coke', instead=(Instead(word='tea', gain=0.02, caption='a tea', fits=True),), leave_out=None, ...
    """
    found = []
    for one in _objects(value):
        if not isinstance(one.get("word"), str):
            continue
        instead = tuple(
            Instead(new["word"], new["gain"], str(new.get("caption") or ""), _truth(new.get("fits")))
            for new in _objects(one.get("replacements"))
            if isinstance(new.get("word"), str) and _is_gain(new.get("gain"))
        )
        without, reason = one.get("leave_out"), one.get("reason")
        found.append(
            Suggested(
                one["word"],
                instead[:MOST],
                without if _is_gain(without) else None,
                reason if isinstance(reason, str) else None,
            )
        )
    return tuple(found[:MOST_WORDS])


@dataclass(frozen=True)
class RunSuggestions:
    """What a run's file says, by samples' ids. amiss: what could not be read.

    read_run_suggestions(Path("output/foil/ViT-B-32-openai/SETTINGS")).of("7-foil")
    """

    lines: Mapping[str, bytes] = field(default_factory=dict)
    amiss: str | None = None

    def of(self, sample: str) -> tuple[Suggested, ...]:
        """A sample's, by the list of candidates that its first line is of."""
        return tuple(
            _of_line(content) for content in map(_content, self.lines.get(sample, b"").splitlines()) if content
        )


def read_run_suggestions(folder: Path) -> RunSuggestions:
    """A run's suggestions.jsonl; nothing where it has none. Lines that are none cost themselves alone.

    read_run_suggestions(Path("output/foil/ViT-B-32-openai/SETTINGS")).amiss
    """
    path = folder / SUGGESTIONS
    if not path.exists():
        return RunSuggestions()
    lines: dict[str, bytes] = {}
    lists: dict[str, str] = {}
    damaged = 0
    try:
        check_regular(path)
        with open(path, "rb") as file:
            for line in file:
                content = _content(line)
                if content is None:
                    damaged += line.endswith(b"\n")  # else it is the last, of a run that was ended
                    continue
                sample = content["id"]
                if lists.setdefault(sample, content["list"]) == content["list"]:
                    lines[sample] = lines.get(sample, b"") + line
    except (FileError, OSError) as error:
        return RunSuggestions(amiss=f"the suggestions cannot be read: {error}")
    return RunSuggestions(lines, f"{damaged:,} lines of {SUGGESTIONS} are no suggestions" if damaged else None)


def _content(line: bytes) -> dict[str, Any] | None:
    """A line's object with what is used of it; None for anything else."""
    try:
        content = parse_json(line.decode("utf-8", "surrogatepass"))
    except ValueError:  # no UTF-8, no JSON
        return None
    if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in ("id", "word", "list")):
        return None
    return content if isinstance(content.get("top"), list) else None


def _of_line(content: Mapping[str, Any]) -> Suggested:
    top = [one for one in content["top"] if isinstance(one, list) and len(one) == 2]
    found = [Instead(word, gain) for word, gain in top if isinstance(word, str) and _is_gain(gain)]
    return Suggested(content["word"], tuple(found[:MOST]))


def _objects(value: Any) -> Iterable[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, Sequence) else ()


def _is_gain(value: Any) -> bool:
    return is_number(value) and -2 <= value <= 2  # of a cosine


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
