"""The hub's cache on this machine: which files are there already, and whether others can be had at all."""

from __future__ import annotations

import os
import socket
import urllib.parse
import urllib.request
from pathlib import Path

from clip4dm.errors import ModelError, short_reason
from clip4dm.models.names import DEMO, USUAL_TAGS

ANSWER_SECONDS = 10.0  # for the hub to accept a connection
OFFLINE_HELP = (
    "Without a network: on a machine that has one, run the same command once and copy its Hugging Face cache "
    "(the folder named by HF_HOME, ~/.cache/huggingface by default) here, or copy the weights alone and give "
    "--pretrained FILE or --pretrained FOLDER (a folder with open_clip_config.json and the weights)."
)


# huggingface_hub and open_clip are imported inside functions: they take seconds that `--help` must not wait for.
def cached_file(repository: str, filename: str, cache_dir: str | None) -> str | None:
    """The path of a hub file in the local cache, None where it is not there.

    The hub is not asked, so that a cached model needs no network. repository: "organisation/name". filename: of the
    file, or of its safetensors twin. cache_dir: None for Hugging Face's own.
    Errors: ModelError for what cannot be a repository.

    >>> cached_file("nobody/nothing", "open_clip_config.json", cache_dir="/no/such/folder") is None
    True
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError
    from open_clip.pretrained import _get_safe_alternatives

    try:
        for name in (*_get_safe_alternatives(filename), filename):
            found = try_to_load_from_cache(repository, name, cache_dir=cache_dir)
            if isinstance(found, str):
                return found
    except HFValidationError as error:
        raise ModelError(
            f"hf-hub:{repository:.120} is no name of a model on the hub ({short_reason(error)}); expected "
            "hf-hub:ORGANISATION/NAME"
        ) from None
    return None


def check_hub_reachable() -> None:
    """Fail at once where the hub's name is unknown or nobody answers: its client would retry for a minute.

    Says nothing where a proxy is set, which alone knows. Errors: OSError.
    """
    from huggingface_hub import constants

    if not urllib.request.getproxies():
        place = urllib.parse.urlsplit(constants.ENDPOINT)
        port = place.port or {"http": 80}.get(place.scheme, 443)
        socket.create_connection((place.hostname or "", port), timeout=ANSWER_SECONDS).close()


def weights_at_hand(backbone: str | None, pretrained: str | None = None, cache_dir: str | None = None) -> bool:
    """Whether the weights lie on this machine: nothing is fetched, no network asked.

    backbone, pretrained: as of `load_model`. False also where nothing is known by that name.

    >>> weights_at_hand("demo"), weights_at_hand("hf-hub:nobody/nothing")
    (True, False)
    """
    places = [Path(given.removeprefix("local-dir:")).expanduser() for given in (backbone, pretrained) if given]
    if (backbone or "").lower() == DEMO or any(place.exists() for place in places[-1:]):
        return True
    for name in (backbone or "", pretrained or ""):
        if name.startswith("hf-hub:"):
            try:
                return cached_file(name.removeprefix("hf-hub:"), "open_clip_pytorch_model.bin", cache_dir) is not None
            except ModelError:
                return False
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
