"""Pictures for a report, from a folder or from tar shards: nothing outside of what was named is ever opened.

A report is sent around, and the names of pictures come from files that anybody may have made: a name that leads out of
the folder could put any picture of this machine into it.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.errors import short_reason
from clip4dm.files.images import MAX_BYTES, ImageError, decode_image, load_image
from clip4dm.scoring.inputs.opening import is_remote
from clip4dm.scoring.schema import clean

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class FolderPictures:
    """Pictures below a folder. amiss: why there are none at all, None if there may be.

    >>> FolderPictures("no/such/folder").amiss
    'the folder of pictures, no/such/folder, is not there: --img_dir says where it is'
    """

    folder: str

    @property
    def amiss(self) -> str | None:
        """For a notice."""
        if is_remote(self.folder):
            return f"the pictures are not on this machine ({self.folder}): --img_dir says where they are"
        if not os.path.isdir(self.folder):
            return f"the folder of pictures, {self.folder}, is not there: --img_dir says where it is"
        return None

    def picture(self, name: str) -> Image:
        """By its path from the folder, or one that leads into it. Errors: ImageError."""
        if name.startswith("sha256:"):
            raise ImageError("the picture is a cell of the table that was scored")
        if self.amiss:
            raise ImageError("the folder of pictures is not there")
        folder = os.path.abspath(self.folder)
        path = os.path.normpath(os.path.join(folder, name))
        if is_remote(name) or not Path(path).is_relative_to(folder):
            raise ImageError("the picture lies outside of the folder of pictures")
        try:
            return load_image(path)
        except ImageError as error:  # a report is sent around, and need not name this machine's folders
            raise ImageError(str(error).replace(f"{folder}{os.sep}", "")) from None


class TarPictures:
    """Pictures in tar shards, LABEL/MEMBER. tars: {label: path}. A tar's list of members is read once, when asked for.

    TarPictures({"00000.tar": "shards/00000.tar"}).picture("00000.tar/7.jpg")
    """

    def __init__(self, tars: dict[str, str], amiss: str | None = None) -> None:
        self.tars, self.amiss = tars, amiss
        self._open: tuple[str, tarfile.TarFile, dict[str, tarfile.TarInfo]] | None = None

    def picture(self, name: str) -> Image:
        """Errors: ImageError."""
        label = next((label for label in self.tars if name.startswith(f"{label}/")), None)
        if label is None:
            raise ImageError("the tar with the picture is not there")
        try:
            file, members = self._members(label)
            member = members.get(name.removeprefix(f"{label}/"))
            if member is None or not member.isreg() or member.size > MAX_BYTES:
                raise ImageError("the picture is not in its tar")
            content = file.extractfile(member)
            return decode_image(content.read() if content else b"", name)
        except (OSError, EOFError, tarfile.TarError) as error:
            raise ImageError(f"the tar with the picture cannot be read ({short_reason(error)})") from None

    def _members(self, label: str) -> tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]:
        if self._open is None or self._open[0] != label:
            if self._open is not None:
                self._open[1].close()
            file = tarfile.open(self.tars[label], "r:*")
            self._open = (label, file, {clean(member.name): member for member in file})
        return self._open[1:]


def tar_pictures(given: Sequence[str], labels: Sequence[str], img_dir: str | None) -> TarPictures:
    """The tars that scores are of. given: the words of the command line then. labels: of the shards' files.

    img_dir: the folder where they lie now; None: as given then.

    >>> tar_pictures([], ["00000.tar"], None).amiss
    'the tars that were scored are not there: --img_dir says in which folder they are'
    """
    from clip4dm.scoring.inputs.opening import expand
    from clip4dm.scoring.pairs import ScoringError

    try:
        paths = expand([str(Path(img_dir) / "*.tar")] if img_dir else list(given))
    except ScoringError:
        paths = []
    tars = {label: path for label in labels for path in paths if _ends_with(path, label) and os.path.isfile(path)}
    missing = "the tars that were scored are not there: --img_dir says in which folder they are"
    return TarPictures(tars, None if tars else missing)


def _ends_with(path: str, label: str) -> bool:
    parts, end = path.split("/"), label.split("/")
    return parts[-len(end) :] == end
