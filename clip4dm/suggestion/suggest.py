"""From a word that is not true of an image to words that fit better: every candidate's caption is read.

    gain = s(caption with the candidate) - s(caption)

Exact for up to EXACT candidates; of longer lists those that `shortlist` finds are read. Candidates of the word's own
group come first; those of others are asked where none of its own gains anything. The image is encoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple, Protocol

from clip4dm.calibration.curve import Curve
from clip4dm.captions.words import EncodedCaption
from clip4dm.detection import Detection, Word
from clip4dm.errors import InputError
from clip4dm.suggestion.candidates import Candidates, candidates
from clip4dm.suggestion.edits import Edit, core, leave_out, replace_word
from clip4dm.suggestion.reading import bare, comparable, cosines
from clip4dm.suggestion.result import MIN_GAIN, TOP, Replacement, Suggestion
from clip4dm.suggestion.shortlist import place_of, shortlist
from clip4dm.suggestion.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

    from clip4dm.models.load import LoadedModel

EXACT = 256  # candidates that are all read


class Detector(Protocol):
    """What is used of CLIP4DM."""

    model: LoadedModel

    def encode_captions(self, captions: Sequence[str]) -> list[EncodedCaption]:
        """As CLIP4DM's."""

    def detect_encoded(self, features: Tensor, encoded: Sequence[EncodedCaption]) -> list[Detection]:
        """As CLIP4DM's."""


@dataclass(frozen=True)
class Asked:
    """What is wanted. top: replacements a word, at most. min_gain: what they gain at least, always above 0.

    distinct: no inflections and synonyms of the word. curve: of the probability that a suggestion of a gain restores
    the caption, of minus the gain; None without a calibration. Errors: InputError for settings that cannot be.

    >>> Asked(Vocabulary("drinks", {"": (("tea",), ("coffee",))}), top=0)
    Traceback (most recent call last):
    clip4dm.errors.InputError: top is 0; it must be a whole number from 1 on
    """

    vocabulary: Vocabulary
    top: int = TOP
    min_gain: float = MIN_GAIN
    distinct: bool = True
    curve: Curve | None = None

    def enough(self, gain: float) -> bool:
        """Whether a caption that gains this is worth showing.

        asked.enough(0.02)
        """
        return gain > 0 and gain >= self.min_gain

    def __post_init__(self) -> None:
        if not isinstance(self.top, int) or isinstance(self.top, bool) or self.top < 1:
            raise InputError(f"top is {self.top!r}; it must be a whole number from 1 on")
        if not isinstance(self.min_gain, Real) or not 0 <= self.min_gain < 2:  # NaN too
            raise InputError(f"min_gain is {self.min_gain!r}; it must be a number from 0 on, in units of the cosine")


@dataclass(frozen=True)
class _Found:
    """Edits of a word that were read, with their cosines, the best first."""

    ranked: list[tuple[Edit, float]]
    without: tuple[Edit, float] | None
    tried: int
    reason: str | None


def suggest(
    detector: Detector, features: Tensor, detection: Detection, words: Sequence[Word], asked: Asked
) -> list[Suggestion]:
    """A suggestion for each of the words, in their order. features: (1, ...) of the detection's image, as `detect` has.

    detection: of the caption; words: of its. Errors: InputError for features of several images, NotFinite.

        suggest(detector, features, detection, detection.misaligned, Asked(packaged_vocabulary()))
    """
    if len(features) != 1:
        raise InputError(f"suggestions are for one image, got {len(features)}")
    if not words:
        return []
    # As the candidates' cosines are read, which is not to the bit as `detect` does: in fp32, whatever the tower's.
    (given,) = cosines(detector.model.tower, whole_feature(features), [detection.encoded])
    found = [_find(detector, features, detection, word, given, asked) for word in words]
    better = [_better(one, given, asked) for one in found]
    new = _detections(detector, features, [edit.caption for edits in better for edit in edits])

    def made(edit: Edit) -> Replacement:
        own = new[edit.caption]
        gain = own.cosine - detection.cosine
        probability = asked.curve.probability(-gain) if asked.curve else None
        word = edit.caption[edit.start : edit.end]
        return Replacement(
            word, edit.caption, edit.start, edit.end, own.cosine, gain, own.misaligned, probability if word else None
        )

    suggestions = []
    for word, one, edits in zip(words, found, better, strict=True):
        shown = [new for new in map(made, edits) if asked.enough(new.gain)]
        replacements = sorted((new for new in shown if new.word), key=lambda new: -new.gain)
        without = next((new for new in shown if not new.word), None)
        about = one.tried, one.reason, asked.min_gain
        suggestions.append(Suggestion(word, detection.cosine, tuple(replacements), without, *about))
    return suggestions


def _detections(detector: Detector, features: Tensor, captions: Sequence[str]) -> dict[str, Detection]:
    found = detector.detect_encoded(features, detector.encode_captions(captions)) if captions else []
    return dict(zip(captions, found, strict=True))


def _better(found: _Found, cosine: float, asked: Asked) -> list[Edit]:
    """The edits to show: the best replacements, and the caption without the word, as far as they gain enough."""
    read = [*found.ranked[: asked.top], *([found.without] if found.without else [])]
    return [edit for edit, new in read if asked.enough(new - cosine)]


def _find(detector: Detector, features: Tensor, detection: Detection, word: Word, given: float, asked: Asked) -> _Found:
    """given: the caption's own cosine."""
    if word.attribution is None:
        why = "lies beyond the model's context" if word.beyond_context else "has no token of its own"
        return _Found([], None, 0, f"nothing can be suggested: the word {why}")
    start, end = core(detection.caption, word.start, word.end)
    choice = candidates(asked.vocabulary, detection.caption[start:end], asked.distinct)
    removed = leave_out(detection.caption, word.start, word.end)
    feature = whole_feature(features)
    ranked, unread, tried = read_choice(detector, feature, detection, word, choice, given)
    without = _exact(detector, feature, detection, [removed] if removed else [])
    reason = None if tried else "there is no candidate for it"
    if unread:
        reason = f"{unread} candidate{'s do' if unread > 1 else ' does'} not fit into the context"
    return _Found(ranked, without[0] if without else None, tried - unread, reason)


def whole_feature(features: Tensor) -> Tensor:
    """(features,) of the whole picture, of (1, features) or, with masked copies, (1, 2, features).

    whole_feature(detector.encode_images("photo.jpg")).shape  # (512,)
    """
    return features[0, 0] if features.ndim == 3 else features[0]


class Read(NamedTuple):
    """Candidates that were read. ranked: their edits and cosines, the best first. unread: that do not fit; tried: all.

    read_choice(...).ranked[0]
    """

    ranked: list[tuple[Edit, float]]
    unread: int
    tried: int


def read_choice(
    detector: Detector, feature: Tensor, detection: Detection, word: Word, choice: Candidates, given: float
) -> Read:
    """The candidates of the word's own groups, and those of others where none of its own gains anything.

    A minimum gain has no part in it: more words would be asked the more is wanted, and the best of many gains more by
    chance. feature: (features,). given: the caption's own cosine.

        read_choice(detector, features[0], detection, word, candidates(vocabulary, "coke"), detection.cosine)
    """
    ranked, unread = read_candidates(detector, feature, detection, word, choice.own)
    if ranked and ranked[0][1] > given:
        return Read(ranked, unread, len(choice.own))
    more, more_unread = read_candidates(detector, feature, detection, word, choice.others)
    ranked = sorted([*ranked, *more], key=lambda read: -read[1])
    return Read(ranked, unread + more_unread, len(choice.own) + len(choice.others))


def read_candidates(
    detector: Detector, feature: Tensor, detection: Detection, word: Word, words: Sequence[str]
) -> tuple[list[tuple[Edit, float]], int]:
    """The candidates' edits and cosines, the best first; and how many could not be compared. feature: (features,).

    read_candidates(detector, features[0], detection, detection.words[3], ["coffee", "tea"])
    """

    def read(some: Sequence[str]) -> list[float | None]:
        mine = {other: replace_word(detection.caption, word.start, word.end, other) for other in some}
        edits.update(mine)
        cosine_of = {edit.caption: cosine for edit, cosine in _exact(detector, feature, detection, mine.values())}
        return [cosine_of.get(mine[other].caption) for other in some]

    edits: dict[str, Edit] = {}
    if len(words) > EXACT:
        model, place = detector.model, place_of(detection.encoded, word.start, word.end)
        found = shortlist(model.tower, model.tokenizer, feature, place, words, read)
    else:
        found = {other: cosine for other, cosine in zip(words, read(words), strict=True) if cosine is not None}
    ranked = {edits[other].caption: (edits[other], cosine) for other, cosine in found.items()}
    distinct = {edit.caption for edit in edits.values()} - {detection.caption}
    return sorted(ranked.values(), key=lambda one: -one[1]), len(distinct) - len(ranked)


def _exact(
    detector: Detector, feature: Tensor, detection: Detection, edits: Iterable[Edit]
) -> list[tuple[Edit, float]]:
    """Each distinct edit that is `comparable`, with its cosine."""
    captions = {edit.caption: edit for edit in edits if edit.caption != detection.caption}
    kept: list[tuple[Edit, EncodedCaption]] = []
    given, beyond = _given(detector, detection)
    for caption, edit in captions.items():
        (encoded,) = detector.encode_captions([caption[: len(caption) - beyond]])
        if comparable(given, encoded, edit):
            kept.append((edit, bare(encoded)))
    found = cosines(detector.model.tower, feature, [caption for _, caption in kept])
    return [(edit, cosine) for (edit, _), cosine in zip(kept, found, strict=True)]


def _given(detector: Detector, detection: Detection) -> tuple[EncodedCaption, int]:
    """The caption without what no edit of a word that is read brings into the context, and how many characters that is.

    Hundreds of edits of a book would otherwise be hundreds of books.
    """
    given, caption = detection.encoded, detection.caption
    last = max((i for i, unit in enumerate(given.units) if unit.scored), default=0) + detector.model.tower.context
    if given.windows or last >= len(given.units):
        return given, 0
    end = given.units[last].end
    return detector.encode_captions([caption[:end]])[0], len(caption) - end


def words_asked(detection: Detection, words: str | Word | Iterable[str | Word] | None) -> list[Word]:
    """The words of a caption that are meant: None for the misaligned ones; a text for every word of these letters.

    Errors: InputError where there is no such word.

        words_asked(detection, ["coke"])
    """
    if words is None:
        return list(detection.misaligned)
    found: list[Word] = []
    for asked in [words] if isinstance(words, (str, Word)) else words:
        if not isinstance(asked, (str, Word)):
            raise InputError(f"a word of a caption is its text or a Word, got {type(asked).__name__}: {asked!r:.60}")
        text = asked.text if isinstance(asked, Word) else asked
        mine = [word for word in detection.words if _is(detection.caption, word, asked)]
        if not mine:
            raise InputError(f"{text!r:.60} is no word of the caption {detection.caption!r:.80}")
        found += [word for word in mine if word not in found]
    return found


def _is(caption: str, word: Word, asked: str | Word) -> bool:
    if isinstance(asked, Word):
        return (word.start, word.end, word.text) == (asked.start, asked.end, asked.text)
    start, end = core(caption, word.start, word.end)
    return asked.casefold() in (word.text.casefold(), caption[start:end].casefold())
