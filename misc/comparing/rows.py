"""The rows of a comparison: a method, and which of its layers."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from clip4dm.attribution.methods import get_method
from clip4dm.errors import InputError


class Row(NamedTuple):
    """A method and its start_layer_text, None for the usual one.

    >>> Row("clip4dm", 0).name, Row("clip4dm", -2).name, Row("occlusion").name
    ('clip4dm, all layers', 'clip4dm:-2', 'occlusion')
    """

    method: str
    start: int | None = None

    @property
    def name(self) -> str:
        """As tables have it."""
        if self.start is None:
            return self.method
        return f"{self.method}, all layers" if self.start == 0 else f"{self.method}:{self.start}"


def row(text: str) -> Row:
    """NAME, or NAME:N for its layers from N on; an argparse type. Errors: argparse.ArgumentTypeError.

    >>> row("clip4dm:0"), row("occlusion")
    (Row(method='clip4dm', start=0), Row(method='occlusion', start=None))
    """
    name, colon, number = text.partition(":")
    try:
        start = int(number) if colon else None
        get_method(name).check_start(start)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no method; a row is NAME, or NAME:N for its layers from N on, such as clip4dm:0"
        ) from None
    return Row(name, start)
