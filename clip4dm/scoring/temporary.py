"""Files on their way, by names that say whose they are: what a process that was killed left behind can be told."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from clip4dm.files.writing import put_in_place, replace_file
from clip4dm.scoring.pairs import ScoringError

_NAME = re.compile(r"\..+\.([\w-]+)\.(\d+)\.tmp")


def create_file(path: Path, data: bytes) -> bool:
    """Write a file that is not there; False where it is. Of several processes that try, one succeeds. Errors: OSError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file"
    >>> create_file(path, b"first"), create_file(path, b"second"), path.read_bytes()
    (True, False, b'first')
    """
    if path.exists():
        return False
    temporary = temporary_name(path)
    try:
        temporary.write_bytes(data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            put_in_place(temporary, path)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def replace_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Errors: OSError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file"
    >>> replace_whole(path, b"whole"); path.read_bytes()
    b'whole'
    """
    replace_file(path, data, temporary_name(path))


@contextlib.contextmanager
def writable(path: Path, hint: str = "") -> Iterator[None]:
    """Whatever the system says against writing becomes a ScoringError that names the file. hint: what else to say.

    >>> with writable(Path("kept.txt")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    clip4dm.scoring.pairs.ScoringError: kept.txt cannot be written: No space left on device
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # pyarrow says it at length
        raise ScoringError(f"{path} cannot be written: {reason}" + (f". {hint}" if hint else "")) from error


def temporary_name(path: Path) -> Path:
    """A file's name on its way: of this machine, PID namespace and process.

    >>> temporary_name(Path("scores/00000.parquet")).name.startswith(".00000.parquet.")
    True
    """
    return path.with_name(f".{path.name[:150]}.{owner()}.{os.getpid()}.tmp")


def remove_left_behind_of(path: Path) -> None:
    """Remove what killed processes left of this very file. To be called before this one writes it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file"
    >>> _ = temporary_name(path).write_bytes(b"half")
    >>> remove_left_behind_of(path); list(path.parent.iterdir())
    []
    """
    for file in path.parent.glob(f".{glob.escape(path.name[:150])}.*.tmp"):
        if is_left_behind(file):
            with contextlib.suppress(OSError):
                file.unlink()


def is_left_behind(path: Path) -> bool:
    """Whether a file is a temporary one of this machine's ended processes, or of an earlier one of this one's number.

    >>> is_left_behind(temporary_name(Path("00000.parquet"))), is_left_behind(Path(".notes.tmp"))
    (True, False)
    """
    match = _NAME.fullmatch(path.name)
    return match is not None and match[1] == owner() and not _alive(int(match[2]))


def owner() -> str:
    """What process numbers belong to: the machine's name, and that of the PID namespace, where there are such.

    Containers may share a folder and a stated name, and see none of each other's processes.

    >>> temporary_name(Path("file")).name.split(".")[2] == owner()
    True
    """
    host = re.sub(r"[^\w-]", "-", socket.gethostname())[:40] or "host"
    try:
        return f"{host}-{re.sub('[^0-9]', '', os.readlink('/proc/self/ns/pid'))}"
    except OSError:
        return host


def _alive(pid: int) -> bool:
    if pid == os.getpid():  # of an earlier process with this number: this one has only begun
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:  # ended, and waited for by nobody: in a container whose first process does not, it stays so
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] != b"Z"
    except OSError:
        return True
