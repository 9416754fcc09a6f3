"""QuickGELU or plain GELU: the weights decide it, and where they say it, nobody may contradict them.

The two differ little enough that the wrong one still gives plausible scores. Published files are recognised: a
TorchScript archive is OpenAI's, and open_clip's table names others by their SHA-256.
Source: open_clip's table of pre-trained weights (open_clip/pretrained.py).
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

from clip4dm.errors import ModelError
from clip4dm.files.reading import file_sha256
from clip4dm.models.names import QUICKGELU, architecture


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, the form in which OpenAI published its weights. Errors: OSError.

    >>> is_torchscript(Path(__file__))
    False
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[-1] == "constants.pkl" for name in archive.namelist())


def check_activation(needed: bool, claimed: bool | None, what: str) -> None:
    """Errors: ModelError where the activation asked for is not the one the weights need.

    needed, claimed: True for QuickGELU, False for plain GELU; claimed None: nobody asked. what: the weights, in words.

    >>> check_activation(needed=True, claimed=None, what="the weights ViT-B-32:openai")
    """
    if claimed is not None and claimed != needed:
        names = {True: "QuickGELU", False: "plain GELU"}
        raise ModelError(
            f"{what} needs {names[needed]}, but {names[claimed]} was asked for; leave the activation "
            "unsaid to get the right one"
        )


def activation_of_file(name: str, path: Path, claimed: bool | None) -> bool:
    """Whether a checkpoint file needs QuickGELU.

    name: the backbone's, which may end in "-quickgelu" and so says it. claimed: what was asked for, None for nothing.
    Errors: ModelError for a contradiction. Warns (UserWarning) where nothing says it and plain GELU is assumed.

    >>> activation_of_file("ViT-B-32", Path("my_weights.bin"), claimed=True)
    True
    """
    said = True if name.endswith(QUICKGELU) else None
    known = True if is_torchscript(path) else _known_by_hash(path)
    if known is not None:
        for claim in (said, claimed):
            check_activation(known, claim, f"{path} (recognised as published weights)")
        return known
    if said is not None and claimed is not None:
        check_activation(said, claimed, f"the name {name}")
    if claimed is not None or said is not None:
        return bool(claimed or said)
    own = bool(architecture(name).get("quick_gelu", False))
    if not own:
        warnings.warn(
            f"a checkpoint file does not say its activation; taken as plain GELU, as the name {name} says. "
            f"If it was trained with QuickGELU (as OpenAI's and some others were), say --backbone {name}{QUICKGELU}.",
            stacklevel=5,  # the line that calls load_model
        )
    return own


def _known_by_hash(path: Path) -> bool | None:
    """The activation of a published file, recognised by the SHA-256 that open_clip's table holds for it."""
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained  # here, since it takes torch with it

    if path.suffix != ".pt":
        return None
    digest = file_sha256(path)
    for model, tag in list_pretrained():
        config = get_pretrained_cfg(model, tag)
        parts = config.get("url", "").rsplit("/", 2)
        if digest in parts or (len(parts) == 3 and parts[2].endswith(f"-{digest[:8]}.pt")):
            return bool(config.get("quick_gelu", False))
    return None
