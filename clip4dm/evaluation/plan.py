"""The run's plan: blocks of images with all their samples, the same for every run of these samples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clip4dm.benchmarks.base import Sample
from clip4dm.files.streams import batches


@dataclass(frozen=True)
class Block:
    """Some images and all their samples: the unit of work, of storage and of resumption.

    >>> sample = Sample("1", "a.jpg", "a", "a red dog", False, (), "ORIG")
    >>> Block(0, ("a.jpg",), (sample,)).number
    0
    """

    number: int
    images: tuple[str, ...]
    samples: tuple[Sample, ...]


def plan_blocks(samples: Sequence[Sample], images_per_block: int) -> list[Block]:
    """Samples grouped by image, images in order of first appearance.

    >>> def sample(number: str, image: str) -> Sample:
    ...     return Sample(number, image, image, "a red dog", False, (), "ORIG")
    >>> for block in plan_blocks([sample("1", "a.jpg"), sample("2", "b.jpg"), sample("3", "a.jpg")], 1):
    ...     print(block.number, block.images, [sample.id for sample in block.samples])
    0 ('a.jpg',) ['1', '3']
    1 ('b.jpg',) ['2']
    """
    by_image: dict[str, list[Sample]] = {}
    for sample in samples:
        by_image.setdefault(sample.image, []).append(sample)
    return [
        Block(number, tuple(images), tuple(sample for image in images for sample in by_image[image]))
        for number, images in enumerate(batches(by_image, images_per_block))
    ]


def missing_images(samples: Sequence[Sample], img_dir: Path) -> list[str]:
    """The images that are no file in img_dir, each once, in order.

    >>> missing_images([Sample("1", "a.jpg", "a", "a red dog", False, (), "ORIG")], Path("no/such/folder"))
    ['a.jpg']
    """
    return [image for image in dict.fromkeys(sample.image for sample in samples) if not os.path.isfile(img_dir / image)]
