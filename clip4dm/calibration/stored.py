"""A calibration as a JSON file: whose attributions it is for, what it promises, what came of it on other images.

Read strictly: what is missing, of another type, impossible, or of a later format than this one is one clear error.
Anybody's file may be read: it holds numbers and names, and nothing of it is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clip4dm.calibration.curve import KINDS, Curve
from clip4dm.calibration.fields import Damaged, fields_of, figures_of, must
from clip4dm.calibration.names import CONTROLS, GUARANTEES, CalibrationError, Control, Guarantee
from clip4dm.files.reading import FileError, check_regular, is_number, read_json
from clip4dm.files.writing import replace_file

FORMAT = "clip4dm calibration"
VERSION = 1
LARGEST = 2**24  # bytes; a file has some thousands
UNSAID = frozenset({"data.split"})  # where it is false, as in files from before there was a choice

Figures = Mapping[str, Mapping[str, float | int | None]]  # name -> value, low, high, n


@dataclass(frozen=True)
class AttributedBy:
    """What makes attributions what they are, so that a threshold for them fits no others.

    layers: "last 3" of a mean over layers, "from -3" of a method's one row, "all" where there is no choice.
    backbone, pretrained: names, for people; weights_sha256 tells.

    >>> by = AttributedBy("demo", "scenes", "ab" * 32, True, "fp32", "clip4dm", None, None, 0, "A photo ", "last 2")
    >>> by.differences(by), AttributedBy(**{**asdict(by), "method": "gae"}).differences(by)
    ([], ["method 'clip4dm', not 'gae'"])
    """

    backbone: str
    pretrained: str
    weights_sha256: str
    quick_gelu: bool
    precision: str
    method: str
    margin: float | None
    steps: int | None
    image_masks: int
    template: str
    layers: str

    def differences(self, other: AttributedBy) -> list[str]:
        """Why a calibration of these does not fit the other's attributions; nothing where it does."""
        found = []
        if self.weights_sha256 != other.weights_sha256:
            mine, others = (f"{one.backbone}/{one.pretrained}" for one in (self, other))
            found.append(
                f"weights {others!r:.120} ({other.weights_sha256[:12]}), not {mine!r:.120} ({self.weights_sha256[:12]})"
            )
        for name in ("quick_gelu", "precision", "method", "margin", "steps", "image_masks", "template", "layers"):
            mine, others = getattr(self, name), getattr(other, name)
            if mine != others:
                found.append(f"{name} {others!r:.60}, not {mine!r:.60}")
        return found


@dataclass(frozen=True)
class Rule:
    """What was asked for. holdout: the share of images that only show what came of it. seed: of who goes where.

    >>> Rule("fdr", 0.2, 0.1, "confidence", 0.5, 0).promise()
    'fdr <= 0.2 with confidence 0.9'
    """

    control: Control
    alpha: float
    delta: float
    guarantee: Guarantee
    holdout: float
    seed: int

    def promise(self) -> str:
        """In words."""
        if self.guarantee == "expectation":
            return f"{self._bounded()} on average"
        return f"{self._bounded()} with confidence {1 - self.delta:g}"

    def _bounded(self) -> str:
        return f"recall >= {1 - self.alpha:g}" if self.control == "recall" else f"{self.control} <= {self.alpha:g}"


@dataclass(frozen=True)
class Data:
    """What was learned from. name: of the benchmark or column. sha256: of the annotations or labels.

    images, words, wrong_words: of the part that decided. risk: there. split: captions beyond the context were read in
    parts, and not cut. Attributions of captions that fit are the same, and so it is no matter of AttributedBy; of
    longer ones nothing is known but by the reading they had.

    >>> Data("foil", "ab" * 32, images=1000, words=13000, wrong_words=1000, risk=0.15).images
    1000
    """

    name: str
    sha256: str
    images: int
    words: int
    wrong_words: int
    risk: float
    split: bool = False


@dataclass(frozen=True)
class Suggestions:
    """From which gain another word is suggested, and how likely it is the right one then; see `suggestions.py`.

    vocabulary, words: the name and size of the list of words that it is for, for people; sha256 tells. min_gain: of the
    cosine. Of what is suggested from there on at most a share alpha does not restore the caption, with confidence 1 -
    delta. images: of the part that decided; restored: the share there. held_out: figures on other images. curve: of the
    probability to restore, of minus the gain.

    >>> curve = Curve((-0.1, 0.0), (0.9, 0.2))
    >>> Suggestions("packaged", 2000, "ab" * 32, 0.2, 0.1, 0.03, 250, restored=0.87, held_out={}, curve=curve).promise()
    'restored >= 0.8 with confidence 0.9'
    """

    vocabulary: str
    words: int
    sha256: str
    alpha: float
    delta: float
    min_gain: float
    images: int
    restored: float
    held_out: Figures
    curve: Curve

    def promise(self) -> str:
        """In words."""
        return f"restored >= {1 - self.alpha:g} with confidence {1 - self.delta:g}"


@dataclass(frozen=True)
class Calibration:
    """A threshold, its promise and its curve. held_out: figures on other images, {name: {value, low, high, n}}.

    versions: of the packages that made it. suggestions: None where none were measured, or no gain keeps a promise.

        calibration = read_calibration(Path("demo-fdr.json"))
        calibration.epsilon, calibration.rule.promise(), calibration.curve.probability(-0.01)
    """

    attributed_by: AttributedBy
    rule: Rule
    data: Data
    epsilon: float
    held_out: Figures
    curve: Curve
    versions: Mapping[str, str]
    suggestions: Suggestions | None = None

    def judging(self, sorted_by: str) -> tuple[Curve, float, Suggestions | None]:
        """Curve, epsilon, and what it says of suggestions: where the words below epsilon are called, and not else.

        calibration.judging("most_negative")[2]  # None
        """
        return self.curve, self.epsilon, self.suggestions if sorted_by == "threshold" else None

    def check_fits(self, attributed_by: AttributedBy) -> None:
        """Errors: CalibrationError where these are other attributions."""
        found = self.attributed_by.differences(attributed_by)
        if found:
            raise CalibrationError(
                f"the calibration ({self.rule.promise()}) is for other attributions: here are "
                f"{'; '.join(found)}. `clip4dm calibrate` makes one for these, and --epsilon takes a number too"
            )


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write the file, whole or not at all; its folder is made. Errors: OSError.

    write_calibration(Path("demo-fdr.json"), calibration)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "version": VERSION, **asdict(calibration)}
    if not calibration.data.split:  # UNSAID
        del content["data"]["split"]
    if calibration.suggestions is None:  # files from before there were any have no such part
        del content["suggestions"]
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    # A curve's corners a line each would be most of the file.
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)
    replace_file(path, (text + "\n").encode("utf-8", "surrogatepass"))


def read_calibration(path: Path) -> Calibration:
    """A file that `write_calibration` wrote. Errors: CalibrationError, in one line.

    read_calibration(Path("demo-fdr.json")).epsilon
    """
    try:
        check_regular(path, LARGEST)
        content = read_json(path)
    except FileError as error:
        raise CalibrationError(f"the calibration cannot be read: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CalibrationError(f"{path} is no calibration file; `clip4dm calibrate` writes one")
    version = content.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        raise CalibrationError(
            f"{path} is a calibration of format {version}, and this version of clip4dm reads format {VERSION}: "
            "update clip4dm, or calibrate again"
        )
    try:
        must(version == VERSION and not isinstance(version, bool), "version")
        return _calibration(content)
    except Damaged as error:
        raise CalibrationError(
            f"{path} is a damaged calibration: {error} is missing or cannot be; fetch it again, or calibrate again"
        ) from None


def parse_attributed_by(content: Any) -> AttributedBy:
    """Of JSON, as `dataclasses.asdict` makes it. Errors: CalibrationError.

    parse_attributed_by(asdict(detector.attributed_by()))
    """
    try:
        return AttributedBy(**fields_of({"attributed_by": content}, "attributed_by", AttributedBy))
    except Damaged as error:
        raise CalibrationError(f"{error} is missing or cannot be") from None


def _calibration(content: dict[str, Any]) -> Calibration:
    attributed_by = AttributedBy(**fields_of(content, "attributed_by", AttributedBy))
    rule = Rule(**fields_of(content, "rule", Rule))
    data = Data(**fields_of(content, "data", Data, UNSAID))
    versions = content.get("versions")
    must(isinstance(versions, dict) and all(isinstance(one, str) for one in versions.values()), "versions")
    must(is_number(content.get("epsilon")), "epsilon")
    _check_values(attributed_by, rule, data)
    return Calibration(
        attributed_by,
        rule,
        data,
        float(content["epsilon"]),
        figures_of(content.get("held_out"), "held_out"),
        _curve(content, "curve"),
        content["versions"],
        _suggestions(content) if "suggestions" in content else None,
    )


def _suggestions(content: dict[str, Any]) -> Suggestions:
    part = fields_of(content, "suggestions", Suggestions)
    figures, curve = figures_of(part["held_out"], "suggestions.held_out"), _curve(part, "suggestions.curve")
    found = Suggestions(**{**part, "held_out": figures, "curve": curve})
    must(is_sha256(found.sha256), "suggestions.sha256")
    must(found.words > 0, "suggestions.words")
    for name in ("alpha", "delta"):
        must(0 < getattr(found, name) < 1, f"suggestions.{name}")
    must(0 <= found.min_gain < 2, "suggestions.min_gain")
    must(0 <= found.restored <= 1, "suggestions.restored")
    return found


def _curve(content: dict[str, Any], part: str) -> Curve:
    found = fields_of(content, part, Curve)
    curve = Curve(tuple(found["attributions"]), tuple(found["probabilities"]), found["kind"])
    x, y = curve.attributions, curve.probabilities
    must(curve.kind in KINDS, f"{part}.kind")
    must(all(a < b for a, b in zip(x, x[1:], strict=False)), f"{part}.attributions")
    must(len(y) == len(x) and all(0 <= p <= 1 for p in y), f"{part}.probabilities")
    must(all(a >= b for a, b in zip(y, y[1:], strict=False)), f"{part}.probabilities")
    return curve


def is_sha256(text: Any) -> bool:
    """Whether a value of JSON is a SHA-256, in small hexadecimal digits.

    >>> is_sha256("ab" * 32), is_sha256("ab"), is_sha256(None)
    (True, False, False)
    """
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None


def _check_values(attributed_by: AttributedBy, rule: Rule, data: Data) -> None:
    must(is_sha256(attributed_by.weights_sha256), "attributed_by.weights_sha256")
    must(is_sha256(data.sha256), "data.sha256")
    must(rule.control in CONTROLS, "rule.control")
    must(rule.guarantee in GUARANTEES, "rule.guarantee")
    for name in ("alpha", "delta"):
        must(0 < getattr(rule, name) < 1, f"rule.{name}")
    must(0 <= rule.holdout < 1, "rule.holdout")
    must(0 <= data.risk <= 1, "data.risk")
