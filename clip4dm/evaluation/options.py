"""What the numbers among the options may be: written once, for every script's command line and for Python.

parser.add_argument("--limit", type=AT_LEAST_ONE)      a usage error in one line
AT_LEAST_ONE.check("limit", options.limit)             the same as an InputError
"""

from __future__ import annotations

import argparse
import math
import operator
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clip4dm.calibration.names import AUTO
from clip4dm.errors import InputError


@dataclass(frozen=True)
class Whole:
    """A whole number from lowest to highest.

    >>> Whole(1, 9)("7"), Whole(1, 9).check("--pairs", 10)
    Traceback (most recent call last):
    clip4dm.errors.InputError: --pairs is 10; it must be a whole number from 1 to 9
    """

    lowest: int
    highest: int

    def __call__(self, text: str) -> int:
        """For argparse."""
        try:
            return self.check("", int(text))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r:.60} is not {self}") from None

    def check(self, name: str, value: Any) -> int:
        """Errors: InputError, also for other types; numpy's whole numbers are fine, true and false are none."""
        try:
            number = None if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = None
        if number is None or not self.lowest <= number <= self.highest:
            raise InputError(f"{name} is {value!r:.60}; it must be {self}")
        return number

    def __str__(self) -> str:
        return f"a whole number from {self.lowest} to {self.highest}"


@dataclass(frozen=True)
class Finite:
    """A finite number from lowest to highest. such_as: an example, for the error. what: what it is a number of.

    >>> Finite("0.001", lowest=0).check("--lr", -1)
    Traceback (most recent call last):
    clip4dm.errors.InputError: --lr is -1; it must be a finite number from 0 on, such as 0.001
    """

    such_as: str
    lowest: float = -math.inf
    highest: float = math.inf
    what: str = "a finite number"

    def __call__(self, text: str) -> float:
        """For argparse."""
        try:
            return self.check("", float(text))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r:.60} is not {self}") from None

    def check(self, name: str, value: Any) -> float:
        """Errors: InputError, also for other types."""
        try:
            number = math.nan if isinstance(value, (bool, str, bytes)) else float(value)
        except (TypeError, OverflowError, ValueError):
            number = math.nan
        if not math.isfinite(number) or not self.lowest <= number <= self.highest:
            raise InputError(f"{name} is {value!r:.60}; it must be {self}")
        return number

    def __str__(self) -> str:
        bound = f" from {self.lowest:g}" if self.lowest > -math.inf else ""
        bound += f" to {self.highest:g}" if self.highest < math.inf else " on" if bound else ""
        return f"{self.what}{bound}, such as {self.such_as}"


@dataclass(frozen=True)
class Threshold:
    """A number, or what to take it from: "auto", the calibration that fits, or a calibration's file.

    >>> threshold = Threshold(Finite("-5e-05"))
    >>> threshold("-1e-5"), threshold("auto"), threshold("mine/fdr.json")
    (-1e-05, 'auto', 'mine/fdr.json')
    """

    number: Finite

    def __call__(self, text: str) -> float | str:
        """For argparse."""
        if self._names(text):
            return text
        try:
            return self.number(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}, nor {AUTO}, nor a calibration's file") from None

    def check(self, name: str, value: Any) -> float | str:
        """Errors: InputError, also for other types."""
        return str(value) if isinstance(value, str) and self._names(value) else self.number.check(name, value)

    @staticmethod
    def _names(text: str) -> bool:
        return text == AUTO or text.lower().endswith(".json")


@dataclass(frozen=True)
class YesNo:
    """True or False, and nothing that merely counts as such.

    >>> YesNo().check("--resume", 1)
    Traceback (most recent call last):
    clip4dm.errors.InputError: --resume is 1; it must be True or False
    """

    def check(self, name: str, value: Any) -> bool:
        """Errors: InputError."""
        if not isinstance(value, bool):
            raise InputError(f"{name} is {value!r:.60}; it must be True or False")
        return value


EPSILON = Finite("-5e-05")
EPSILON_OR_FILE = Threshold(EPSILON)
NOT_NEGATIVE = Finite("0.001", lowest=0)
MARGIN = Finite("0.3", lowest=0, highest=1)
SHARE = Finite("0.5", lowest=0, highest=1)
GAIN = Finite("0.01", lowest=0, highest=1)  # of the cosine, by another word
WEIGHT = Finite("12.5", lowest=0)  # of a score, in cosines an attribution
AT_LEAST_ONE = Whole(1, 2**31 - 1)  # samples, pairs, images a block, captions a batch, steps, rounds, widths
COPIES = Whole(0, 10_000)  # of a picture, masked; 0: it is taken as it is
PROCESSES = Whole(0, 1024)  # of decoding; 0: this one
THREADS = Whole(1, 1024)
SEED = Whole(0, 2**63 - 1)
PIXELS = Whole(8, 8192)  # a side of a drawn picture
PORT = Whole(1, 65_535)
YES_NO = YesNo()

NEGATIVE = ("--epsilon", "--f_clip_score_above")  # options whose numbers are negative, usually
IMAGES_PER_BLOCK = 32  # usually; a block is what an interruption may cost


def arguments(argv: Sequence[str] | None) -> list[str]:
    """The command line, "--epsilon -1e-5" as "--epsilon=-1e-5": argparse takes -1e-5 for an option of its own.

    So with the other options of NEGATIVE.

    argv: None for the program's own.

    >>> arguments(["--epsilon", "-1e-5", "--limit", "3"])
    ['--epsilon=-1e-5', '--limit', '3']
    """
    joined: list[str] = []
    for text in sys.argv[1:] if argv is None else argv:
        if joined and joined[-1] in NEGATIVE and re.match(r"-(\d|\.\d|inf|nan)", text, re.IGNORECASE):
            joined[-1] += f"={text}"
        else:
            joined.append(text)
    return joined


def batch_size(text: str) -> int | None:
    """For argparse: a number, or auto (None).

    >>> batch_size("64"), batch_size("auto")
    (64, None)
    """
    return None if text == "auto" else AT_LEAST_ONE(text)


def boolean(text: str) -> bool:
    """For argparse: True, False, yes, no, 1 or 0.

    >>> boolean("yes"), boolean("False")
    (True, False)
    """
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return values[text.lower()]
