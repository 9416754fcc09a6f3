"""The temporary file of one download, and what its server has promised: how long the file is, and which version.

A length is promised by Content-Length (RFC 9110, 8.6), a part's place and the whole's length by Content-Range (14.4).
What was promised is kept with the bytes, also from one call to the next, and nothing else is taken for the whole.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import IO

import httpx
from fetching.folder import NOTE, PART, FetchError, append, create, is_plain, read_json_object

NOTE_FROM = 1 << 20  # bytes: below this an interrupted file is simply fetched again by the next call
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_STRONG = re.compile(r'"[\x21\x23-\x7e]*"|[A-Za-z0-9,: +-]{1,64}')  # an entity tag that promises the same bytes; a date


class Transfer:
    """PATH.part, and once it is worth going on with, PATH.part.json: its url, validator and promised total.

    have: bytes so far. total: of the whole file, as promised; None: nothing was. claim: of the answer being read.
    """

    def __init__(self, url: str, path: Path) -> None:
        self.url, self.path = url, path
        self.part, self.note = path.with_name(path.name + PART), path.with_name(path.name + NOTE)
        self.have, self.validator, self.total, self.claim, self.noted = 0, None, None, None, False
        said = read_json_object(self.note)
        total, validator = said.get("total"), said.get("validator")
        if (
            said.get("url") == url
            and isinstance(validator, str)
            and _STRONG.fullmatch(validator)
            and (total is None or type(total) is int)
            and is_plain(self.part)
        ):
            have = self.part.stat().st_size
            if total is None or have <= total:
                self.have, self.validator, self.total, self.noted = have, validator, total, True
        if not self.have:
            self.start_again()

    @property
    def all_here(self) -> bool:
        """Whether every promised byte is here already: an earlier call was stopped at the very end."""
        return self.have > 0 and self.have == self.total

    def headers(self) -> dict[str, str]:
        """Ask for the rest, on condition that the file is still the one that was begun."""
        if not self.have or not self.validator:
            return {}
        return {"Range": f"bytes={self.have}-", "If-Range": self.validator}

    def open(self, answer: httpx.Response) -> IO[bytes]:
        """Take down what an answer (200 or 206) promises; the file that its body goes to. Errors: FetchError."""
        if answer.status_code == 206:
            problem = self._go_on(answer)
            if problem:
                self.start_again()
                raise FetchError(f"the server could not go on where the transfer stopped: {problem}", passing=True)
            return append(self.part)
        validator, length = strong_validator(answer), content_length(answer)
        kept = self.total if validator and validator == self.validator else None
        self.start_again()
        self.validator, self.total, self.claim = validator, kept if length is None else length, length
        return create(self.part)

    def _go_on(self, answer: httpx.Response) -> str | None:
        """Hold a 206 against what was asked for and promised: what is wrong with it, or None."""
        said = answer.headers.get("content-range", "")
        found = _RANGE.fullmatch(said.strip())
        if not self.have or not self.validator or not found:
            return f"HTTP 206 {f'of {said!r:.60}' if said else 'that does not say of what'}"
        first, last = int(found[1]), int(found[2])
        total = None if found[3] == "*" else int(found[3])
        length = content_length(answer)
        if first != self.have:
            return f"asked for the bytes from {self.have}, it answers from {first}"
        if self.total is not None and total not in (None, self.total):
            return f"the file was to have {self.total} bytes and is now to have {total}"
        whole = total if self.total is None else self.total
        if whole is None:
            return "nothing says how long the file is"
        if not first <= last < whole or length not in (None, last - first + 1):
            return f"HTTP 206 of {said!r:.60} and {length} bytes, which does not fit {whole}"
        if answer.headers.get("etag", self.validator) != self.validator and self.validator.startswith('"'):
            return "it is of another version of the file"
        self.total, self.claim = whole, last - first + 1
        return None

    def close(self, received: int) -> None:
        """The answer has ended, after so many bytes. Errors: FetchError if that is not what was promised."""
        if self.claim is not None and received > self.claim or self.total is not None and self.have > self.total:
            promised = self.total if self.claim is None else self.claim
            self.start_again()
            raise FetchError(f"{received} bytes came where {promised} were promised", passing=True)
        if self.total is not None and self.have < self.total:  # what is missing is asked for next
            raise FetchError(f"cut short: {self.have} of {self.total} bytes came", passing=True)
        if self.have == 0:
            raise FetchError("an empty answer", passing=True)

    def take_note(self) -> None:
        """Once enough has come, and if the rest can be asked for, make sure that the next call can go on."""
        if self.validator and not self.noted and self.have >= NOTE_FROM:
            said = {"url": self.url, "validator": self.validator, "total": self.total}
            with create(self.note) as file:
                file.write(json.dumps(said).encode())
            self.noted = True

    def finish(self) -> None:
        os.replace(self.part, self.path)
        self.note.unlink(missing_ok=True)

    def start_again(self) -> None:
        """Nothing has come, and nothing is promised."""
        self.have, self.validator, self.total, self.claim, self.noted = 0, None, None, None, False
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def strong_validator(answer: httpx.Response) -> str | None:
    """What If-Range may say: an entity tag that is not weak, or a date. None: the rest cannot be asked for safely."""
    said = answer.headers.get("etag") or answer.headers.get("last-modified") or ""
    return said if _STRONG.fullmatch(said) else None


def content_length(answer: httpx.Response) -> int | None:
    """The answer's own length, if it says one."""
    said = answer.headers.get("content-length", "")
    return int(said) if re.fullmatch(r"[0-9]{1,18}", said) else None
