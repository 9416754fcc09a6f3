"""Whether a run agrees with the published figures: each lies in our 95 % interval, or so far from it.

A figure is judged only where the run is the paper's: model, settings, template, method (`paper.published_value`), and
as many samples as its data set has. A published number stands for all that round to it: it is in an interval that has
any of those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clip4dm.errors import InputError
from clip4dm.evaluation.metrics.metrics import Figure
from clip4dm.evaluation.paper import PAPER, PAPER_NAMES, SAMPLES, published_value
from clip4dm.evaluation.report import AS_PUBLISHED, flatten
from clip4dm.evaluation.tables import decimals, interval

SLACK = 1e-9  # bounds and published numbers are sums of binary fractions


@dataclass(frozen=True)
class Verdict:
    """A published number and our figure. name: the figure's, as in the table.

    >>> Verdict("LA", 0.6, Figure(0.65, 0.62, 0.68, 5000)).line()
    'LA 0.60: outside [0.620, 0.680], 0.020 below'
    """

    name: str
    published: float
    figure: Figure

    @property
    def inside(self) -> bool | None:
        """Whether our interval has a number that rounds to the published one; None where there is no interval."""
        low, high = self.figure.low, self.figure.high
        if low is None or high is None:
            return None
        rounding = 0.5 / 10 ** decimals(self.published) + SLACK
        return bool(low - rounding <= self.published <= high + rounding)

    def line(self) -> str:
        """A line for a person: inside or not, and how far the published number is from the interval."""
        published = f"{self.name} {self.published:.{decimals(self.published)}f}"
        low, high = self.figure.low, self.figure.high
        if low is None or high is None:
            why = self.figure.reason or "no reason is known"
            return f"{published}: not judged, {'no figure' if self.figure.value is None else 'no interval'} ({why})"
        away = max(low - self.published, self.published - high)
        far = f"{away:.3f} {'below' if self.published < low else 'above'}"
        if not self.inside:
            return f"{published}: outside {interval(low, high)}, {far}"
        return f"{published}: inside {interval(low, high)}" + (f" as rounded ({far})" if away > SLACK else "")


def verdicts(result: Mapping[str, Any]) -> list[Verdict]:
    """One for each published figure of a run, by `as_published` figures where the run has them; often none.

    result: as in result.json.

        [verdict.line() for verdict in verdicts(read_json(folder / "result.json"))]
    """
    if not_comparable(result, result["n"]):
        return []
    found = {}
    for name, figure in flatten(result):
        published = None if name.startswith(AS_PUBLISHED) else published_value(result, name)
        if published is not None:
            found[PAPER_NAMES.get(name, name)] = Verdict(name, published, figure)
    for name, figure in flatten(result.get(AS_PUBLISHED, {})):
        published = published_value(result, name, quirks=True)
        if published is not None:
            found[PAPER_NAMES.get(name, name)] = Verdict(f"{AS_PUBLISHED} {name}", published, figure)
    return list(found.values())


def not_comparable(config: Mapping[str, Any], samples: int) -> str | None:
    """Why no published figure is this run's; None where one is. config: as in config.json or result.json.

    not_comparable(result, result["n"])  # "136 samples, where the paper's foil has 198960"
    """
    return _nothing_published(config) or _other_data(config["benchmark"], samples)


def _nothing_published(config: Mapping[str, Any]) -> str | None:
    benchmark, args = config["benchmark"], config["args"]
    ours = {theirs: name for name, theirs in PAPER_NAMES.items()}
    metrics = {ours.get(row.metric, row.metric) for row in PAPER if row.benchmark == benchmark}
    if all(published_value(config, metric) is None for metric in metrics):
        settings = config["settings"]
        asked = f"{settings['sorted_by']}, epsilon {settings['epsilon']:g}, start_layer_text "
        asked += f"{settings['start_layer_text']} of {settings['layers']} layers, template {args['template']!r}"
        asked += f", limit {args['limit']}" if args["limit"] else ""
        asked += f", method {args['method']}" if args.get("method") else ""
        asked += f", image_masks {args['image_masks']}" if args.get("image_masks") else ""
        return f"nothing is published for {benchmark} with {config['backbone']}:{config['pretrained']} ({asked})"
    return None


def _other_data(benchmark: str, samples: int) -> str | None:
    if samples == SAMPLES[benchmark]:
        return None
    return f"{samples} samples, where the paper's {benchmark} has {SAMPLES[benchmark]}"


def verdict_lines(result: Mapping[str, Any]) -> list[str]:
    """What main.py prints below its table; nothing where the paper has no such figure.

    verdict_lines(outcome.result)  # ["published: LA 0.60: inside [0.580, 0.625]", ...]
    """
    if _nothing_published(result):
        return []
    reason = _other_data(result["benchmark"], result["n"])
    if reason:
        return [f"published: not judged: {reason}"]
    return [f"published: {verdict.line()}" for verdict in verdicts(result)]


def check_comparable(config: Mapping[str, Any], samples: int) -> None:
    """For --expect, before the work and after. Errors: InputError where no published figure is this run's.

    check_comparable(config, len(samples))
    """
    reason = not_comparable(config, samples)
    if reason:
        raise InputError(
            f"--expect has nothing to compare: {reason}. What is published: clip4dm/evaluation/paper.py; leave "
            "--expect away to evaluate all the same"
        )


def unexpected(result: Mapping[str, Any]) -> list[Verdict]:
    """The published figures that lie outside our intervals. Errors: InputError where none could be judged.

    [verdict.line() for verdict in unexpected(outcome.result)]
    """
    check_comparable(result, result["n"])
    found = verdicts(result)
    if all(verdict.inside is None for verdict in found):
        raise InputError(f"--expect could judge no figure: {'; '.join(verdict.line() for verdict in found)}")
    return [verdict for verdict in found if verdict.inside is False]
