"""The hub's cache on this machine: which files are there already, and whether others can be had at all."""

from __future__ import annotations

import os
import socket
import urllib.parse
import urllib.request
from pathlib import Path

OFFLINE_HELP = (
    "Without a network: on a machine that has one, run the same command once and copy its Hugging Face cache "
    "(the folder named by HF_HOME, ~/.cache/huggingface by default) here, or copy the weights alone and give "
    "--pretrained FILE or --pretrained FOLDER (a folder with open_clip_config.json and the weights)."
)


def cached_file(repository: str, filename: str, cache_dir: str | None) -> str | None:
    """A hub file from the local cache alone; the hub is not asked, so that a cached model needs no network."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip.pretrained import _get_safe_alternatives

    for name in (*_get_safe_alternatives(filename), filename):
        found = try_to_load_from_cache(repository, name, cache_dir=cache_dir)
        if isinstance(found, str):
            return found
    return None


def check_hub_reachable() -> None:
    """Fail at once where the hub's name is unknown: its client would retry for half a minute, file by file."""
    from huggingface_hub import constants

    if not urllib.request.getproxies():
        socket.getaddrinfo(urllib.parse.urlsplit(constants.ENDPOINT).hostname, 443)


def weights_at_hand(backbone: str | None, pretrained: str | None = None, cache_dir: str | None = None) -> bool:
    """Of a backbone and a tag, an hf-hub name, a file or a folder. False where nothing is known by that name."""
    from clip4dm.models.sources import DEMO, USUAL_TAGS

    if backbone == DEMO or (pretrained and Path(pretrained).exists()):
        return True
    for name in (backbone or "", pretrained or ""):
        if name.startswith("hf-hub:"):
            return cached_file(name.removeprefix("hf-hub:"), "open_clip_pytorch_model.bin", cache_dir) is not None
    from open_clip.pretrained import get_pretrained_cfg

    backbone = backbone or ""
    config = get_pretrained_cfg(backbone, pretrained or USUAL_TAGS.get(backbone, ""))
    if not config:
        return False
    hub, filename = os.path.split(config.get("hf_hub", ""))
    if hub and cached_file(hub, filename or "open_clip_pytorch_model.bin", cache_dir):
        return True
    folder = Path(cache_dir).expanduser() if cache_dir else Path("~/.cache/clip").expanduser()
    return bool(config.get("url")) and (folder / Path(config["url"]).name).is_file()
