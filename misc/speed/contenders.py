"""What benchmark_speed.py times: the published procedure, plain CLIPScore, this project, open_clip's towers alone.

Every contender is a function of a Load that does the work of all its pairs, or of as many as it says it did.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from speed.published_procedure import explain_pair, to_hugging_face
from torch import Tensor

from clip4dm import CLIP4DM
from clip4dm.attribution.attribute import attribute
from clip4dm.benchmarks import fields
from clip4dm.errors import InputError
from clip4dm.files.images import load_image
from clip4dm.files.streams import ahead, batches
from clip4dm.models.load import LoadedModel
from clip4dm.scores import CLIP4DM_METHOD, TEMPLATE, clip_score

BATCH = 64


@dataclass(frozen=True)
class Load:
    """Pictures, each with as many captions. pixels: the pictures preprocessed, for what does not decode."""

    pictures: Sequence[Path]
    captions: Sequence[Sequence[str]]
    pixels: list[Tensor] = field(default_factory=list, compare=False)

    @property
    def pairs(self) -> list[tuple[int, str]]:
        """(number of the picture, caption) of every pair."""
        return [(i, caption) for i, captions in enumerate(self.captions) for caption in captions]


def read_load(pictures: Sequence[Path], captions: dict[str, list[str]], each: int) -> Load:
    """The pictures with `each` captions of their own or, where they have fewer, of others': no caption comes twice."""
    own = {path.name for path in pictures}
    spare = [text for name, texts in captions.items() if name not in own for text in texts]
    used: set[str] = set()

    def unused(texts: Sequence[str]) -> Iterator[str]:
        for text in texts:
            if text.strip() and text not in used:
                used.add(text)
                yield text

    more = unused(spare)
    chosen = [list(islice(unused(captions.get(path.name, [])), each)) for path in pictures]
    for mine in chosen:
        mine += islice(more, each - len(mine))
    if any(len(mine) < each for mine in chosen):
        raise InputError(f"{len(used)} different captions are not enough for {each} a picture: give more")
    return Load(pictures, chosen)


def coco_captions(path: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """{file name: captions} of those of the files that a COCO captions JSON knows.

    By their names, or else by the image id at their end: a picture's name differs between COCO's years.
    Errors: BenchmarkError.
    """
    content = fields.read_annotations(path)
    by_name, captions = dict[str, int](), dict[int, list[str]]()
    for i, row in enumerate(fields.field(content, "images", list, str(path))):
        where = f"{path}, images[{i}]"
        by_name[fields.field(row, "file_name", str, where)] = fields.field(row, "id", int, where)
    for i, row in enumerate(fields.field(content, "annotations", list, str(path))):
        where = f"{path}, annotations[{i}]"
        caption = fields.field(row, "caption", str, where).strip()
        captions.setdefault(fields.field(row, "image_id", int, where), []).append(caption)
    numbers = {name: re.search(r"(\d+)\.\w+$", name) for name in names}
    ids = {name: by_name.get(name, int(found[1]) if found else None) for name, found in numbers.items()}
    return {name: captions[number] for name, number in ids.items() if number in captions}


def drawn_pictures(folder: Path, count: int) -> dict[str, list[str]]:
    """Draw `count` scenes as 640-pixel JPEGs into the folder -> {file name: captions}: there are no photographs."""
    from clip4dm.benchmarks.shapes.captions import write_caption
    from clip4dm.benchmarks.shapes.drawing import draw
    from clip4dm.benchmarks.shapes.scenes import sample_scene

    captions = {}
    for seed in range(count):
        random, scene = Random(seed), sample_scene(seed)
        draw(scene, 640).save(folder / f"{seed:04}.jpg", quality=90)
        captions[f"{seed:04}.jpg"] = [write_caption(scene, random).text for _ in range(40)]
    return captions


def published(model: LoadedModel, pairs: int) -> Callable[[Load], int]:
    """(a) One pair at a time through Hugging Face's CLIPModel with full autograd, the first `pairs` pairs."""
    hf = to_hugging_face(model.model, model.quick_gelu).to(model.device, model.dtype)

    def run(load: Load) -> int:
        done = load.pairs[:pairs]
        for i, caption in done:
            pixels = model.preprocess(load_image(load.pictures[i]))[None].to(model.device, model.dtype)
            ids = model.tokenizer([TEMPLATE + caption])[0]
            explain_pair(hf, pixels, ids[: int(ids.argmax()) + 1].tolist())
        return len(done)

    return run


def plain_clipscore(model: LoadedModel) -> Callable[[Load], int]:
    """(b) Batched CLIPScore as open_clip's documentation does it, every picture encoded once, captions at 77 tokens."""

    def run(load: Load) -> int:
        images, texts = [], []
        with torch.no_grad():
            for part in batches(load.pictures, BATCH):
                batch = torch.stack([model.preprocess(load_image(path)) for path in part])
                images.append(F.normalize(model.model.encode_image(batch.to(model.device, model.dtype)), dim=-1))
            for part in batches(load.pairs, BATCH):
                ids = model.tokenizer([TEMPLATE + caption for _, caption in part]).to(model.device)
                texts.append(F.normalize(model.model.encode_text(ids), dim=-1))
            of = torch.tensor([i for i, _ in load.pairs], device=model.device)
            cosines = (torch.cat(images)[of] * torch.cat(texts)).sum(-1)
            list(map(clip_score, cosines.tolist()))
        return len(load.pairs)

    return run


def this_project(model: LoadedModel) -> Callable[[Load], int]:
    """(c) Through the public API: words, attributions, scores."""
    detector = CLIP4DM(model, batch_size=BATCH, method=CLIP4DM_METHOD)

    def run(load: Load) -> int:
        features = detector.encode_images(load.pictures)
        detector.detect(features[[i for i, _ in load.pairs]], [caption for _, caption in load.pairs])
        return len(load.pairs)

    return run


def towers_alone(model: LoadedModel) -> Callable[[Load], int]:
    """(d) open_clip's image tower on the distinct decoded pictures, its text tower on captions cut to length."""
    clip, detector = model.model, CLIP4DM(model, method=CLIP4DM_METHOD)
    if not hasattr(clip, "token_embedding"):
        raise InputError(f"the towers alone are measured for open_clip's CLIP, not for {type(clip).__name__}")

    def run(load: Load) -> int:
        with torch.inference_mode():
            for part in batches(load.pixels, BATCH):
                clip.encode_image(torch.stack(part).to(model.device, model.dtype)).float().cpu()
            for ids in _buckets(detector, load):
                batch = model.tower.pad(ids, False)
                x = clip.token_embedding(batch).to(model.dtype)
                x = x + clip.positional_embedding[: batch.shape[1]].to(model.dtype)
                x = clip.transformer(x, attn_mask=clip.attn_mask[: batch.shape[1], : batch.shape[1]].to(model.dtype))
                ends = torch.tensor([len(row) - 1 for row in ids], device=model.device)
                (clip.ln_final(x[torch.arange(len(x)), ends]) @ clip.text_projection).float().cpu()
        return len(load.pairs)

    return run


def stages(model: LoadedModel, load: Load) -> dict[str, float]:
    """Seconds of this project's stages alone: decode, image, text and (beyond the text pass) attribution."""
    detector = CLIP4DM(model, batch_size=BATCH, method=CLIP4DM_METHOD)
    seconds = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        begun = time.perf_counter()
        work()
        synchronise(model)
        seconds[name] = time.perf_counter() - begun

    timed("decode", lambda: [None for _ in ahead(detector._pixels, load.pictures)])
    features: list[Tensor] = []
    timed(
        "image",
        lambda: features.extend(
            model.image_tower.encode(torch.stack(part).to(model.device, model.dtype))
            for part in batches(load.pixels, BATCH)
        ),
    )
    rows = torch.cat(features).clone()
    encoded = detector.encode_captions([caption for _, caption in load.pairs])
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i].ids))
    of = torch.tensor([i for i, _ in load.pairs])
    timed("text", lambda: [model.tower.encode([encoded[i] for i in part]) for part in batches(order, BATCH)])
    timed(
        "text and attribution",
        lambda: [
            attribute(model.tower, [encoded[i] for i in part], rows[of[part]], -3) for part in batches(order, BATCH)
        ],
    )
    return seconds


def decode_all(model: LoadedModel, load: Load) -> None:
    """Fill the load's pixels."""
    load.pixels[:] = [model.preprocess(load_image(path)) for path in load.pictures]


def synchronise(model: LoadedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def _buckets(detector: CLIP4DM, load: Load) -> Iterator[list[list[int]]]:
    ids = [list(caption.ids) for caption in detector.encode_captions([caption for _, caption in load.pairs])]
    yield from batches(sorted(ids, key=len, reverse=True), BATCH)
