"""SAVE_DIR/manifest.jsonl: the files that are there, a line each, with the size and the digest they came with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from fetching.folder import MANIFEST, JsonLines, json_line, read_json_lines, write_whole


@dataclass(frozen=True)
class Entry:
    """A file that is there: a line of the manifest."""

    name: str
    url: str
    size: int
    sha256: str


def read_manifest(save_dir: Path) -> dict[str, Entry]:
    """name -> entry; the last line of a name counts. Lines that are none, such as one cut off by a kill, do not."""
    entries: dict[str, Entry] = {}
    for row in read_json_lines(save_dir / MANIFEST):
        entry = Entry(*(row.get(name) for name in ("name", "url", "size", "sha256")))
        if all(isinstance(text, str) for text in (entry.name, entry.url, entry.sha256)) and type(entry.size) is int:
            entries[entry.name] = entry
    return entries


class Manifest:
    """The manifest while files come in: a line is on disk before the next file is counted. writing: or only read."""

    def __init__(self, save_dir: Path, writing: bool = True) -> None:
        self.path, self.entries = save_dir / MANIFEST, read_manifest(save_dir)
        self.lines = JsonLines(self.path, map(asdict, self.entries.values())) if writing else None

    def add(self, entry: Entry) -> None:
        self.entries[entry.name] = entry
        if self.lines:
            self.lines.add(asdict(entry))

    def close(self) -> None:
        """Write it anew, a line a file, by name."""
        if self.lines:
            self.lines.close()
            write_whole(self.path, "".join(json_line(asdict(self.entries[name])) for name in sorted(self.entries)))
