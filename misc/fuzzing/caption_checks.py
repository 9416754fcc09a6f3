"""What must hold for any caption, and a report of what does not."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fuzzing.captions import FULL, make_caption
from torch import Tensor

from clip4dm import CLIP4DM
from clip4dm.captions.cleaning import base_clean
from clip4dm.captions.tokens import TokenizerError
from clip4dm.captions.windows import encode_long_caption
from clip4dm.captions.words import CaptionError, encode_caption


def violations(tokenizer: Any, caption: str, template: str) -> list[str]:
    """What does not hold for a caption. Raises what `encode_caption` raises."""
    encoded = encode_caption(tokenizer, caption, template)
    units, owners = encoded.units, [owner for owner in encoded.unit_of if owner >= 0]
    wrong = {
        "a unit is not the caption's slice": any(caption[u.start : u.end] != u.text for u in units),
        "a unit without text": any(not u.text for u in units),
        "a unit with outer white space": any(u.text != u.text.strip() for u in units),
        "units overlap or are out of order": any(a.end > b.start for a, b in zip(units, units[1:], strict=False)),
        "more ids than the context holds": len(encoded.ids) > (tokenizer.context_length or 77),
        "ids and owners differ in number": len(encoded.ids) != len(encoded.unit_of),
        "a special token has an owner": encoded.unit_of[0] != -1 or encoded.unit_of[-1] != -1,
        "owners are out of order": owners != sorted(owners),
        "scored units are not those with tokens": {i for i, u in enumerate(units) if u.scored} != set(owners),
        "scored and beyond the context": any(u.scored and u.beyond_context for u in units),
        "beyond the context, but not truncated": any(u.beyond_context for u in units) and not encoded.truncated,
        "the ids are not open_clip's": not _as_open_clip(tokenizer, template + caption, encoded.ids),
    }
    return [name for name, found in wrong.items() if found]


def split_violations(tokenizer: Any, caption: str, template: str) -> list[str]:
    """What does not hold for a caption that is read in parts. Raises what `encode_long_caption` raises."""
    cut, whole = (encode(tokenizer, caption, template) for encode in (encode_caption, encode_long_caption))
    places = [[(unit.start, unit.end, unit.candidate) for unit in encoded.units] for encoded in (cut, whole)]
    if not whole.windows:
        return [] if whole == cut and not (cut.truncated and cut.units) else ["not read in parts, and not as it is cut"]
    counts, read, before = Counter[int](), list[int](), -1
    wrong = {
        "units are not the cut caption's": places[0] != places[1],
        "read in parts though it fits": not cut.truncated,
        "beyond the context": whole.truncated or any(unit.beyond_context for unit in whole.units),
        "a word that was scored is not": any(c.scored > w.scored for c, w in zip(cut.units, whole.units, strict=True)),
    }
    for window in whole.windows:
        part, first = window.encoded, window.first
        counts.update({first + unit: count for unit, count in enumerate(window.counted)})
        inside = [token for token, unit in zip(part.ids, part.unit_of, strict=True) if unit >= 0]
        read += inside
        wrong |= {
            "a window is longer than the context": len(part.ids) > len(cut.ids),
            "a window's units are not the caption's": part.units != whole.units[first : first + len(part.units)],
            "a window in which nothing counts": window.tokens < 1 or sum(window.counted) > window.tokens,
            "windows are out of order": first < before,
            "more counts than is read": any(part.unit_of.count(i) < n for i, n in enumerate(window.counted)),
        }
        if any(wrong.values()):
            break
        before = first
    owned = Counter(unit for unit in whole.unit_of if unit >= 0)
    wrong["a word's tokens do not each count once"] = +counts != owned
    wrong["a token is read in no window"] = bool(
        Counter(token for token, unit in zip(whole.ids, whole.unit_of, strict=True) if unit >= 0) - Counter(read)
    )
    return [name for name, found in wrong.items() if found]


def _as_open_clip(tokenizer: Any, text: str, ids: tuple[int, ...]) -> bool:
    """Whether open_clip gives the same ids, of all texts that it can read and that do not name its special tokens."""
    cleaned = base_clean(text).text.lower()
    if "<start_of_text>" in cleaned or "<end_of_text>" in cleaned:
        return True
    try:
        theirs = tokenizer([text])[0].tolist()
    except ValueError as error:
        return "integer string conversion" in str(error)  # html.unescape and numbers of 4,301 digits
    return theirs[: len(ids)] == list(ids) and not any(theirs[len(ids) :])


def detection_violations(detector: CLIP4DM, features: Tensor, caption: str) -> list[str]:
    """As `violations`, of a model's detection. Raises what json does where a figure is none."""
    found = detector.detect(features, [caption])[0]
    figures = [word.attribution for word in found.words if word.scored]
    wrong = [] if all(map(math.isfinite, (*figures, found.cosine, found.f_clip_score))) else ["a figure is not finite"]
    json.dumps([found.as_dict(), found.as_published()], allow_nan=False)
    return wrong


@dataclass
class Report:
    """count: captions made; detected: those a model saw. errors: the package's own. slowest: (CPU s, number)."""

    count: int = 0
    detected: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    violated: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)


def fuzz(tokenizer: Any, numbers: Iterable[int], seed: int, detector: CLIP4DM | None = None, every: int = 50) -> Report:
    """Check the captions of the given numbers; every `every`th by the detector too, where there is one.

    tokenizer: open_clip's for CLIP, or another with its interface.
    """
    grey = np.full((32, 32, 3), 90, dtype=np.uint8)
    features = detector.encode_images(grey) if detector else None
    report, began = Report(), time.perf_counter()
    for number in numbers:
        template, caption = make_caption(seed, number)
        start = time.process_time()
        try:
            found = violations(tokenizer, caption, template) + split_violations(tokenizer, caption, template)
            if detector is not None and features is not None and number % every == 0:
                report.detected += 1
                found += detection_violations(detector, features, caption)
        except (CaptionError, TokenizerError) as error:
            report.errors[type(error).__name__] += 1
            found = [] if template == FULL else [f"refused: {error}"]
        except Exception as error:  # whatever it is: that is what is looked for
            found = [f"{type(error).__name__}: {error}"]
        report.slowest = max(report.slowest, (time.process_time() - start, number))
        report.violated += [(number, name) for name in found]
        report.count += 1
    report.seconds = time.perf_counter() - began
    return report
