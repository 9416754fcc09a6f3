"""A finished run, read: every file of it checked against the others before any figure is made of it.

result.json says how many lines samples.jsonl has and its SHA-256, samples.sums the same of every block, so that a
line lost, doubled or changed is found, and where. All errors here are DamagedRun or RunError: one line, with the
file, the line where it can be known, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from clip4dm.benchmarks import BENCHMARKS
from clip4dm.errors import InputError
from clip4dm.evaluation.config import RunConfig
from clip4dm.evaluation.records import Settings
from clip4dm.evaluation.store.checksums import BlockSum, read_sums, sums_path
from clip4dm.evaluation.store.runfiles import (
    CAPTION_METRICS,
    CONFIG,
    RESULT,
    SAMPLES,
    DamagedRun,
    RunError,
    read_object,
    read_sealed,
)
from clip4dm.evaluation.store.storedrecord import check_record
from clip4dm.files.reading import FileError, check_regular, file_sha256, is_number, parse_json
from clip4dm.scores import CLIP4DM_METHOD, SORTED_BY, check_score

REMEDY = (
    "run the main.py command of this run again (it keeps what is whole, and computes the rest anew), or take it "
    "from a copy"
)
OLDER = "the run was made by an earlier version: run its main.py command again with --overwrite"


@dataclass(frozen=True)
class FinishedRun:
    """A run that was found whole.

    run = open_run(folder)
    run.config["benchmark"], run.settings.epsilon
    """

    folder: Path
    config: RunConfig
    settings: Settings

    @property
    def samples(self) -> Path:
        """The path of samples.jsonl, for `stored_records`."""
        return self.folder / SAMPLES

    @property
    def method(self) -> str:
        """Whose attributions these are; runs from before there were other methods do not say it."""
        return str(self.config["args"].get("method", CLIP4DM_METHOD))


def open_run(folder: Path) -> FinishedRun:
    """Read and check a run's folder, every byte of its samples too. Errors: RunError, DamagedRun.

    run = open_run(Path("output/foil/ViT-B-32-openai/SETTINGS"))
    """
    if not (folder / CONFIG).is_file() or not (folder / RESULT).is_file():
        raise RunError(
            f"{folder} holds no finished run ({CONFIG}, {SAMPLES} and {RESULT}); give the folder that "
            'main.py printed behind "run:"'
        )
    config = read_object(folder / CONFIG, "give --overwrite to main.py to make the run anew")
    settings = _checked_config(folder / CONFIG, config)
    result = read_object(folder / RESULT, REMEDY)
    said = result.get("samples")
    if said is None:
        raise DamagedRun(f"{folder / RESULT} does not say how many samples there are and their checksum; {OLDER}")
    for name in sorted(set(config) - {"git_revision"}):
        if result.get(name) != config[name]:
            raise DamagedRun(
                f"{folder / RESULT} and {CONFIG} say different things of {name!r}: one was changed, or a "
                f"newer run did not end; {REMEDY}"
            )
    if said != samples_summary(folder / SAMPLES):
        for _ in stored_lines(folder / SAMPLES):  # names the line, if it is a line
            pass
        raise DamagedRun(
            f"{folder / RESULT} is of other samples than {SAMPLES} holds: a newer run did not end, or "
            f"the file was changed; {REMEDY}"
        )
    return FinishedRun(folder, cast(RunConfig, config), settings)  # what readers ask of it was checked


def samples_summary(samples: Path) -> dict[str, Any]:
    """What result.json says of samples.jsonl: {"lines", "sha256"}. Errors: DamagedRun.

    samples_summary(run.samples)["lines"]
    """
    sums = _sums(samples)
    _check_file(samples)
    if samples.stat().st_size != sum(entry.size for entry in sums):
        for _ in stored_lines(samples):  # finds where
            pass
    return {"lines": sum(entry.lines for entry in sums), "sha256": file_sha256(samples)}


def stored_records(samples: Path, layers: int) -> Iterator[dict[str, Any]]:
    """The records of a samples file, in order, each block once its checksum was found right and each record sound.

    layers: of the text tower, as every record has attributions of all. Errors: DamagedRun.

        cosines = [record["cosine"] for record in stored_records(run.samples, run.settings.layers)]
    """
    for number, line in stored_lines(samples):
        where = f"{samples}, line {number}"
        try:
            record = parse_json(line.decode("utf-8", "surrogatepass"))
        except ValueError as error:
            raise DamagedRun(f"{where} is no JSON: {error}; {REMEDY}") from None
        reason = check_record(record, layers)
        if reason:
            raise DamagedRun(f"{where}: {reason}; {REMEDY}")
        yield record


def stored_lines(samples: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of a samples file, each block once its checksum was found right. Errors: DamagedRun.

    for number, line in stored_lines(run.samples): ...
    """
    sums, first = _sums(samples), 1
    _check_file(samples)
    left = samples.stat().st_size
    with open(samples, "rb") as file:
        for entry in sums:
            data = file.read(min(entry.size, left))
            left -= len(data)
            if not data:
                raise DamagedRun(
                    f"{samples}, line {first}: the file ends here, before block {entry.block} of {len(sums)}; {REMEDY}"
                )
            if BlockSum.of(entry.block, data) != entry:
                raise DamagedRun(
                    f"{samples}, {_damaged_lines(data, entry, first)}: not what was stored (the checksum "
                    f"of block {entry.block} is another one); {REMEDY}"
                )
            yield from enumerate(data[:-1].split(b"\n"), first)
            first += entry.lines
        if file.read(1):
            raise DamagedRun(
                f"{samples}, line {first}: the run has {first - 1} samples, and something stands behind them; {REMEDY}"
            )


def read_caption_metrics(folder: Path) -> dict[str, dict[str, float]] | None:
    """caption_metrics.json, {sample id: {metric: score}}; None where there is none. Errors: DamagedRun.

    >>> read_caption_metrics(Path("no/such/folder")) is None
    True
    """
    path = folder / CAPTION_METRICS
    if not path.exists():
        return None
    scores = read_sealed(path)
    if not all(isinstance(row, dict) and all(map(is_number, row.values())) for row in scores.values()):
        raise DamagedRun(f"{path} holds other things than scores; remove it, and the next call computes it anew")
    return scores


def _damaged_lines(data: bytes, entry: BlockSum, first: int) -> str:
    """Where a damaged block's lines are; the one line that is cut short or no JSON, if there is one."""
    lines = data.split(b"\n")
    if lines[-1]:  # the line end is missing: at the file's end, or where longer lines moved here
        return f"line {first + len(lines) - 1}" if len(data) < entry.size else _span(first, entry.lines)
    if len(lines) - 1 == entry.lines:
        for number, line in enumerate(lines[:-1], first):
            try:
                parse_json(line.decode("utf-8", "surrogatepass"))
            except ValueError:
                return f"line {number}"
    return _span(first, entry.lines)


def _span(first: int, lines: int) -> str:
    return f"line {first}" if lines == 1 else f"lines {first} to {first + lines - 1}"


def _sums(samples: Path) -> list[BlockSum]:
    path = sums_path(samples)
    if not path.exists():
        raise DamagedRun(
            f"{path} is not there, so that nothing says whether {samples.name} is whole; if it was never there, {OLDER}"
        )
    found: list[BlockSum] = []
    try:
        for number, entry in read_sums(path):
            if entry is None or entry.block != len(found):
                raise DamagedRun(f"{path}, line {number} is not the checksum of block {len(found)}; {REMEDY}")
            found.append(entry)
    except FileError as error:
        raise DamagedRun(f"{error}; {REMEDY}") from None
    if sum(len(entry.to_line()) for entry in found) != path.stat().st_size:
        raise DamagedRun(f"{path}, line {len(found) + 1} is cut short; {REMEDY}")
    return found


def _check_file(samples: Path) -> None:
    try:
        check_regular(samples)
    except FileError as error:
        raise DamagedRun(f"{error}; {REMEDY}") from None


# What readers ask of a config.json; None stands for null.
_WANTED: dict[str, tuple[type, ...]] = {
    "benchmark": (str,),
    "backbone": (str,),
    "pretrained": (str,),
    "fingerprint": (str,),
    "settings": (dict,),
    "args": (dict,),
    "nli_reason": (str, type(None)),
    "settings.sorted_by": (str,),
    "settings.epsilon": (int, float),
    "settings.start_layer_text": (int,),
    "settings.layers": (int,),
    "args.seed": (int,),
    "args.nli_model": (str,),
    "args.template": (str,),
    "args.limit": (int, type(None)),
    "args.img_dir": (str,),
}


def _checked_config(path: Path, config: dict[str, Any]) -> Settings:
    """The settings of a config.json that has all that readers ask of it. Errors: DamagedRun."""
    remedy = "give --overwrite to main.py to make the run anew"
    for name, kinds in _WANTED.items():
        inner, _, last = name.rpartition(".")
        content = config[inner] if inner else config
        value = content.get(last)
        if last not in content or isinstance(value, bool) or not isinstance(value, kinds):
            raise DamagedRun(f"{path} has no {name} that could be; {remedy}")
    settings = config["settings"]
    names = {field.name for field in fields(Settings)}
    if (
        set(settings) not in (names, names - {"score", "score_weight"})
        or settings["sorted_by"] not in SORTED_BY
        or settings["layers"] < 1
        or config["benchmark"] not in BENCHMARKS
        or config["args"]["seed"] < 0
    ):
        raise DamagedRun(f"{path} has settings or a benchmark that cannot be; {remedy}")
    found = Settings(**settings)
    try:
        check_score(found.score, found.score_weight)
    except InputError as error:
        raise DamagedRun(f"{path} has a score that cannot be ({error}); {remedy}") from None
    return found
