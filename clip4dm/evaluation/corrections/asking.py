"""What is suggested for the words of a sample, by each list of candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clip4dm.benchmarks.base import Sample
from clip4dm.benchmarks.labels import overlaps
from clip4dm.detection import Detection, Word
from clip4dm.evaluation.corrections.exchanged import Exchange, Exchanged, same_meaning
from clip4dm.evaluation.corrections.rows import KIND, ORIGINALS, Row
from clip4dm.suggestion.candidates import Candidates, candidates
from clip4dm.suggestion.edits import Edit, core
from clip4dm.suggestion.reading import cosines
from clip4dm.suggestion.suggest import Detector, read_choice, whole_feature
from clip4dm.suggestion.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 5


@dataclass(frozen=True)
class Asking:
    """What is asked with. meanings: whose entries are words of one meaning.

    rows = list(Asking(detector, exchanged, vocabulary, meanings).rows(sample, exchange, features, detection))
    """

    detector: Detector
    exchanged: Exchanged
    vocabulary: Vocabulary
    meanings: Vocabulary

    def rows(self, sample: Sample, exchange: Exchange | None, features: Tensor, detection: Detection) -> Iterator[Row]:
        """Of one sample. exchange: of a foil. features: (1, ...) of its picture."""
        called, feature = set(detection.misaligned), whole_feature(features)
        # As the candidates' cosines are read: in fp32, whatever the tower's.
        (cosine,) = cosines(self.detector.model.tower, feature, [detection.encoded])
        for word in detection.words:
            given = exchange is not None and overlaps((word.start, word.end), (exchange.start, exchange.end))
            if word.attribution is None or not (given or word in called):
                continue
            start, end = core(detection.caption, word.start, word.end)
            text = detection.caption[start:end].casefold()
            for name, choice in self._lists(text):
                read = read_choice(self.detector, feature, detection, word, choice, cosine).ranked
                if read:
                    yield self._row(sample, exchange if given else None, cosine, word, word in called, name, read)

    def _lists(self, text: str) -> Iterator[tuple[str, Candidates]]:
        for name, words in (
            (KIND, self.exchanged.kinds.of_groups(self.exchanged.kinds.groups_of(text))),
            (ORIGINALS, tuple(sorted(self.exchanged.originals))),
        ):
            yield name, Candidates(tuple(word for word in words if not same_meaning(word, text, self.meanings)), ())
        yield self.vocabulary.name, candidates(self.vocabulary, text)

    def _row(
        self,
        sample: Sample,
        exchange: Exchange | None,
        given: float,
        word: Word,
        called: bool,
        name: str,
        read: list[tuple[Edit, float]],
    ) -> Row:
        words = [edit.caption[edit.start : edit.end].casefold() for edit, _ in read]
        top = tuple((one, cosine - given) for one, (_, cosine) in zip(words, read[:SHOWN], strict=False))
        assert word.attribution is not None  # others are not asked
        row = Row(
            sample.id, sample.image, sample.misaligned, word.text, word.start, word.end, word.attribution,
            exchange is not None, called, name, len(read), top, None, restored=False, same_meaning=False,
        )  # fmt: skip
        if exchange is None:
            return row
        right = [same_meaning(one, exchange.original, self.meanings) for one in words]
        frequent = self.exchanged.frequent(words, but=exchange.original)
        return replace(
            row,
            rank=words.index(exchange.original) + 1 if exchange.original in words else None,
            restored=words[0] == exchange.original,
            same_meaning=right[0],
            random=sum(right) / len(right),
            frequent=same_meaning(frequent, exchange.original, self.meanings),
        )
