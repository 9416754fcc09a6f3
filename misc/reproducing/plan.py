"""What a study's tables need, before anything is run: data, weights, finished runs, time."""

from __future__ import annotations

from collections.abc import Iterable

from reproducing.earlier import pairs_per_second
from reproducing.study import Missing, Pass, Study, passes

from clip4dm.models.hub import weights_at_hand


def print_plan(study: Study, names: Iterable[str]) -> None:
    """Print what each table needs, each pass over data once, and the estimated time of what is not finished."""
    total, seen = 0.0, set[Pass]()
    for name in names:
        print(f"{name}: {study.tables[name].title}")
        for need in passes(study.lines(name)):
            text, seconds = _state(study, need, need in seen)
            print(text)
            total += seconds
            seen.add(need)
    print(f"in all about {duration(total)}")


def _state(study: Study, need: Pass, seen: bool) -> tuple[str, float]:
    """A line about a pass, and the seconds that it will take."""
    data, model, ablation = need
    what = f"  {data}, {model}" + (", signs of the gradient" if ablation else "")
    at_hand = "weights at hand" if weights_at_hand(model.backbone, model.pretrained) else "weights to be downloaded"
    try:
        pairs, finished = study.pairs(data), None if ablation else study.finished(data, model)
    except Missing as error:
        return f"{what}: {error}; {at_hand}", 0.0
    if seen:
        return f"{what}: as above", 0.0
    if finished:
        return f"{what}: finished, {finished}", 0.0
    rate, measured = pairs_per_second(study.output, model)
    pace = "as an earlier run" if measured else "at the pace of the paper, on its GPU"
    return f"{what}: {pairs} pairs, about {duration(pairs / rate)} ({pace}), {at_hand}", pairs / rate


def duration(seconds: float) -> str:
    """
    >>> duration(80), duration(600), duration(9000)
    ('80 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
