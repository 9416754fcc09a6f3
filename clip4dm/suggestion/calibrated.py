"""What is asked for where a calibration has seen suggestions: its least gain, and its probabilities.

Both hold for the words that it was made with, which are told by their hash, and for what a user is shown unasked: for
the words that the detector calls, without inflections and words of one meaning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from clip4dm.calibration.stored import Suggestions
from clip4dm.suggestion.result import MIN_GAIN, TOP
from clip4dm.suggestion.suggest import Asked
from clip4dm.suggestion.vocabulary import Vocabulary


def vocabulary_sha256(vocabulary: Vocabulary) -> str:
    """Of its groups with their words, in order; its name has no part in it.

    >>> one, other = (Vocabulary(name, {"": (("tea",),)}) for name in ("one", "other"))
    >>> vocabulary_sha256(one) == vocabulary_sha256(other), vocabulary_sha256(one)[:8]
    (True, '954c15ba')
    """
    text = json.dumps(list(vocabulary.groups.items()), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def asked_by(
    gains: Suggestions | None,
    vocabulary: Vocabulary,
    top: int = TOP,
    min_gain: float | None = None,
    distinct: bool = True,
    tell: Callable[[str], None] = lambda line: None,
) -> Asked:
    """gains: of a calibration, `detector.gains`. min_gain: None for the calibration's, without one for MIN_GAIN.

    tell: takes a line where there is a calibration of suggestions that is not for these. Errors: InputError.

    >>> drinks = Vocabulary("drinks", {"": (("tea",), ("coffee",))})
    >>> asked_by(None, drinks).min_gain, asked_by(None, drinks, min_gain=0.01).min_gain
    (0.0, 0.01)
    """
    curve = None
    if gains is not None:
        why = _why_not(gains, vocabulary, distinct)
        if why is None:
            min_gain, curve = gains.min_gain if min_gain is None else min_gain, gains.curve
        else:
            tell(f"the calibration knows nothing of {why}: suggestions are without a promise")
    return Asked(vocabulary, top, MIN_GAIN if min_gain is None else min_gain, distinct, curve)


def _why_not(gains: Suggestions, vocabulary: Vocabulary, distinct: bool) -> str | None:
    if not distinct:
        return "inflections, and words of one meaning"
    if gains.sha256 != vocabulary_sha256(vocabulary):
        return f"these words ({vocabulary.name!r:.60}), but of {gains.vocabulary!r:.60} with hash {gains.sha256[:12]}"
    return None
