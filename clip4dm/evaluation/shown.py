"""A result as people read it: the figures of all samples beside the paper's, and those of each group, a row a group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clip4dm.evaluation.metrics.metrics import Figure
from clip4dm.evaluation.paper import beside, published_value
from clip4dm.evaluation.report import AS_PUBLISHED, flatten
from clip4dm.evaluation.tables import format_groups, format_table


@dataclass(frozen=True)
class Group:
    """The figures of a group of samples, {metric: Figure}. key, value: what makes the group; n: its samples.

    >>> Group("kind", "colour", 900, {}).name
    'kind=colour'
    """

    key: str
    value: str
    n: int
    figures: Mapping[str, Figure]

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.key}={self.value}"


def groups_of(result: Mapping[str, Any]) -> list[Group]:
    """The groups of a result, in its order.

    >>> figure = Figure(0.5, None, None, 2).as_dict()
    >>> [(group.name, *group.figures) for group in groups_of({"groups": {"kind": {"size": {"n": 4, "LA": figure}}}})]
    [('kind=size', 'LA')]
    """
    return [
        Group(key, value, figures["n"], dict(flatten(figures)))
        for key, values in result["groups"].items()
        for value, figures in values.items()
    ]


def metrics_of(groups: list[Group]) -> list[str]:
    """The metrics that have a value in any of the groups: the columns of their table.

    >>> one, none = Figure(0.5, None, None, 2), Figure(None, None, None, 0, "no references")
    >>> metrics_of([Group("kind", "size", 4, {"LA": one, "AP/refCLIPScore": none})])
    ['LA']
    """
    found = {name: None for group in groups for name, figure in group.figures.items() if figure.value is not None}
    order = list(dict.fromkeys(name for group in groups for name in group.figures))
    return [name for name in order if name in found]


def table(result: Mapping[str, Any]) -> str:
    """The figures of a result as text: a line for each of all samples, the paper's beside it where its model and
    settings are this run's; below, a line for each group.

        print(table(read_json(folder / "result.json")))
    """
    figures = format_table(overall(result))
    groups = groups_of(result)
    metrics = metrics_of(groups)
    if not metrics:
        return figures
    rows = [(group.name, group.n, [group.figures.get(name) for name in metrics]) for group in groups]
    return f"{figures}\n\n{format_groups(metrics, rows)}"


def overall(result: Mapping[str, Any]) -> list[tuple[str, Figure, float | None]]:
    """(metric, ours, the paper's or None) of all samples together.

    overall(read_json(folder / "result.json"))[0]
    """
    rows = [
        (name, beside(result["benchmark"], name, figure), published_value(result, name))
        for name, figure in flatten(result)
        if not name.startswith(AS_PUBLISHED)
    ]
    return rows + [
        (f"{AS_PUBLISHED} {name}", figure, published_value(result, name, quirks=True))
        for name, figure in flatten(result.get(AS_PUBLISHED, {}))
    ]
