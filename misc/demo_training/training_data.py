"""What the demo model is trained on: drawn pictures and true captions, each a function of seeds."""

from __future__ import annotations

import io
from functools import cache, lru_cache
from multiprocessing import Pool
from pathlib import Path
from random import Random
from typing import Literal

from demo_training.above import is_stacked, of_sort

from clip4dm.benchmarks.shapes.lexicon import RELATIONS
from clip4dm.errors import InputError, short_reason
from clip4dm.evaluation.processes import end_with_parent
from clip4dm.files.writing import replace_file
from clip4dm.scores import TEMPLATE

DRAWN_SIZE = 128  # pixels; pictures are drawn at this size and made smaller, as the model's preprocessing does
ARTICLES = ("a", "the")
DETAILED = {"colour": 0.8, "size": 0.8, "texture": 0.8, "relation": 0.7}  # how often each is said, where much is
STACKED = {"colour": 0.7, "size": 0.1, "texture": 0.1, "relation": 1.0}  # where little but what stands above what is


def draw_pictures(path: Path, scenes: int, size: int, processes: int):
    """uint8 array (scenes, size, size, 3) of the scenes with seeds 0, 1, 2, ...; drawn once, then read from disk.

    Errors: InputError where the file is damaged or holds another number of pictures.
    """
    import numpy as np
    from tqdm import tqdm

    if not path.exists():
        partial = path.with_suffix(".part")  # a gigabyte, drawn where it will lie: too much for replace_file
        shape = (scenes, size, size, 3)
        array = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
        with Pool(processes, end_with_parent) as pool:
            drawn = pool.imap(_small_picture, ((seed, size) for seed in range(scenes)), 256)
            for i, picture in enumerate(tqdm(drawn, "drawing", scenes)):
                array[i] = picture
        array.flush()
        partial.rename(path)
    pictures = _load_array(path, mmap_mode="r")
    if len(pictures) != scenes:
        raise InputError(f"{path} holds {len(pictures)} pictures, not {scenes}; remove it to draw again")
    return pictures


def _load_array(path: Path, mmap_mode: Literal["r"] | None = None):
    """Errors: InputError where the file is damaged, OSError."""
    import numpy as np

    try:
        return np.load(path, mmap_mode)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is damaged ({short_reason(error)}); remove it to make it again") from error


def _small_picture(job: tuple[int, int]):
    import numpy as np
    from PIL import Image

    from clip4dm.benchmarks.shapes.drawing import draw
    from clip4dm.benchmarks.shapes.scenes import sample_scene

    seed, size = job
    return np.asarray(draw(sample_scene(seed), DRAWN_SIZE).resize((size, size), Image.Resampling.BICUBIC))


def encode_pictures(path: Path, model, pictures):
    """float32 array (scenes, features), unit length, of all pictures; computed once, then read from disk."""
    import numpy as np
    import torch
    from tqdm import tqdm

    if not path.exists():
        model.eval()
        parts = []
        with torch.no_grad():
            for start in tqdm(range(0, len(pictures), 500), "encoding pictures"):  # slices: they are read from disk
                parts.append(model.encode_image(normalised(pictures[start : start + 500]), normalize=True).numpy())
        file = io.BytesIO()
        np.save(file, np.concatenate(parts))
        replace_file(path, file.getvalue())
    return _load_array(path)


def scenes_of_step(
    scenes: int, batch_size: int, seed: int, step: int, alike: int = 1, stacked: float = 0.0
) -> list[int]:
    """The seeds of a step's scenes: every scene of a kind comes once before any comes again.

    alike: scenes stand in groups of so many whose things have the same shapes and colours, as far as there are as many:
    what tells their captions apart is then size, texture, number, place and background. stacked: the share in which one
    of two things stands above the other; among like ones, which is above is then left to tell. 0: as chance has it.
    """
    if not stacked:
        return _in_turn(scenes, None, batch_size, seed, step, alike)
    many = round(stacked * batch_size)
    others = _in_turn(scenes, False, batch_size - many, seed, step, alike)
    return others + _in_turn(scenes, True, many, seed, step, alike)


def _in_turn(scenes: int, stacked: bool | None, number: int, seed: int, step: int, alike: int) -> list[int]:
    if not number:
        return []
    a_round = len(of_sort(scenes, stacked)) // number
    order = _order(scenes, stacked, seed * 7919 + step // a_round, alike)
    start = step % a_round * number
    return order[start : start + number]


@lru_cache(maxsize=4)
def _order(scenes: int, stacked: bool | None, seed: int, alike: int) -> list[int]:
    """All scenes of a round, shuffled; with alike > 1 the groups of like scenes are."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    seeds = of_sort(scenes, stacked)
    order = [seeds[place] for place in torch.randperm(len(seeds), generator=generator).tolist()]
    if alike == 1:
        return order
    order.sort(key=_things)  # like scenes side by side, in the order that chance gave
    groups = [order[start : start + alike] for start in range(0, len(order), alike)]
    return [scene for group in torch.randperm(len(groups), generator=generator).tolist() for scene in groups[group]]


@cache
def _things(seed: int) -> tuple[str, ...]:
    """The shapes and colours of a scene's things."""
    from clip4dm.benchmarks.shapes.scenes import sample_scene

    return tuple(sorted({f"{thing.shape} {thing.colour}" for thing in sample_scene(seed).things}))


def normalised(pictures):
    """uint8 array (n, size, size, 3) -> (n, 3, size, size) as the model takes it."""
    import torch
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    images = torch.tensor(pictures).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return (images - mean) / std


def captions(
    seeds: list[int],
    random: Random,
    tokenizer,
    without_articles: float = 0.0,
    detailed: float = 0.0,
    stacked: bool = False,
):
    """Tokens (n, longest) of a caption of each scene, worded anew each time; in a share of them without articles.

    detailed: a share of captions that say more of their things. stacked: where one of two things stands above the
    other, captions say little but that, so that nothing else tells like scenes apart.
    """
    from clip4dm.benchmarks.shapes.captions import SAID, write_caption
    from clip4dm.benchmarks.shapes.scenes import sample_scene

    texts = []
    for seed in seeds:
        said = DETAILED if detailed and random.random() < detailed else SAID
        if stacked and is_stacked(seed):
            said = STACKED
        words = write_caption(sample_scene(seed), random, said).words
        if without_articles and random.random() < without_articles:
            words = [word for word in words if word not in ARTICLES]
        texts.append(TEMPLATE + " ".join(words))
    tokens = tokenizer(texts)
    return tokens[:, : int((tokens != 0).sum(1).max())]


def words_alone(tower, tokens, alone: list[bool]):
    """An attention mask (n * heads, length, length) with which, in the captions chosen, hardly a word reads another.

    Every token of such a caption reads itself and the template; the end token, where the feature is read, reads all,
    and the word of a relation, which is of two things, what stands before it. tower: with a causal mask. tokens: (n,
    length), each caption with the template before it.
    """
    import torch

    length, template = tokens.shape[1], template_tokens()
    causal = tower.attn_mask[:length, :length]
    own = causal.masked_fill(~torch.eye(length, dtype=torch.bool), float("-inf"))
    own[:, :template] = causal[:, :template]
    masks = torch.stack([own if one else causal for one in alone])
    reading = torch.isin(tokens, torch.tensor(relation_tokens()))
    reading[range(len(tokens)), tokens.argmax(1)] = True
    rows, places = reading.nonzero(as_tuple=True)
    masks[rows, places] = causal[places]
    return masks.repeat_interleave(tower.transformer.resblocks[0].attn.num_heads, 0)


@cache
def relation_tokens() -> list[int]:
    """The ids of the tokens of words that say how two things stand."""
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    return sorted({token for words in RELATIONS.values() for word in words for token in tokenizer.encode(word)})


@cache
def template_tokens() -> int:
    """How many tokens stand before a caption: the start, and the template's."""
    from open_clip import SimpleTokenizer

    return 1 + len(SimpleTokenizer().encode(TEMPLATE))


def seen_tokens(tokenizer) -> list[int]:
    """The ids of all tokens that training can meet, in order."""
    from clip4dm.benchmarks.shapes.captions import every_word

    return sorted(
        {token for text in [TEMPLATE, *every_word()] for token in tokenizer.encode(text)}
        | {tokenizer.sot_token_id, tokenizer.eot_token_id}
    )
