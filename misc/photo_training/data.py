"""What a text tower is trained on: the frozen image tower's features of pictures, and captions, worded anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from demo_training.training_data import ARTICLES

from clip4dm.errors import InputError, short_reason
from clip4dm.files.reading import read_json
from clip4dm.scores import TEMPLATE

if TYPE_CHECKING:
    import numpy as np

TEMPLATES = ("", TEMPLATE, "a photo of ")
WITHOUT_ARTICLE, WITHOUT_WORD = 0.5, 0.1  # how often an article, another word, is left out of a thinned caption


@dataclass
class Photographs:
    """features: (views, pictures, features), float32, as the image tower gives them; captions: of each picture."""

    features: np.ndarray
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.captions)


def read_photographs(features_path: Path, captions_path: Path) -> Photographs:
    """The pictures of an .npz file with features (views, pictures, features) and names (pictures,), in its order.

    captions_path: JSON, {name of a picture: [caption, ...]}. Errors: InputError where a file is none of these, holds
    what is no number, or lacks a picture's captions; OSError.
    """
    import numpy as np

    try:
        with np.load(features_path) as file:
            features, names = file["features"].astype(np.float32), file["names"].tolist()
    except OSError:
        raise
    except Exception as error:  # of whatever kind numpy and zipfile find in bytes that are none of theirs
        raise InputError(
            f"{features_path} is no file of features ({short_reason(error)}); expected an .npz with features "
            "(views, pictures, features) and names (pictures,)"
        ) from error
    if features.ndim != 3 or not features.size or features.shape[1] != len(names):
        raise InputError(
            f"{features_path} holds features of shape {features.shape} and {len(names)} names; expected (views, "
            "pictures, features), none of them 0, and a name a picture"
        )
    if not np.isfinite(features).all():
        raise InputError(f"{features_path} holds features that are not finite; encode these pictures again")
    captions = read_captions(captions_path)
    missing = [name for name in names if name not in captions]
    if missing:
        raise InputError(f"{captions_path} has no captions of {missing[0]}, nor of {len(missing) - 1} more pictures")
    return Photographs(features, [captions[name] for name in names])


def read_captions(path: Path) -> dict[str, list[str]]:
    """{name of a picture: its captions}, at least one each. Errors: InputError, FileError."""
    found = read_json(path)
    if not isinstance(found, dict) or not found:
        raise InputError(f"{path} holds no captions; expected JSON, {{name of a picture: [caption, ...]}}")
    for name, captions in found.items():
        listed = isinstance(captions, list) and captions
        if not listed or not all(isinstance(caption, str) and caption.split() for caption in captions):
            raise InputError(f"{path}: expected a list of at least one caption of {name}, none of them empty")
    return found


def thinned(caption: str, random: Random) -> str:
    """A caption without some of its articles and a few of its words; one word at least stays.

    What a text tower trained for long learns to read at the articles is lost to the words: see train_demo_model.py.
    """
    words = caption.split()
    kept = [
        word
        for word in words
        if random.random() >= (WITHOUT_ARTICLE if word.lower() in (*ARTICLES, "an") else WITHOUT_WORD)
    ]
    return " ".join(kept or [random.choice(words)])


def worded(captions: list[str], random: Random, share: float) -> str:
    """One of a picture's captions behind one of the templates; a share of them thinned."""
    caption = random.choice(captions)
    if random.random() < share:
        caption = thinned(caption, random)
    return random.choice(TEMPLATES) + caption


def steps_of_epoch(photographs: Photographs, batch_size: int) -> int:
    """In an epoch every picture comes as often as pictures have captions, on average; in a batch at most once."""
    rounds = round(sum(map(len, photographs.captions)) / len(photographs))
    return rounds * (len(photographs) // batch_size)
