"""What benchmark_scoring.py times, a tar shard at a time: clip4dm score, the detector alone, a plain CLIPScore loop."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from PIL import Image
from speed.contenders import BATCH, coco_captions

from clip4dm import CLIP4DM
from clip4dm.benchmarks.shapes.captions import write_caption
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.foils import make_foil
from clip4dm.benchmarks.shapes.scenes import sample_scene
from clip4dm.errors import InputError
from clip4dm.files.streams import batches
from clip4dm.scores import TEMPLATE, clip_score
from clip4dm.scoring.inputs.recognise import open_input
from clip4dm.scoring.sink import open_sink
from clip4dm.scoring.suggestions import SuggestionSettings
from clip4dm.scoring.work import score_shard

Sample = tuple[bytes, str]  # a JPEG, a caption


def drawn_samples(distinct: int, foils: bool = False) -> Iterator[Sample]:
    """So many drawn scenes of 128 pixels, each with a caption; then again from the first, with other captions.

    foils: every second caption has a word exchanged.
    """
    scenes = [sample_scene(seed) for seed in range(distinct)]
    pictures = []
    for scene in scenes:
        buffer = io.BytesIO()
        draw(scene).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    for number, (scene, picture) in zip(count(), cycle(zip(scenes, pictures, strict=True))):
        random = Random(number)
        caption = write_caption(scene, random)
        foil = make_foil(scene, caption, random) if foils and number % 2 else None
        yield picture, (foil.caption if foil else caption).text


def photographs(folder: Path, captions: Path) -> Iterator[Sample]:
    """A folder's JPEGs, each with the first of its captions in a COCO captions JSON. Errors: BenchmarkError."""
    found = coco_captions(captions, [path.name for path in folder.iterdir()])
    for path in sorted(folder.iterdir()):
        if texts := found.get(path.name):
            yield path.read_bytes(), texts[0]


def write_tars(folder: Path, samples: Iterator[Sample], pairs: int, per_tar: int) -> list[Path]:
    """So many samples as tar shards, in webdataset's form. Errors: InputError where there are fewer."""
    folder.mkdir()
    written = 0
    for number, some in enumerate(batches(islice(samples, pairs), per_tar)):
        with tarfile.open(folder / f"{number:05}.tar", "w") as tar:
            for picture, caption in some:
                for ending, data in (("jpg", picture), ("txt", caption.encode())):
                    member = tarfile.TarInfo(f"{written:07}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                written += 1
    if written < pairs:
        raise InputError(f"there are {written} pictures with captions, and {pairs} pairs were asked for")
    return sorted(folder.iterdir())


def score_alone(detector: CLIP4DM, suggest: SuggestionSettings | None = None) -> Callable[[Path], Callable[[], object]]:
    """clip4dm score, as its local engine does it: decoding, scores and words, a parquet file."""

    def prepare(tar: Path) -> Callable[[], object]:
        found = open_input([str(tar)])
        folder = TemporaryDirectory()
        sink = open_sink(Path(folder.name), found, detector, suggest=suggest)
        sink.prepare()

        def run() -> None:
            with folder:
                score_shard(found.shards()[0], detector, sink)

        return run

    return prepare


def detector_alone(detector: CLIP4DM) -> Callable[[Path], Callable[[], object]]:
    """(a) `encode_images` and `detect`, all pictures decoded before and in memory; nothing is stored."""

    def prepare(tar: Path) -> Callable[[], object]:
        pairs = [pair for pair in open_input([str(tar)]).shards()[0].pairs()]
        pictures = [Image.open(io.BytesIO(pair.image)).convert("RGB") for pair in pairs]
        captions = [str(pair.caption) for pair in pairs]
        return lambda: detector.detect(detector.encode_images(pictures), captions)

    return prepare


def plain_loop(detector: CLIP4DM) -> Callable[[Path], Callable[[], object]]:
    """(b) webdataset and open_clip as their documentations join them: CLIPScore alone, batches of 64, 77 tokens."""
    import webdataset

    model = detector.model

    def prepare(tar: Path) -> Callable[[], object]:
        def run() -> list[float]:
            stream = webdataset.WebDataset(str(tar), shardshuffle=False).decode("pil").to_tuple("jpg", "txt")
            scores: list[float] = []
            with torch.no_grad():
                for part in batches(stream, BATCH):
                    pixels = torch.stack([model.preprocess(picture) for picture, _ in part])
                    ids = model.tokenizer([TEMPLATE + caption for _, caption in part])
                    images = F.normalize(model.model.encode_image(pixels.to(model.device, model.dtype)), dim=-1)
                    texts = F.normalize(model.model.encode_text(ids.to(model.device)), dim=-1)
                    scores += map(clip_score, (images * texts).sum(-1).tolist())
            return scores

        return run

    return prepare
