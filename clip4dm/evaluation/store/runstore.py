"""A run's folder: samples that survive Ctrl-C, kill -9 and power cuts, and never mix with another run's.

Work comes in blocks (some images and all their captions). A block's lines are written and synced, then its checksum;
a block counts once its checksum stands there. What an interruption leaves half-written is cut off when the folder is
opened again, what was changed since it was stored is computed again, with a note. Several processes write parts of
their own, which are merged in block order, so that samples.jsonl has the same order however it came about.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clip4dm.evaluation.records import from_line
from clip4dm.evaluation.store.checksums import BlockSum, FoundBlock, find_blocks, read_sums, sums_path
from clip4dm.evaluation.store.claim import claim
from clip4dm.evaluation.store.runfiles import (
    SAMPLES,
    SUMS,
    DamagedRun,
    RunError,
    append,
    part_files,
    sums_files,
    write_whole,
    writing,
)


class RunStore:
    r"""The folder of one run.

    blocks: for every block the ids of its samples, in the order of their lines. rank: of this process.
    Opening reads what is there; nothing is written before `begin`.

    >>> import tempfile
    >>> folder, config = Path(tempfile.mkdtemp()), {"fingerprint": "0123abcd"}
    >>> store = RunStore(folder, [["a", "b"], ["c"]])
    >>> store.begin(config)
    >>> store.append(0, [b'{"id": "a"}\n', b'{"id": "b"}\n'], to_part=False)  # and then the power goes
    >>> store = RunStore(folder, [["a", "b"], ["c"]])
    >>> store.begin(config); store.missing()
    [1]
    >>> store.append(1, [b'{"id": "c"}\n'], to_part=False); store.finish()
    """

    def __init__(self, folder: Path, blocks: Sequence[Sequence[str]], rank: int = 0):
        self.folder = folder
        self.blocks = blocks
        self.rank = rank
        self.samples = folder / SAMPLES
        self._block_of = {sample: number for number, block in enumerate(blocks) for sample in block}
        self._stored: dict[int, FoundBlock] = {}
        self._sizes: dict[Path, int] = {}  # of the files that are appended to, as this run left them
        self._prefix = 0  # complete blocks in samples.jsonl, from the first on

    def begin(
        self,
        config: Mapping[str, Any],
        *,
        resume: bool = True,
        overwrite: bool = False,
        readable: Callable[[str], bool] = lambda image: False,
    ) -> None:
        """Claim the folder for a run of this config. Errors: RunError if another run's samples are in it.

        readable: whether an image that was skipped can be read by now; its block is then computed again.
        """
        claim(self.folder, config, resume=resume, overwrite=overwrite)
        if not (self.folder / SUMS).exists():
            write_whole(self.folder / SUMS, b"")  # before any sample: samples without it are an older version's
        found = self._found()
        kept = {block: place for block, place in found.items() if not self._recovered(place, readable)}
        self._keep(kept)
        self.collect()

    def collect(self) -> None:
        """Find the stored blocks in samples.jsonl and in all parts; cut off what an interruption left behind.

        Errors: RunError where that cannot be cut.
        """
        self._stored = self._found(quietly=True)
        self._prefix, end = self._prefix_of(self._stored)
        stray = any(place.path == self.samples and place.offset >= end for place in self._stored.values())
        ends = {self.samples: end}
        for path in part_files(self.folder):
            ends[path] = max((p.offset + p.sum.size for p in self._stored.values() if p.path == path), default=0)
        for path, size in ends.items():
            if self.rank == 0 and not stray and path.exists() and path.stat().st_size > size:
                with writing(path):
                    os.truncate(path, size)
        self._sizes = {path: path.stat().st_size for path in (*ends, *sums_files(self.folder)) if path.exists()}

    def missing(self) -> list[int]:
        """The blocks that no file holds yet, in order."""
        return [b for b in range(len(self.blocks)) if b not in self._stored]

    def samples_done(self) -> int:
        """The number of samples in complete blocks."""
        return sum(len(self.blocks[number]) for number in self._stored)

    def append(self, block: int, lines: Sequence[bytes], *, to_part: bool) -> None:
        """Store a block. In one process (to_part False) blocks come in order and go to samples.jsonl directly.

        lines: with their line ends. Errors: RunError for a block out of order, or where it cannot be written.
        """
        path = self.folder / f"samples.part-{self.rank}.jsonl" if to_part else self.samples
        if not to_part:
            self.take_parts(block)
            if block != self._prefix:
                raise RunError(f"block {block} came before block {self._prefix}; blocks are stored in order")
        self._store(path, block, b"".join(lines))

    def take_parts(self, until: int | None = None) -> None:
        """Move the blocks that parts hold next (before `until`) to samples.jsonl.

        Errors: DamagedRun where a part has changed meanwhile; RunError where it cannot be written.
        """
        while self._prefix in self._stored and self._prefix != until:
            place = self._stored[self._prefix]
            data = place.read()
            if BlockSum.of(self._prefix, data) != place.sum:
                raise DamagedRun(
                    f"{place.path} changed while this run went on: block {self._prefix} is not what was "
                    "stored. Run the same command again: what is whole is kept"
                )
            self._store(self.samples, self._prefix, data)

    def finish(self) -> None:
        """Merge all parts into samples.jsonl and remove them. Errors: RunError if a block is missing."""
        self.take_parts()
        if self._prefix != len(self.blocks):
            raise RunError(f"{self.folder}: block {self._prefix} of {len(self.blocks)} is missing; run again to resume")
        self._write_sums(self._stored)
        for path in part_files(self.folder):
            path.unlink()

    def _found(self, quietly: bool = False) -> dict[int, FoundBlock]:
        """The blocks whose bytes have a known checksum. Says which others should be there, unless quietly."""
        known: set[BlockSum] = set()
        for path in sums_files(self.folder):
            for number, entry in read_sums(path):
                if entry is not None:
                    known.add(entry)
                elif not quietly:
                    warnings.warn(f"{path}, line {number} is damaged: its block is computed again", stacklevel=2)
        good: dict[int, FoundBlock] = {}
        others: set[int] = set()
        for path in [self.samples, *part_files(self.folder)]:
            if path.exists():
                for place in find_blocks(path, self.blocks, self._block_of, known):
                    if place.good:
                        good.setdefault(place.sum.block, place)
                    else:
                        others.add(place.sum.block)
        lost = {entry.block for entry in known} - set(good)
        if len(others - set(good)) > 1:  # one may have been stored when its checksum was about to be
            lost |= others - set(good)
        if lost and not quietly:
            warnings.warn(self._what_was_lost(sorted(lost)), stacklevel=2)
        return good

    def _what_was_lost(self, lost: list[int]) -> str:
        first = [1]
        for block in self.blocks:
            first.append(first[-1] + len(block))
        named = ", ".join(
            f"block {b} (lines {first[b]} to {first[b + 1] - 1} of the whole)" for b in lost[:3] if b < len(self.blocks)
        )
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        return f"{self.samples} is damaged: {named}{more} are not what was stored, and are computed again"

    def _prefix_of(self, stored: Mapping[int, FoundBlock]) -> tuple[int, int]:
        """(blocks, bytes) of samples.jsonl from its beginning on, without a gap."""
        block = end = 0
        while block in stored and stored[block].path == self.samples and stored[block].offset == end:
            end += stored[block].sum.size
            block += 1
        return block, end

    def _keep(self, kept: Mapping[int, FoundBlock]) -> None:
        """Of all that is stored, let these blocks count, and move those of samples.jsonl behind a gap to a part."""
        _, end = self._prefix_of(kept)
        stray = [kept[b] for b in sorted(kept) if kept[b].path == self.samples and kept[b].offset >= end]
        if stray:
            numbers = (n for n in range(len(self.blocks) + 1))
            target = next(
                path for path in (self.folder / f"samples.part-kept-{n}.jsonl" for n in numbers) if not path.exists()
            )
            _copy(stray, target)
        self._write_sums(kept)
        if stray:
            with writing(self.samples):
                os.truncate(self.samples, end)

    def _write_sums(self, stored: Mapping[int, FoundBlock]) -> None:
        """samples.sums of these blocks, in order, and no other sums; untouched where they say that already."""
        data = b"".join(stored[block].sum.to_line() for block in sorted(stored))
        path = self.folder / SUMS
        if path.read_bytes() != data:
            write_whole(path, data)
        for other in sums_files(self.folder):
            if other != path:
                other.unlink()

    def _store(self, path: Path, block: int, data: bytes) -> None:
        """The block's bytes, then its checksum: killed in between, the block is computed again."""
        entry, sums = BlockSum.of(block, data), sums_path(path)
        place = FoundBlock(path, self._sizes.get(path, 0), entry, True)
        append(path, data, place.offset)
        self._sizes[path] = place.offset + len(data)
        append(sums, entry.to_line(), self._sizes.get(sums, 0))
        self._sizes[sums] = self._sizes.get(sums, 0) + len(entry.to_line())
        self._stored[block] = place
        if path == self.samples:
            self._prefix += 1

    def _recovered(self, place: FoundBlock, readable: Callable[[str], bool]) -> bool:
        """Whether an image of a stored block that was skipped has become readable."""
        skipped = [from_line(line) for line in place.read().splitlines(keepends=True) if b'"skipped":' in line]
        return any(readable(record["image"]) for record in skipped if "skipped" in record)


def _copy(places: Sequence[FoundBlock], target: Path) -> None:
    """Write blocks to a new part. Cut short it costs nothing: they still stand, with their sums, where they stood."""
    with writing(target), open(target, "xb") as file:
        for place in places:
            file.write(place.read())
        file.flush()
        os.fsync(file.fileno())
