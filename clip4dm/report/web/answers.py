"""What the page says: detections of a picture and lines of captions, as HTML and JSON, and what is wrong with an input.

Nothing here knows Gradio. Pictures, captions and numbers are a stranger's.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.detection import Detection
from clip4dm.errors import InputError
from clip4dm.report.colours import scale
from clip4dm.report.html import detection_html, escaped, legend_html, words_html
from clip4dm.report.suggested import suggestions_html, suggestions_legend_html, suggestions_table_html
from clip4dm.report.web.suggesting import Suggested, suggested
from clip4dm.suggestion.result import Suggestion

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.suggestion.suggest import Asked

MOST_CAPTIONS = 20
LONGEST = 1_000  # characters of a caption; CLIP reads 77 tokens
ASK_AGAIN = (
    "Suggestions are for the epsilon and the layers at which they were made: check the captions again for others."
)


@dataclass(frozen=True)
class Answer:
    """What was found of a picture and captions. suggested: None where it was not asked for.

    Answer([]).suggested is None
    """

    detections: list[Detection]
    suggested: Suggested | None = None


class Checker:
    """A detector behind the page. layers: how many text layers can be chosen from, 1 where the method has one row.

    asked: of suggestions; None for the usual. usual: how many layers, from the last, the detector was made with.

    checker = Checker(CLIP4DM.from_pretrained("demo"))
    """

    def __init__(self, detector: CLIP4DM, asked: Asked | None = None) -> None:
        from clip4dm.suggestion.calibrated import asked_by
        from clip4dm.suggestion.vocabulary import packaged_vocabulary

        self.detector = detector
        self.asked = asked or asked_by(detector.gains, packaged_vocabulary())
        tower = detector.model.tower.layers
        self.layers = detector.method.rows(tower)
        self.usual = 1
        if self.layers > 1:
            self.usual = len(range(tower)[detector.start_layer_text :])
            detector.start_layer_text = 0  # explains all layers, so that others need no second pass
            if self.usual != tower:
                detector.curve = None  # a calibration's, of the usual layers alone

    def check(self, picture: str | Path | None, text: str, epsilon: float, layers: int) -> list[Detection]:
        """The detections alone. Errors: as `answer`.

        checker.check("cup.jpg", "a cup of coke\\na cup of coffee", epsilon=-5e-5, layers=3)
        """
        return self.answer(picture, text, epsilon, layers).detections

    def answer(
        self, picture: str | Path | None, text: str, epsilon: float, layers: int, suggesting: bool = False
    ) -> Answer:
        """picture: a file; text: a caption a line; layers: the last so many. Errors: CLIP4DMError, OSError.

        checker.answer("cup.jpg", "a cup of coke\\na cup of coffee", epsilon=-5e-5, layers=3, suggesting=True)
        """
        captions = captions_of(text)
        if picture is None:
            raise InputError("choose a picture first: upload one, or take an example")
        features = self.detector.encode_images([Path(picture)])
        encoded = self.detector.encode_captions(captions)
        found = self.again(self.detector.detect_encoded(features, encoded), epsilon, layers)
        if not suggesting:
            return Answer(found)
        as_made = float(epsilon) == self.detector.epsilon and (self.layers == 1 or int(layers) == self.usual)
        # A calibration's curve is of the words that it calls alone.
        asked = self.asked if as_made else replace(self.asked, curve=None)
        return Answer(found, suggested(self._set(epsilon, layers), features, found, asked))

    def _set(self, epsilon: float, layers: int) -> CLIP4DM:
        """The detector under other settings, by which new captions are judged as the given ones are."""
        twin = copy.copy(self.detector)
        twin.epsilon = float(epsilon)
        if self.layers > 1:
            twin.start_layer_text = -int(layers)
        return twin

    def again(self, detections: Sequence[Detection], epsilon: float, layers: int) -> list[Detection]:
        """The same pairs under other settings, without the model. Errors: InputError.

        checker.again(detections, epsilon=-1e-3, layers=1)
        """
        start = -int(layers) if self.layers > 1 else None
        return [one.with_settings(epsilon=float(epsilon), start_layer_text=start) for one in detections]


def captions_of(text: str) -> list[str]:
    """A caption a line; empty lines are none. Errors: InputError for none, too many or too long ones.

    >>> captions_of("a cup of coke\\n\\n a cup of coffee ")
    ['a cup of coke', 'a cup of coffee']
    """
    captions = [line.strip() for line in text.splitlines() if line.strip()]
    if not captions:
        raise InputError("write a caption first, one a line")
    if len(captions) > MOST_CAPTIONS:
        raise InputError(f"{len(captions)} captions; up to {MOST_CAPTIONS} at once are checked here")
    longest = max(map(len, captions))
    if longest > LONGEST:
        raise InputError(f"a caption of {longest:,} characters; up to {LONGEST:,} are checked here")
    return captions


def captions_html(detections: Sequence[Detection], found: Suggested | None = None, note: str = "") -> str:
    """The captions with their words on colours, what is suggested below each, and the legend. note: to be said last.

    captions_html(checker.check(...))  # '<div class="detection">...'
    """
    if not detections:
        return ""
    captions = "".join(
        detection_html(one, below=suggestions_html(own))
        for one, own in zip(detections, _of_each(detections, found), strict=True)
    )
    legend = legend_html(detections[0])
    if found and any(found.of):
        legend += suggestions_legend_html()
    notes = [text for text in (found.note() if found else "", note) if text]
    return captions + legend + "".join(f'<p class="remark note">{escaped(text)}</p>' for text in notes)


def tables_html(detections: Sequence[Detection], found: Suggested | None = None) -> str:
    """All words with their numbers, a table a caption, and one of its new captions.

    tables_html(checker.check(...))  # '<section class="numbers">...'
    """
    return "".join(
        f'<section class="numbers"><h3 dir="auto">{escaped(one.caption)}</h3>{words_html(one)}'
        f"{suggestions_table_html(own)}</section>"
        for one, own in zip(detections, _of_each(detections, found), strict=True)
    )


def as_json(picture: str, detections: Sequence[Detection], found: Suggested | None = None) -> str:
    """What `infer.py --json` prints, a line a caption; with `found` what --suggest adds.

    as_json("cup.jpg", checker.check(...))  # '{"image": "cup.jpg", "caption": ...'
    """
    rows = [{"image": picture, **one.as_dict()} for one in detections]
    if found is not None:
        for row, own in zip(rows, found.of, strict=True):
            row["suggestions"] = [one.as_dict() for one in own]
    return "\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)


def _of_each(detections: Sequence[Detection], found: Suggested | None) -> Sequence[Sequence[Suggestion]]:
    return found.of if found is not None else [()] * len(detections)


def problem_html(message: str) -> str:
    """Why there is no answer.

    >>> problem_html("no <such> file")
    '<p class="problem" role="alert">no &lt;such&gt; file</p>'
    """
    return f'<p class="problem" role="alert">{escaped(message)}</p>'


def lowest_epsilon(detections: Sequence[Detection], epsilon: float) -> float:
    """The left end of epsilon's slider: below it no word of these is misaligned; two digits, < 0.

    lowest_epsilon(detections, -5e-5)  # -0.021
    """
    low = max([2 * abs(epsilon), *map(scale, detections)])
    unit = 10.0 ** (math.floor(math.log10(low)) - 1)
    return -float(f"{math.ceil(low / unit) * unit:.2g}")
