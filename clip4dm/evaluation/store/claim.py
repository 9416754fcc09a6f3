"""Whether a run may write to a folder: only files of a run stand there, and no other run's samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clip4dm.evaluation.store.runfiles import (
    CAPTION_METRICS,
    CONFIG,
    RESULT,
    SAMPLES,
    SUMS,
    TIMING,
    RunError,
    part_files,
    read_object,
    sums_files,
    write_json,
    writing,
)
from clip4dm.files.reading import kind_of


def claim(folder: Path, config: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Make the folder that of a run of this config, which config.json says from now on.

    resume: whether samples of the same run may be there. overwrite: whether whatever run is there may be removed.
    Errors: RunError if it cannot be written, if something else stands in a file's place, if other samples are there.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> claim(folder, {"fingerprint": "0123abcd"}, resume=True, overwrite=False)
    >>> claim(folder, {"fingerprint": "4567cdef"}, resume=True, overwrite=True)
    >>> read_object(folder / CONFIG, remedy="")
    {'fingerprint': '4567cdef'}
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    named = [folder / name for name in (SAMPLES, SUMS, CONFIG, RESULT, TIMING, CAPTION_METRICS)]
    files = list(dict.fromkeys([*named, *part_files(folder), *sums_files(folder)]))
    for path in files:
        kind = kind_of(path)
        if kind not in (None, "a file"):
            raise RunError(f"{path} is {kind}, where a run has a file: remove it, or give another --output")
    if overwrite:
        for path in files:
            path.unlink(missing_ok=True)
    _check_config(folder, config, resume)
    write_json(folder / CONFIG, config)


def _check_config(folder: Path, config: Mapping[str, Any], resume: bool) -> None:
    there = (folder / SAMPLES).exists() or part_files(folder)
    path = folder / CONFIG
    if not path.exists() and there:
        raise RunError(
            f"{folder} holds samples, but no {CONFIG} that says what made them. Give --overwrite or another --output."
        )
    if not path.exists():
        return
    found = read_object(path, "give --overwrite to start the run anew").get("fingerprint")
    if found != config["fingerprint"]:
        raise RunError(
            f"{folder} holds a run with other settings, weights, data or versions (fingerprint {found}, not "
            f"{config['fingerprint']}). Give --overwrite or another --output."
        )
    if not resume and there:
        raise RunError(
            f"{folder} already holds samples of this run: leave --no-resume away to go on with them, or give "
            "--overwrite to start anew."
        )
    if there and not sums_files(folder):
        raise RunError(
            f"{folder} holds samples without checksums ({SUMS}), as earlier versions wrote them: nothing says whether "
            "they are whole. Give --overwrite to compute them anew, or another --output."
        )
