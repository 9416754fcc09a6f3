"""Where calibrations lie, and which of them fits: those that come along, and the user's own folder.

The user's folder is $CLIP4DM_HOME/calibrations, or else clip4dm/calibrations in $XDG_CONFIG_HOME, ~/.config unless set
(the XDG base directory specification).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from clip4dm.calibration.risks import CalibrationError
from clip4dm.calibration.stored import AttributedBy, Calibration, read_calibration

SHIPPED = Path(__file__).parent / "shipped"
AUTO = "auto"  # of --epsilon


def user_folder() -> Path:
    """The user's folder, there or not.

    >>> user_folder().name
    'calibrations'
    """
    home = os.environ.get("CLIP4DM_HOME")
    if home:
        return Path(home).expanduser() / "calibrations"
    config = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if os.path.isabs(config) else Path("~/.config").expanduser()  # the specification's rule
    return base / "clip4dm" / "calibrations"


def find(attributed_by: AttributedBy, tell: Callable[[str], None]) -> tuple[Path, Calibration] | None:
    """The calibration that fits: the user's newest, else one that comes along; None where none does.

    tell: takes a line on each file that cannot be read, and on others that fit too.

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
    if len(fitting) > 1:
        others = ", ".join(str(path) for path, _ in fitting[1:])
        tell(f"{len(fitting)} calibrations fit, and the first is taken; others, to be given as --epsilon: {others}")
    return fitting[0] if fitting else None


def _files(tell: Callable[[str], None]) -> list[Path]:
    """The user's, newest first, then the shipped ones, by name."""
    try:
        mine = sorted(user_folder().glob("*.json"), key=lambda path: (-path.stat().st_mtime, path.name))
    except OSError as error:
        tell(f"passed over: {user_folder()}: {error.strerror}")
        mine = []
    return mine + sorted(SHIPPED.glob("*.json"))
