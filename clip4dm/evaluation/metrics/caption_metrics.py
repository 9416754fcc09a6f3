"""Baselines that compare a caption with references alone: BLEU, METEOR, ROUGE-L, CIDEr and SPICE of pycocoevalcap.

Every caption is scored by itself, after the Penn Treebank tokenizer; CIDEr weighs its n-grams by how many of the
samples' sets of references hold them. The tokenizer, METEOR and SPICE run on Java. SPICE also needs Stanford's models,
a large download of its own, and is left out without them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clip4dm.errors import CLIP4DMError
from clip4dm.files.streams import batches

BLEU = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
METRICS = (*BLEU, "METEOR", "ROUGE-L", "CIDEr", "SPICE")
_METEOR_AT_ONCE = 2000  # captions: METEOR takes all statistics of a call on one line
_SPICE_FILES = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


class CaptionMetricsUnavailable(CLIP4DMError, ValueError):
    """Caption metrics cannot be computed: why, and how to go on, in one line."""


def check_java() -> None:
    """Errors: CaptionMetricsUnavailable where there is no Java that runs.

    check_java()  # before a long run that is to end in `caption_metrics`
    """
    remedy = (
        "caption metrics need it (pycocoevalcap's tokenizer and METEOR are Java programs): install a Java "
        "runtime, 8 or newer, or leave --caption_metrics out"
    )
    java = shutil.which("java")
    if java is None:
        raise CaptionMetricsUnavailable(f"there is no `java` on the PATH; {remedy}")
    tried = subprocess.run([java, "-version"], capture_output=True, text=True)
    if tried.returncode:
        said = (tried.stderr or tried.stdout).strip().splitlines()
        raise CaptionMetricsUnavailable(f"{java} does not run ({said[0] if said else tried.returncode}); {remedy}")


def spice_files_are_there() -> bool:
    """Whether Stanford's models lie where pycocoevalcap's SPICE looks for them.

    >>> spice_files_are_there() in (True, False)
    True
    """
    spec = importlib.util.find_spec("pycocoevalcap.spice")
    folder = Path(spec.origin).parent / "lib" if spec and spec.origin else None
    return folder is not None and all((folder / name).is_file() for name in _SPICE_FILES)


def caption_metrics(
    candidates: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """{id: {metric: score}} of the candidates that have references.

    candidates: {id: caption}. references: {id: captions}. Errors: CaptionMetricsUnavailable.

        caption_metrics({"1": "a red cup"}, {"1": ["a cup that is red", "a red mug"]})["1"]["CIDEr"]
    """
    check_java()
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    kept = [name for name in candidates if references.get(name)]
    if not kept:
        return {}
    tokenizer = PTBTokenizer()
    truth = tokenizer.tokenize({name: [_line(text) for text in references[name]] for name in kept})
    given = tokenizer.tokenize({name: [_line(candidates[name])] for name in kept})
    columns: dict[str, Sequence[float]] = {}
    with contextlib.redirect_stdout(io.StringIO()):  # the scorers print what they do
        columns |= zip(BLEU, Bleu(4).compute_score(truth, given, verbose=0)[1], strict=True)
        columns["ROUGE-L"] = Rouge().compute_score(truth, given)[1]
        columns["CIDEr"] = Cider().compute_score(truth, given)[1]
        columns["METEOR"] = list(_meteor(truth, given))
        if spice_files_are_there():
            columns["SPICE"] = list(_spice(truth, given))
    return {
        name: {metric: float(columns[metric][row]) for metric in METRICS if metric in columns}
        for row, name in enumerate(kept)
    }


def _line(text: str) -> dict[str, str]:
    """The tokenizer takes a caption a line, and drops punctuation: the full stop stands for an empty caption."""
    return {"caption": " ".join(text.split()) or "."}


def _meteor(truth: Mapping[str, list[str]], given: Mapping[str, list[str]]) -> Iterator[float]:
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    for part in batches(truth, _METEOR_AT_ONCE):
        try:
            yield from scorer.compute_score({n: truth[n] for n in part}, {n: given[n] for n in part})[1]
        except (OSError, ValueError) as error:  # its Java process ended, or said no number
            said = (
                scorer.meteor_p.stderr.read().decode(errors="replace").strip().splitlines()
                if scorer.meteor_p.poll() is not None
                else []
            )
            raise CaptionMetricsUnavailable(f"METEOR's Java program failed: {said[0] if said else error}") from error


def _spice(truth: Mapping[str, list[str]], given: Mapping[str, list[str]]) -> Iterator[float]:
    from pycocoevalcap.spice.spice import Spice

    names = sorted(truth)  # the order of its scores
    scores = dict(zip(names, Spice().compute_score(truth, given)[1], strict=True))
    for name in truth:
        yield scores[name]["All"]["f"]
