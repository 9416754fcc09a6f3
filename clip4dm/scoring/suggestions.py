"""Suggestions beside the scores: what is asked for, as a folder's settings say it, and a pair's as a column's value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clip4dm.errors import CLIP4DMError
from clip4dm.files.provenance import fingerprint
from clip4dm.scoring.schema import clean
from clip4dm.suggestion.calibrated import asked_by
from clip4dm.suggestion.open_words import vocabulary_of
from clip4dm.suggestion.result import MIN_GAIN, TOP, Suggestion
from clip4dm.suggestion.suggest import Asked, suggest
from clip4dm.suggestion.vocabulary import Vocabulary, packaged_vocabulary

if TYPE_CHECKING:
    from torch import Tensor

    from clip4dm.calibration.stored import Suggestions
    from clip4dm.detection import Detection, Word
    from clip4dm.detector import CLIP4DM


@dataclass(frozen=True)
class SuggestionSettings:
    """What is suggested for misaligned words. Plain values, which can be sent to another process, the words with them.

    words: a vocabulary, or "clip" for the tokenizer's own words, which only the model knows. top, min_gain, distinct:
    of `suggestion.suggest.Asked`; min_gain None for the calibration's, where there is one for these words.

    >>> drinks = Vocabulary("mine", {"drink": (("tea",), ("coffee",))})
    >>> SuggestionSettings(drinks, top=2).identity()
    {'suggest': 2, 'vocabulary': 'b51aacfbaff2', 'min_gain': 0.0, 'near': False}
    """

    words: Vocabulary | str
    top: int = TOP
    min_gain: float | None = None
    distinct: bool = True

    @staticmethod
    def of(given: SuggestionSettings | int) -> SuggestionSettings:
        """The settings themselves; of a number, so many words of the list that comes along."""
        return given if isinstance(given, SuggestionSettings) else SuggestionSettings(packaged_vocabulary(), given)

    def identity(self, gains: Suggestions | None = None) -> dict[str, Any]:
        """What tells these suggestions from others. Of a vocabulary its words count, not the name of its file.

        gains: the detector's.
        """
        words, min_gain = self.words, self.min_gain
        if isinstance(words, Vocabulary):
            min_gain = asked_by(gains, words, min_gain=min_gain, distinct=self.distinct).min_gain
            words = fingerprint({"groups": list(words.groups.items())})  # in order: of equal gains the first is best
        elif min_gain is None and gains is not None and self.distinct and gains.vocabulary == words:
            min_gain = gains.min_gain  # for the tokenizer's own words, which `asked` alone can hold against their hash
        min_gain = MIN_GAIN if min_gain is None else min_gain
        return {"suggest": self.top, "vocabulary": words, "min_gain": min_gain, "near": not self.distinct}

    def asked(self, detector: CLIP4DM, tell: Callable[[str], None] = lambda line: None) -> Asked:
        """The same for a detector. tell: as of `asked_by`. Errors: InputError, VocabularyError."""
        vocabulary = vocabulary_of(self.words, detector.model.tokenizer, detector.model.tower)
        return asked_by(detector.gains, vocabulary, self.top, self.min_gain, self.distinct, tell)


def suggested(detector: CLIP4DM, feature: Tensor, detection: Detection, asked: Asked) -> list[dict[str, Any]]:
    """The column's value for a pair: of each misaligned word. feature: the picture's, (features,) or (2, features).

    A word for which nothing can be made has the reason; the pair keeps its scores, and its other words theirs.

        suggested(detector, features[0], detection, SuggestionSettings.of(5).asked(detector))
    """
    words = detection.misaligned
    found = _found(detector, feature, detection, words, asked)
    if not isinstance(found, str):
        return found
    values = []
    for word in words:
        alone = found if len(words) == 1 else _found(detector, feature, detection, [word], asked)
        values += [_value(word, reason=alone)] if isinstance(alone, str) else alone
    return values


def _found(
    detector: CLIP4DM, feature: Tensor, detection: Detection, words: Sequence[Word], asked: Asked
) -> list[dict[str, Any]] | str:
    """Of all words, or why there is nothing."""
    try:
        return [_value_of(one) for one in suggest(detector, feature[None], detection, words, asked)] if words else []
    except CLIP4DMError as error:
        return str(error)


def _value_of(found: Suggestion) -> dict[str, Any]:
    return _value(
        found.word,
        [
            {"word": clean(one.word), "caption": clean(one.caption), "gain": one.gain, "fits": one.fits}
            for one in found.replacements
        ],
        found.leave_out.gain if found.leave_out else None,
        found.reason,
    )


def _value(
    word: Word, replacements: Sequence[dict[str, Any]] = (), leave_out: float | None = None, reason: str | None = None
) -> dict[str, Any]:
    return {
        "word": clean(word.text),
        "start": word.start,
        "end": word.end,
        "replacements": list(replacements),
        "leave_out": leave_out,
        "reason": None if reason is None else clean(reason),
    }
