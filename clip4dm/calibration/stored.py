"""A calibration as a JSON file: whose attributions it is for, what it promises, what came of it on other images.

Read strictly: what is missing, of another type, impossible, or of a later format than this one is one clear error.
Anybody's file may be read: it holds numbers and names, and nothing of it is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from clip4dm.calibration.curve import KINDS, Curve
from clip4dm.calibration.names import CONTROLS, GUARANTEES, CalibrationError, Control, Guarantee
from clip4dm.files.reading import FileError, check_regular, is_number, read_json
from clip4dm.files.writing import replace_file

FORMAT = "clip4dm calibration"
VERSION = 1
LARGEST = 2**24  # bytes; a file has some thousands
LARGEST_CURVE = 100_000  # corners
UNSAID = {"data.split"}  # where it is false, as in files from before there was a choice


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
class Calibration:
    """A threshold, its promise and its curve. held_out: figures on other images, {name: {value, low, high, n}}.

    versions: of the packages that made it.

        calibration = read_calibration(Path("demo-fdr.json"))
        calibration.epsilon, calibration.rule.promise(), calibration.curve.probability(-0.01)
    """

    attributed_by: AttributedBy
    rule: Rule
    data: Data
    epsilon: float
    held_out: Mapping[str, Mapping[str, float | int | None]]
    curve: Curve
    versions: Mapping[str, str]

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
        _must(version == VERSION and not isinstance(version, bool), "version")
        return _calibration(content)
    except _Damaged as error:
        raise CalibrationError(
            f"{path} is a damaged calibration: {error} is missing or cannot be; fetch it again, or calibrate again"
        ) from None


def parse_attributed_by(content: Any) -> AttributedBy:
    """Of JSON, as `dataclasses.asdict` makes it. Errors: CalibrationError.

    parse_attributed_by(asdict(detector.attributed_by()))
    """
    try:
        return AttributedBy(**_fields({"attributed_by": content}, "attributed_by", AttributedBy))
    except _Damaged as error:
        raise CalibrationError(f"{error} is missing or cannot be") from None


class _Damaged(Exception):
    """The name of the field."""


def _calibration(content: dict[str, Any]) -> Calibration:
    attributed_by = AttributedBy(**_fields(content, "attributed_by", AttributedBy))
    rule = Rule(**_fields(content, "rule", Rule))
    data = Data(**_fields(content, "data", Data))
    corners = _fields(content, "curve", Curve)
    curve = Curve(tuple(corners["attributions"]), tuple(corners["probabilities"]), corners["kind"])
    versions = content.get("versions")
    _must(isinstance(versions, dict) and all(isinstance(one, str) for one in versions.values()), "versions")
    _must(is_number(content.get("epsilon")), "epsilon")
    _check_values(attributed_by, rule, data, curve)
    held_out = _held_out(content.get("held_out"))
    return Calibration(attributed_by, rule, data, float(content["epsilon"]), held_out, curve, content["versions"])


def _must(holds: bool, name: str) -> None:
    if not holds:
        raise _Damaged(name)


def _fields(content: dict[str, Any], part: str, kind: type) -> dict[str, Any]:
    """The fields of a part, no more and, but for UNSAID, no fewer, each of its type."""
    found = content.get(part)
    names = {field.name: str(field.type) for field in fields(kind)}
    if not isinstance(found, dict):
        raise _Damaged(part)
    for name in sorted(names.keys() ^ found.keys()):
        _must(name in names and f"{part}.{name}" in UNSAID, f"{part}.{name}")
    for name, value in found.items():
        _must(_fits(value, names[name]), f"{part}.{name}")
    return found


def _fits(value: Any, kind: str) -> bool:
    """Whether a value of JSON is of a dataclass field's type, by its name; the choices of a Literal come after."""
    if kind.endswith(" | None"):
        return value is None or _fits(value, kind.removesuffix(" | None"))
    if kind == "tuple[float, ...]":
        return isinstance(value, list) and 0 < len(value) <= LARGEST_CURVE and all(map(is_number, value))
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return is_number(value) if kind == "float" else isinstance(value, str)


def _check_values(attributed_by: AttributedBy, rule: Rule, data: Data, curve: Curve) -> None:
    for name, text in (("attributed_by.weights_sha256", attributed_by.weights_sha256), ("data.sha256", data.sha256)):
        _must(re.fullmatch("[0-9a-f]{64}", text) is not None, name)
    _must(rule.control in CONTROLS, "rule.control")
    _must(rule.guarantee in GUARANTEES, "rule.guarantee")
    for name in ("alpha", "delta"):
        _must(0 < getattr(rule, name) < 1, f"rule.{name}")
    _must(0 <= rule.holdout < 1, "rule.holdout")
    _must(0 <= data.risk <= 1, "data.risk")
    x, y = curve.attributions, curve.probabilities
    _must(curve.kind in KINDS, "curve.kind")
    _must(all(a < b for a, b in zip(x, x[1:], strict=False)), "curve.attributions")
    _must(len(y) == len(x) and all(0 <= p <= 1 for p in y), "curve.probabilities")
    _must(all(a >= b for a, b in zip(y, y[1:], strict=False)), "curve.probabilities")


def _held_out(content: Any) -> dict[str, dict[str, float | int | None]]:
    _must(isinstance(content, dict), "held_out")
    for name, figure in content.items():
        _must(isinstance(figure, dict) and figure.keys() == {"value", "low", "high", "n"}, f"held_out.{name}")
        _must(all(value is None or is_number(value) for value in figure.values()), f"held_out.{name}")
    return dict(content)
