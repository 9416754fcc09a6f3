"""A checksum for every block of a samples file: a block that has none, or another one, was never stored.

Beside samples.jsonl lies samples.sums with a line a block, `BLOCK LINES BYTES SHA256`. A block's bytes are written and
synced first, its line here afterwards, so that whatever ends a run in between costs that block and nothing else. Of a
finished run the lines stand in the order of the blocks: they follow from the bytes of samples.jsonl and the plan alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clip4dm.files.reading import LARGEST_TEXT, check_regular

_LINE = re.compile(rb"(\d{1,12}) (\d{1,12}) (\d{1,18}) ([0-9a-f]{64})\n")
_LONGEST_LINE = 1000  # bytes, more than any has
_ID = re.compile(rb'\{\s*"id"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, order=True)
class BlockSum:
    r"""A block's checksum. lines, size: how many lines and bytes it has. sha256: of its bytes, hexadecimal.

    >>> BlockSum.of(3, b"one line\n").to_line()[:12]
    b'3 1 9 3887c2'
    """

    block: int
    lines: int
    size: int
    sha256: str

    @classmethod
    def of(cls, block: int, data: bytes) -> BlockSum:
        """That of a block's bytes."""
        return cls(block, data.count(b"\n"), len(data), hashlib.sha256(data).hexdigest())

    def to_line(self) -> bytes:
        """As it stands in samples.sums."""
        return f"{self.block} {self.lines} {self.size} {self.sha256}\n".encode()


@dataclass(frozen=True)
class FoundBlock:
    """A block's lines as they stand together in a file, from byte `offset` on. good: its checksum is a known one.

    for found in find_blocks(path, blocks, block_of, known):
        found.good, len(found.read()) == found.sum.size
    """

    path: Path
    offset: int
    sum: BlockSum
    good: bool

    def read(self) -> bytes:
        """The block's bytes, as they are by now."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.sum.size)


def sums_path(samples: Path) -> Path:
    """The checksums of a samples file.

    >>> sums_path(Path("run/samples.part-0.jsonl")).name
    'samples.part-0.sums'
    """
    return samples.with_suffix(".sums")


def read_sums(path: Path) -> Iterator[tuple[int, BlockSum | None]]:
    """(line number from 1, its checksum or None where damaged). A last line cut short is none. Errors: FileError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "samples.sums"
    >>> size = path.write_bytes(BlockSum.of(0, b"a line").to_line())
    >>> [(number, entry.block) for number, entry in read_sums(path)]
    [(1, 0)]
    """
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
    path: Path, blocks: Sequence[Sequence[str]], block_of: Mapping[str, int], known: Collection[BlockSum]
) -> Iterator[FoundBlock]:
    """The blocks whose lines all stand together in a samples file, wherever: damage elsewhere costs them nothing.

    blocks: the ids of each block's samples. block_of: each sample's block. known: the checksums that count.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "samples.jsonl"
    >>> size = path.write_text('{"id": "a"}' + chr(10))
    >>> [(found.sum.block, found.good) for found in find_blocks(path, [["a"]], {"a": 0}, known=[])]
    [(0, False)]
    """
    known = frozenset(known)
    longest = max((entry.size for entry in known), default=0) + (16 << 20)  # what is longer was never a block
    current: int | None = None  # the block that the last lines belong to
    lines: list[bytes] = []
    size = start = offset = 0
    with open(path, "rb") as file:
        while line := file.readline(longest):
            sample = _sample_id(line)
            block = None if sample is None else block_of.get(sample)
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
        return str(json.loads(match[1].decode("utf-8", "surrogatepass"))) if match else None
    except ValueError:
        return None
