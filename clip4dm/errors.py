"""What the package raises on purpose: every such error is a CLIP4DMError, so that a bug keeps its traceback.

    try:
        detector.detect("photo.jpg", caption)
    except CLIP4DMError as error:   # the message says what was given, what is allowed and how to go on
        print(error)

A room's own kind stands where it is raised: ImageError, CaptionError, BenchmarkError, RunError, ... Here are the root,
and what several rooms raise.
"""

from __future__ import annotations


class CLIP4DMError(Exception):
    """The root of all errors that the package means to raise."""


class InputError(CLIP4DMError, ValueError):
    """An argument, an option or a file's content that cannot be: what was given and what is allowed."""


class ModelError(CLIP4DMError, ValueError):
    """A model that cannot be loaded or explained: what was given, what is allowed, how to go on."""


def short_reason(error: Exception) -> str:
    """An exception of any library as part of one line: its kind and what it says, cut at 160 characters.

    >>> short_reason(KeyError("visual.proj"))
    "KeyError: 'visual.proj'"
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 160 else text[:160] + '...'}"
