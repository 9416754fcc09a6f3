"""What may be asked for, and whether what came is it: a URL, a picture, a digest."""

from __future__ import annotations

import hashlib
import threading
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from fetching.folder import FetchError

_OPENING = threading.Lock()


def check_url(url: str, before: str | None = None) -> str:
    """The URL, if it may be asked. before: the one that redirected here. Errors: FetchError.

    http and https alone; a redirect may go from http to https, and otherwise keeps its scheme.
    """
    shown = f"{'redirected to ' if before else ''}{url!r:.120}"
    try:
        scheme = urlsplit(url).scheme.lower()
        host = httpx.URL(url).raw_host.decode("ascii")
        host.encode("idna")  # as the socket does: no label is empty or of more than 63 letters
    except (httpx.InvalidURL, ValueError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(url, str) else "it is no text"
        raise FetchError(f"{shown} is no URL that can be asked for ({why})") from None
    if scheme not in ("http", "https"):
        raise FetchError(f"{shown} is neither http nor https, and nothing else is fetched")
    if not host:
        raise FetchError(f"{shown} names no host")
    if before and (urlsplit(before).scheme.lower(), scheme) == ("https", "http"):
        raise FetchError(f"redirected from https to {url!r:.120}")
    return url


def check_picture(path: Path) -> None:
    """Decode a picture to its last line. Errors: FetchError, saying what is wrong with it."""
    from PIL import Image, UnidentifiedImageError

    from clip4dm.files.images import PICTURE_FORMATS

    try:
        with _OPENING, warnings.catch_warnings():  # which is of the process, not of the thread
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused from twice that, as by main.py
            picture = Image.open(path, formats=PICTURE_FORMATS)
        with picture:
            picture.load()
        return
    except UnidentifiedImageError:
        reason = f"not a whole picture: it does not begin as one of {', '.join(PICTURE_FORMATS)} does"
    except Image.DecompressionBombError:
        raise FetchError("a picture of more pixels than can safely be decoded") from None
    except MemoryError:
        raise FetchError("a picture that needs more memory than there is") from None
    except (OSError, SyntaxError, ValueError) as error:  # of these Pillow's words are for people
        reason = f"not a whole picture: {' '.join(str(error).split())[:100] or 'its data are damaged'}"
    except Exception as error:  # struct.error, zlib.error, KeyError, ...: a decoder that stumbled over the data
        reason = f"not a whole picture: its data are damaged ({type(error).__name__} while decoding)"
    with open(path, "rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise FetchError("a page of text, not a picture")
    raise FetchError(reason, passing=True)


def file_digest(path: Path) -> str:
    """SHA-256 as hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
