"""What made a result: versions, hashes of weights and data, git revision, and one fingerprint of it all."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from clip4dm import __version__
from clip4dm.files.reading import file_sha256

PACKAGES = ("torch", "open_clip_torch", "pillow", "numpy")  # what every number depends on


def versions(*more: str) -> dict[str, str]:
    """The versions of clip4dm and of what its numbers depend on. more: further packages.

    >>> versions("safetensors")["clip4dm"] == __version__
    True
    """
    return {"clip4dm": __version__, **{name: metadata.version(name) for name in (*PACKAGES, *more)}}


def path_sha256(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their names (a dataset saved to disk). Errors: OSError.

    >>> import tempfile
    >>> path_sha256(Path(tempfile.mkdtemp()))[:8]  # of an empty folder
    'e3b0c442'
    """
    if not path.is_dir():
        return file_sha256(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def git_revision() -> str | None:
    """The project's git commit, "+changes" behind it where files differ; None outside a checkout.

    git_revision()  # "0123abcd...+changes"
    """
    here = Path(__file__).resolve().parents[2]

    def git(*command: str) -> str | None:
        try:
            done = subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    root, commit = git("rev-parse", "--show-toplevel"), git("rev-parse", "HEAD")
    if not commit or root is None or Path(root).resolve() != here:
        return None  # installed somewhere inside another project's checkout
    return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that differ as soon as any part does. parts: anything JSON can hold, in any order.

    >>> fingerprint({"epsilon": -5e-5, "limit": None}), fingerprint({"limit": None, "epsilon": -1e-5})
    ('4e7330e060a4', '5a8e6f8ccb2b')
    """
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:12]
