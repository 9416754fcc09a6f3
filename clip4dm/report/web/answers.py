"""What the page says: detections of a picture and lines of captions, as HTML and JSON, and what is wrong with an input.

Nothing here knows Gradio. Pictures, captions and numbers are a stranger's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.detection import Detection
from clip4dm.errors import InputError
from clip4dm.report.colours import scale
from clip4dm.report.html import detection_html, escaped, legend_html, words_html

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM

MOST_CAPTIONS = 20
LONGEST = 1_000  # characters of a caption; CLIP reads 77 tokens


class Checker:
    """A detector behind the page. layers: how many text layers can be chosen from, 1 where the method has one row.

    usual: how many, counted from the last, the detector was made with.

    checker = Checker(CLIP4DM.from_pretrained("demo"))
    """

    def __init__(self, detector: CLIP4DM) -> None:
        self.detector = detector
        tower = detector.model.tower.layers
        self.layers = detector.method.rows(tower)
        self.usual = 1
        if self.layers > 1:
            self.usual = len(range(tower)[detector.start_layer_text :])
            detector.start_layer_text = 0  # explains all layers, so that others need no second pass
            if self.usual != tower:
                detector.curve = None  # a calibration's, of the usual layers alone

    def check(self, picture: str | Path | None, text: str, epsilon: float, layers: int) -> list[Detection]:
        """picture: a file; text: a caption a line; layers: the last so many. Errors: CLIP4DMError, OSError.

        checker.check("cup.jpg", "a cup of coke\\na cup of coffee", epsilon=-5e-5, layers=3)
        """
        captions = captions_of(text)
        if picture is None:
            raise InputError("choose a picture first: upload one, or take an example")
        return self.again(self.detector.detect([Path(picture)], captions), epsilon, layers)

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


def captions_html(detections: Sequence[Detection]) -> str:
    """The captions with their words on colours, and the legend.

    captions_html(checker.check(...))  # '<div class="detection">...'
    """
    if not detections:
        return ""
    return "".join(detection_html(one) for one in detections) + legend_html(detections[0])


def tables_html(detections: Sequence[Detection]) -> str:
    """All words with their numbers, a table a caption.

    tables_html(checker.check(...))  # '<section class="numbers">...'
    """
    return "".join(
        f'<section class="numbers"><h3 dir="auto">{escaped(one.caption)}</h3>{words_html(one)}</section>'
        for one in detections
    )


def as_json(picture: str, detections: Sequence[Detection]) -> str:
    """What `infer.py --json` prints, a line a caption.

    as_json("cup.jpg", checker.check(...))  # '{"image": "cup.jpg", "caption": ...'
    """
    rows = ({"image": picture, **one.as_dict()} for one in detections)
    return "\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)


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
