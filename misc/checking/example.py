"""The published example's picture, which is not ours to pass on: given, or fetched once from where its authors have it.

Nobody has published its size or checksum, so that what was fetched is proved to be a whole picture and no more; its
SHA-256 stands in the report, for who has another.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

EXAMPLE_URL = "https://github.com/naver-ai/CLIP4DM/raw/HEAD/misc/a_cup_of_coffee.jpg"
INSTEAD = "give it as --example_image"


class NotAtHand(Exception):
    """Why the picture could not be had, in a line."""


def example_picture(folder: Path, say: Callable[[str], None]) -> Path:
    """The picture in a folder, fetched if no whole one is there. Errors: NotAtHand.

    example_picture(Path("output"), print)  # output/a_cup_of_coffee.jpg
    """
    if find_spec("httpx") is None:
        raise NotAtHand(f"fetching it needs httpx, not installed here (pip install httpx); or {INSTEAD}")
    from fetching.checks import check_picture
    from fetching.fetch import Fetcher, Limits
    from fetching.folder import FetchError, printable

    path = folder / EXAMPLE_URL.rpartition("/")[2]
    try:
        if path.is_file():
            try:
                check_picture(path)
                return path
            except FetchError as error:
                say(f"{path} is {error}: fetched anew")
        with Fetcher(Limits(timeout=10, retries=1)) as fetcher:
            fetcher.fetch(EXAMPLE_URL, path)
    except (FetchError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise NotAtHand(printable(f"{EXAMPLE_URL} could not be fetched ({reason}): {INSTEAD}")) from None
    say(f"the published example's picture was fetched: {path}")
    return path
