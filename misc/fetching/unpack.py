"""The pictures of a zip that nobody has looked into -> a folder, each whole or not at all."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fetching.checks import check_picture
from fetching.fetch_folder import Summary
from fetching.folder import FULL, FetchError, locked, reason_of, safe_path, whole_file

from clip4dm.errors import InputError

PICTURES = (".jpg", ".jpeg", ".png")
BLOCK = 1 << 20  # bytes


def check_zip(path: Path) -> None:
    """Whether a zip's directory can be read; its members are proved when they are unpacked. Errors: FetchError."""
    try:
        with zipfile.ZipFile(path):
            pass
    except OSError:
        raise
    except Exception as error:  # BadZipFile, NotImplementedError, struct.error, ... from bytes of anyone's choosing
        raise FetchError(f"not a whole zip file ({reason_of(error)})") from None


def unpack(archive_path: Path, save_dir: Path, max_bytes: int) -> Summary:
    """Unpack the pictures of a zip into a folder, each under a temporary name first. Summary.failed: member -> reason.

    Only members that are pictures by name are taken, without their folders, and each is decoded once; one that is
    there with the size and the checksum that the zip says is kept. Of two members that end in the same name the first
    is taken; the second fails unless it is the same picture. A full disk stops it. Errors: ValueError if there is no
    picture in the zip, or another call writes into the folder.
    """
    from tqdm import tqdm

    summary, taken = Summary(), {}
    with locked(save_dir), zipfile.ZipFile(archive_path) as archive:
        members = [member for member in archive.infolist() if member.filename.lower().endswith(PICTURES)]
        if not members:
            raise InputError(
                f"{archive_path} has no picture in it, of {len(archive.infolist())} members; remove it, "
                "and give the right --zip_url"
            )
        for member in tqdm(members, "unpacking", unit="file", disable=None):
            summary.wanted += 1
            with _failing(member.filename, summary):
                name = PurePosixPath(member.filename).name
                path = safe_path(save_dir, name)
                first = taken.setdefault(name, member)
                if first is not member and (first.file_size, first.CRC) != (member.file_size, member.CRC):
                    raise FetchError(f"another picture called {name} came before it, {first.filename!r:.120}")
                if is_there(path, member):
                    summary.present += 1
                    continue
                _take(archive, member, path, max_bytes)
                summary.fetched, summary.bytes = summary.fetched + 1, summary.bytes + member.file_size
            if summary.stopped:
                break
    return summary


def _take(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, max_bytes: int) -> None:
    if member.file_size > max_bytes:
        raise FetchError(f"{member.file_size} bytes, over the limit of {max_bytes} (--max_bytes)")
    with whole_file(path, check_picture) as target, archive.open(member) as source:
        while block := _next_block(source):
            target.write(block)


def _next_block(source) -> bytes:
    """Decompressed bytes, never more in all than the member says it has. Errors: FetchError."""
    try:
        return source.read(BLOCK)
    except Exception as error:  # BadZipFile of a wrong checksum, zlib.error, EOFError, LZMAError, bz2's OSError, ...
        raise FetchError(f"damaged: {reason_of(error)}") from None


@contextlib.contextmanager
def _failing(name: str, summary: Summary) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        summary.failed[name] = reason_of(error)
        if error.errno in FULL:
            summary.stopped = reason_of(error)
    except Exception as error:  # FetchError; of opening a member: RuntimeError (encrypted), NotImplementedError, ...
        summary.failed[name] = str(error) if isinstance(error, FetchError) else reason_of(error)


def is_there(path: Path, member: zipfile.ZipInfo) -> bool:
    """Whether a file has the size and the CRC-32 that the zip's directory says."""
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum == member.CRC
