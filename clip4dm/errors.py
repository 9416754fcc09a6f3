"""What the package raises on purpose: every such error is a CLIP4DMError, so that a bug keeps its traceback.

    try:
        detector.detect("photo.jpg", caption)
    except CLIP4DMError as error:   # the message says what was given, what is allowed and how to go on
        print(error)

Each room's own kind stands where it is raised: ImageError, CaptionError, BenchmarkError, RunError, ...
"""

from __future__ import annotations


class CLIP4DMError(Exception):
    """The root of all errors that the package means to raise."""


class InputError(CLIP4DMError, ValueError):
    """An argument, an option or a file's content that cannot be: what was given and what is allowed."""


class ModelError(CLIP4DMError, ValueError):
    """A model that cannot be loaded or explained: what was given, what is allowed, how to go on."""
