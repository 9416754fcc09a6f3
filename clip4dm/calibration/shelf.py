"""Where calibrations lie, and which of them fits: those that come along, and the user's own folder.

The user's folder is $CLIP4DM_HOME/calibrations, or else clip4dm/calibrations in $XDG_CONFIG_HOME, ~/.config unless set
(the XDG base directory specification).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from clip4dm.calibration.names import AUTO, CalibrationError
from clip4dm.calibration.stored import AttributedBy, Calibration, read_calibration
from clip4dm.scores import EPSILON

SHIPPED = Path(__file__).parent / "shipped"


def user_folder() -> Path:
    """The user's folder, there or not. Errors: CalibrationError where nobody knows the user's home.

    >>> user_folder().name
    'calibrations'
    """
    home = os.environ.get("CLIP4DM_HOME")
    config = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        if home:
            return Path(home).expanduser() / "calibrations"
        base = Path(config) if os.path.isabs(config) else Path("~/.config").expanduser()  # the specification's rule
    except RuntimeError:  # a user without an entry, as containers run them
        raise CalibrationError("there is no home folder for calibrations: set CLIP4DM_HOME to a folder") from None
    return base / "clip4dm" / "calibrations"


def find(
    attributed_by: AttributedBy, tell: Callable[[str], None], split: bool = False
) -> tuple[Path, Calibration] | None:
    """The calibration that fits: the user's newest, else one that comes along; None where none does.

    split: of captions beyond the context, as in `stored.Data`; those of the same reading come first. tell: takes a
    line on each file that cannot be read, and on others that fit too.

        find(detector.attributed_by(), print)
    """
    fitting: list[tuple[Path, Calibration]] = []
    for path in _files(tell):
        try:
            calibration = read_calibration(path)
        except CalibrationError as error:
            tell(f"passed over: {error}")
            continue
        if not calibration.attributed_by.differences(attributed_by):
            fitting.append((path, calibration))
    fitting.sort(key=lambda one: one[1].data.split != split)  # stable: otherwise as they came
    if len(fitting) > 1:
        others = ", ".join(str(path) for path, _ in fitting[1:])
        tell(f"{len(fitting)} calibrations fit, and the first is taken; others, to be given as --epsilon: {others}")
    return fitting[0] if fitting else None


def shipped_calibration(attributed_by: AttributedBy) -> Calibration | None:
    """The first that fits of those that come along, whatever the user has; None where none does.

    shipped_calibration(detector.attributed_by())
    """
    found = map(read_calibration, sorted(SHIPPED.glob("*.json")))
    return next((one for one in found if not one.attributed_by.differences(attributed_by)), None)


def calibration_for(
    asked: str, attributed_by: AttributedBy, tell: Callable[[str], None], split: bool = False
) -> Calibration | None:
    """What --epsilon asks for: a file's calibration, or for "auto" the one that fits, None where there is none.

    tell: takes a line that says which it is, or that there is none, and one where captions beyond the context were read
    otherwise than here (split). Errors: CalibrationError for a file that is none, or one of other attributions.

        calibration_for("auto", detector.attributed_by(), print)
    """
    if asked != AUTO:
        calibration = read_calibration(Path(asked))
        calibration.check_fits(attributed_by)
        _tell_of_reading(calibration, split, tell)
        return calibration
    found = find(attributed_by, tell, split)
    if found is None:
        by = attributed_by
        tell(
            f"no calibration fits {by.backbone}/{by.pretrained} with {by.method}, layers {by.layers}: epsilon is the "
            f"published {EPSILON:g}; `clip4dm calibrate` makes one"
        )
        return None
    tell(described(*found))
    _tell_of_reading(found[1], split, tell)
    return found[1]


def _tell_of_reading(calibration: Calibration, split: bool, tell: Callable[[str], None]) -> None:
    if calibration.data.split != split:
        made, here = (f"--long {'split' if one else 'cut'}" for one in (calibration.data.split, split))
        tell(f"the calibration was made with {made}: of captions beyond the context it promises nothing with {here}")


def described(path: Path, calibration: Calibration) -> str:
    """A calibration in a line: its epsilon, its promise, those of its suggestions, where it lies.

    >>> path = SHIPPED / "demo-clip4dm.json"
    >>> described(path, read_calibration(path)).startswith("epsilon -0.00"), read_calibration(path).rule.promise()
    (True, 'fdr <= 0.2 with confidence 0.9')
    """
    words, suggestions = calibration.rule.promise(), calibration.suggestions
    if suggestions:
        words += f"; suggestions from a gain of {suggestions.min_gain:g}, {suggestions.promise()}"
    return f"epsilon {calibration.epsilon:g}, {words}: {path}"


def _files(tell: Callable[[str], None]) -> list[Path]:
    """The user's, newest first, then the shipped ones, by name."""
    try:
        folder = user_folder()
        # lstat: a link that leads nowhere is a file that cannot be read, and no reason to pass over the others.
        mine = sorted(folder.glob("*.json"), key=lambda path: (-path.lstat().st_mtime, path.name))
    except OSError as error:
        tell(f"passed over: {folder}: {error.strerror}")
        mine = []
    except CalibrationError as error:
        tell(f"passed over: {error}")
        mine = []
    return mine + sorted(SHIPPED.glob("*.json"))
