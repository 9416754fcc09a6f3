"""One picture or several, of any kind, as a sequence in which none is read twice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor

from clip4dm.files.images import ImageLike


def as_several(images: ImageLike | Iterable[ImageLike]) -> Iterable[ImageLike]:
    """Images as `CLIP4DM.encode_images` takes them, a single one as a list of it.

    >>> as_several("a.jpg"), as_several(["a.jpg", "b.jpg"])
    (['a.jpg'], ['a.jpg', 'b.jpg'])
    """
    if isinstance(images, (Tensor, np.ndarray)):
        return [images] if images.ndim <= 3 else images
    if isinstance(images, (str, bytes, os.PathLike)) or not isinstance(images, Iterable):
        return [images]
    return images


def distinct(images: Iterable[ImageLike], rows: list[int]) -> Iterator[ImageLike]:
    """The images, a path's first appearance alone; appends to rows, for each image, its place among these.

    >>> rows: list[int] = []
    >>> list(distinct(["a.jpg", "b.jpg", "a.jpg"], rows)), rows
    (['a.jpg', 'b.jpg'], [0, 1, 0])
    """
    places: dict[str, int] = {}
    count = 0
    for image in images:
        name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else None
        if name in places:
            rows.append(places[name])
            continue
        if name is not None:
            places[name] = count
        rows.append(count)
        count += 1
        yield image
