"""A checksum for every block of a samples file: a block that has none, or another one, was never stored.

Beside samples.jsonl lies samples.sums with a line a block, `BLOCK LINES BYTES SHA256`. A block's bytes are written and
synced first, its line here afterwards, so that whatever ends a run in between costs that block and nothing else. Of a
finished run the lines stand in the order of the blocks: they follow from the bytes of samples.jsonl and the plan alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clip4dm.files.reading import LARGEST_TEXT, check_regular

_LINE = re.compile(rb"(\d{1,12}) (\d{1,12}) (\d{1,18}) ([0-9a-f]{64})\n")
_LONGEST_LINE = 1000  # bytes, more than any has
_ID = re.compile(rb'\{\s*"id"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, order=True)
class BlockSum:
    """lines, bytes: how many the block has. sha256: of its bytes, hexadecimal."""

    block: int
    lines: int
    bytes: int
    sha256: str

    @classmethod
    def of(cls, block: int, data: bytes) -> BlockSum:
        return cls(block, data.count(b"\n"), len(data), hashlib.sha256(data).hexdigest())

    def to_line(self) -> bytes:
        return f"{self.block} {self.lines} {self.bytes} {self.sha256}\n".encode()


@dataclass(frozen=True)
class FoundBlock:
    """A block's lines as they stand together in a file, from byte `offset` on. good: its checksum is a known one."""

    path: Path
    offset: int
    sum: BlockSum
    good: bool

    def read(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.sum.bytes)


def sums_path(samples: Path) -> Path:
    """samples.jsonl -> samples.sums."""
    return samples.with_suffix(".sums")


def read_sums(path: Path) -> Iterator[tuple[int, BlockSum | None]]:
    """(line number from 1, its checksum or None where damaged). A last line cut short is none. Errors: FileError."""
    check_regular(path, LARGEST_TEXT)
    number, begins = 1, True  # whether the next piece begins a line
    with open(path, "rb") as file:
        while piece := file.readline(_LONGEST_LINE):
            match = _LINE.fullmatch(piece)
            if match and begins:
                block, lines, size = map(int, match.groups()[:3])
                yield number, BlockSum(block, lines, size, match[4].decode())
            elif begins and (piece.endswith(b"\n") or len(piece) == _LONGEST_LINE):
                yield number, None
            begins = piece.endswith(b"\n")
            number += begins


def find_blocks(
    path: Path, blocks: Collection[Collection[str]], block_of: Mapping[str, int], known: Collection[BlockSum]
) -> Iterator[FoundBlock]:
    """The blocks whose lines all stand together in a samples file, wherever: damage elsewhere costs them nothing.

    blocks: the ids of each block's samples. block_of: each sample's block. known: the checksums that count.
    """
    known = frozenset(known)
    longest = max((entry.bytes for entry in known), default=0) + (16 << 20)  # what is longer was never a block
    current, lines, size, start, offset = None, [], 0, 0, 0
    with open(path, "rb") as file:
        while line := file.readline(longest):
            block = block_of.get(_sample_id(line))
            if block != current or block is None or size + len(line) > longest:
                current, lines, size, start = block, [], 0, offset
            offset += len(line)
            if block is None:
                continue
            lines.append(line)
            size += len(line)
            if len(lines) == len(blocks[block]):
                entry = BlockSum.of(block, b"".join(lines))
                yield FoundBlock(path, start, entry, entry in known)
                current = None


def _sample_id(line: bytes) -> str | None:
    """The id that a line begins with; the checksum says whether the rest is right."""
    match = _ID.match(line) if line.endswith(b"\n") else None
    try:
        return json.loads(match[1].decode("utf-8", "surrogatepass")) if match else None
    except ValueError:
        return None
