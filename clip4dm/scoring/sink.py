"""Where scores are stored: a folder with a file a shard, each written whole or not at all.

    _score.json      the settings, the model, what the input was; a leading "_" is left out by readers of a folder
    NAME.parquet     a shard's rows; its metadata's key b"clip4dm" is a JSON object with the shard's fingerprint
    NAME.jsonl       the same as text, where that was asked for; NAME.meta.json beside it holds what the metadata would
    .NAME.HOST-NAMESPACE.PID.tmp   a file on its way

A shard is done if its file is there with the fingerprint of these settings and this shard. Hence the same command, run
again after whatever ended it, does what is missing and nothing else, and processes may share a folder.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.captions.sentences import CUT
from clip4dm.files.provenance import fingerprint, versions
from clip4dm.files.reading import FileError, kind_of, read_json
from clip4dm.files.writing import put_in_place
from clip4dm.scoring.formats import OUTPUT_FORMATS
from clip4dm.scoring.inputs.opening import is_remote
from clip4dm.scoring.maker import Maker
from clip4dm.scoring.pairs import ScoringError
from clip4dm.scoring.schema import METADATA_KEY, further_columns
from clip4dm.scoring.temporary import create_file, is_left_behind, replace_whole, temporary_name
from clip4dm.scoring.writers import JsonlWriter, ParquetWriter, Summary, Writer, writing

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.scoring.inputs.base import Input, Shard
    from clip4dm.scoring.suggestions import SuggestionSettings

SCORE_FILE = "_score.json"


@dataclass(frozen=True)
class Sink:
    """A folder of scores under one set of settings; can be pickled, and opens nothing.

    made_by: what tells these scores from others: "settings", "model", "weights_sha256", "input" (see `open_sink`).
    remarks: what is stored beside it and may differ between runs: "versions", "given", "shards" (how many there are).
    suggest: what is suggested beside the scores, as the settings in made_by say it.

        sink = Sink(Path("scores"), made_by, remarks)
        sink.prepare(overwrite=False)
        with sink.writer(shard) as writer:
            writer.write(rows)
    """

    folder: Path
    made_by: Mapping[str, Any]
    remarks: Mapping[str, Any]
    output_format: str = "parquet"
    suggest: SuggestionSettings | None = None

    def prepare(self, overwrite: bool = False, shards: Sequence[Shard] = ()) -> None:
        """Make the folder, hold it to these settings, remove what dead processes left behind.

        overwrite: take the place of other scores, whose files are removed; else they are an error. Files that are no
        scores are an error always. shards: all of the input's, see `check`. Errors: ScoringError.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        kept = self.check(overwrite, shards)
        self.remove_left_behind()
        if overwrite:
            with writing(self.folder):
                self._remove(self._others(shards))
        path = self.folder / SCORE_FILE
        text = json.dumps(self._mine(), indent=1, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with writing(path):
            if kept and create_file(path, text):
                return
        if self.check(overwrite):
            if read_json(path).get("shards") != self.remarks.get("shards"):  # tars were added to the input
                with writing(path):
                    replace_whole(path, text)
            return
        with writing(self.folder):
            made_by = {file: read_metadata(file).get("made_by", self.fingerprint()) for file in self._shard_files()}
            self._remove([file for file, theirs in made_by.items() if theirs != self.fingerprint()])
            replace_whole(path, text)

    def check(self, overwrite: bool = False, shards: Sequence[Shard] = ()) -> bool:
        """Whether the folder's scores, if there are any, are of these settings. Writes nothing.

        shards: all of the input's, other processes' too: what is stored of any other one is another data set's. Errors:
        ScoringError where the scores are others, unless they may be overwritten.
        """
        kept = self._check_settings(overwrite)
        if not overwrite and (others := self._others(shards)):
            raise ScoringError(
                f"{self.folder} holds scores of shards that are not in this input ({len(others)}, the first "
                f"{others[0].name}): give all of the input, another --output, or --overwrite to have them removed"
            )
        return kept

    def _others(self, shards: Sequence[Shard]) -> list[Path]:
        names = {shard.name for shard in shards}
        files = [file for file in self._shard_files() if file.stem not in names] if names else []
        return [file for file in files if read_metadata(file).get("made_by") == self.fingerprint()]

    def _remove(self, files: Sequence[Path]) -> None:
        for file in files:
            file.unlink(missing_ok=True)
            _beside(file).unlink(missing_ok=True)

    def _check_settings(self, overwrite: bool) -> bool:
        path = self.folder / SCORE_FILE
        if not path.exists():
            return self._check_shards(overwrite)
        try:
            theirs = read_json(path)
        except FileError as error:
            if overwrite:
                return False
            raise ScoringError(f"{error}; remove that file, and the same command writes it anew") from None
        if _object(theirs).get("fingerprint") == self.fingerprint():
            return True
        self._refuse(theirs, overwrite)
        return False

    def _check_shards(self, overwrite: bool) -> bool:
        """`check` of a folder whose SCORE_FILE is gone, or not there yet: each file says itself what made it."""
        alike = True
        for file in self._shard_files():
            theirs = read_metadata(file)
            if "made_by" not in theirs:
                raise ScoringError(f"{file} is no file of scores: give an --output folder of its own")
            if theirs["made_by"] != self.fingerprint():
                self._refuse({**theirs, "output_format": file.suffix[1:]}, overwrite)
                alike = False
        return alike

    def _refuse(self, theirs: Any, overwrite: bool) -> None:
        if not overwrite:
            raise ScoringError(
                f"{self.folder} holds scores of another kind ({_differences(theirs, self._mine())}): give another "
                "--output, or --overwrite to have them removed"
            )

    def fingerprint(self, shard: Shard | None = None) -> str:
        """Of all settings; with a shard, of these and what the shard is."""
        parts: dict[str, Any] = {**self.made_by, "output_format": self.output_format}
        return fingerprint(parts if shard is None else {"made_by": fingerprint(parts), "shard": dict(shard.identity)})

    def path(self, shard: Shard) -> Path:
        """The shard's file, there or not."""
        return self.folder / f"{shard.name}.{self.output_format}"

    def done(self, shard: Shard) -> Summary | None:
        """What is stored of a shard; None where it has to be scored, a damaged file among the reasons."""
        stored = read_metadata(self.path(shard))
        if stored.get("fingerprint") != self.fingerprint(shard):
            return None
        try:
            return Summary(**stored["counts"])
        except (KeyError, TypeError):  # edited, or another version's
            return None

    @contextlib.contextmanager
    def writer(self, shard: Shard) -> Iterator[Writer]:
        """The shard's rows go to its `write`; when the block ends they are kept, with its `summary`; else dropped.

        Errors: ScoringError where the folder cannot be written to.
        """
        path = self.path(shard)
        begun = self._metadata(shard)  # what the shard is before it is read: changed meanwhile, it is not done
        temporary = temporary_name(path)
        try:
            with writing(path):
                kind = ParquetWriter if self.output_format == "parquet" else JsonlWriter
                writer = kind(path, temporary, shard, further_columns(self.made_by.get("settings", {})))
            try:
                yield writer
                assert writer.summary is not None
                metadata = {**begun, "counts": asdict(writer.summary)}
                with writing(path):
                    writer.finish(metadata)
            finally:
                with contextlib.suppress(OSError):
                    writer.close()
            with writing(path):
                metadata["bytes"] = temporary.stat().st_size
                put_in_place(temporary, path)
                if self.output_format == "jsonl":
                    replace_whole(_beside(path), json.dumps(metadata, indent=1).encode())
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _metadata(self, shard: Shard) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint(shard),
            "made_by": self.fingerprint(),
            **self.made_by,
            **self.remarks,
            "shard": {"name": shard.name, **shard.identity},
        }

    def _mine(self) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint(), **self.made_by, "output_format": self.output_format, **self.remarks}

    def _shard_files(self) -> list[Path]:
        return [file for kind in OUTPUT_FORMATS for file in sorted(self.folder.glob(f"*.{kind}"))]

    def remove_left_behind(self) -> None:
        """Remove temporary files of this machine's dead processes; another's cannot be told from those at work.

        To be called while this process writes none: one with its number is an earlier process's.
        """
        for file in self.folder.glob(".*.tmp"):
            if is_left_behind(file):
                with contextlib.suppress(OSError):
                    file.unlink()


def read_metadata(path: Path) -> dict[str, Any]:
    """What a shard's file says of itself; nothing where it is not there, not whole, or another's.

    read_metadata(Path("scores/00000.parquet"))["counts"]["pairs"]
    """
    try:
        if path.suffix == ".jsonl":
            stored = json.loads(_beside(path).read_bytes())
            return stored if stored["bytes"] == path.stat().st_size else {}
        import pyarrow.parquet as pq

        if not path.is_file():
            return {}
        stored = json.loads((pq.read_metadata(path).metadata or {})[METADATA_KEY])
        return stored if isinstance(stored, dict) else {}
    except (OSError, ValueError, KeyError, TypeError):  # pyarrow's errors are ValueErrors and OSErrors
        return {}


def _beside(path: Path) -> Path:
    return path.with_suffix(".meta.json")


def _differences(theirs: Any, mine: Mapping[str, Any]) -> str:
    """What differs between two of `_score.json`, for one line."""
    theirs, found = _object(theirs), []
    for part in ("settings", "model", "input"):
        a, b = _object(theirs.get(part)), _object(mine.get(part))
        if part == "settings":
            a, b = ({"long": CUT, **one} for one in (a, b))
        if "pairs" in a and "pairs" in b and a.get("digest") != b.get("digest"):  # of a folder; in words
            same = a["pairs"] == b["pairs"]
            found.append(f"the folder has {b['pairs']} pairs, {'of other names' if same else 'had ' + str(a['pairs'])}")
            a, b = ({**one, "pairs": None, "digest": None} for one in (a, b))
        names = {**b, **a} if part == "settings" else b  # suggestions may have been asked for then alone
        found += [f"{one} {a.get(one)!r:.40}, now {b.get(one)!r:.40}" for one in names if a.get(one) != b.get(one)]
    for name in ("weights_sha256", "output_format"):
        if theirs.get(name) != mine.get(name):
            found.append(f"{name} {theirs.get(name)!r:.20}, now {mine.get(name)!r:.20}")
    return "; ".join(found[:4]) or f"its {SCORE_FILE} is another one"


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def open_sink(
    folder: str | Path,
    found: Input,
    by: CLIP4DM | Maker,
    output_format: str = "parquet",
    suggest: SuggestionSettings | None = None,
) -> Sink:
    """The folder for the scores of an input by a detector; nothing is written yet.

    suggest: with suggestions for misaligned words, of these settings. Errors: ScoringError for a folder that is not in
    a file system of this machine: others cannot rename a file in one step; and for what is there and is no folder.

        open_sink("scores", open_input(["photos"]), detector).prepare()
    """
    if is_remote(str(folder)):
        raise ScoringError(
            f"{folder} is not on a file system of this machine: scores are written to a folder, mounted ones too"
        )
    if (kind := kind_of(Path(folder))) not in (None, "a folder"):
        raise ScoringError(f"{folder} is {kind}, and scores are written to a folder: give another --output")
    maker = (by if isinstance(by, Maker) else Maker.of(by)).suggesting(suggest)
    made_by = {
        "settings": maker.settings,
        "model": maker.model,
        "weights_sha256": maker.weights_sha256,
        "input": {"format": found.format, **found.identity},
    }
    came = {"given": list(found.given), "shards": len(found.shards())}
    remarks = {**came, "pretrained": maker.pretrained, "versions": versions("pyarrow")}
    remarks["attributed_by"] = asdict(maker.attributed_by)
    return Sink(Path(folder), made_by, remarks, output_format, suggest)
