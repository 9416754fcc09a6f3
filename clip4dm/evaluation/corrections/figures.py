"""How often the right word came first: given the foil word, and end to end, where it had to be found too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from clip4dm.evaluation.corrections.rows import Row
from clip4dm.evaluation.metrics.intervals import Bootstrap
from clip4dm.evaluation.metrics.metrics import Figure, mean_figure
from clip4dm.evaluation.tables import cell

Figures = Mapping[str, Mapping[str, Mapping[str, Figure]]]  # list -> group -> name -> figure

AT = 5
_OF_ROW: dict[str, Callable[[Row], float]] = {
    "top 1": lambda row: row.same_meaning,
    "top 1, the very word": lambda row: row.restored,
    f"top {AT}, the very word": lambda row: row.rank is not None and row.rank <= AT,
    "end to end": lambda row: row.called and row.same_meaning,
    "a random candidate": lambda row: row.random or 0.0,
    "the most frequent": lambda row: bool(row.frequent),
}


def figures(rows: Iterable[Row], groups: Mapping[str, str], foils: Sequence[str], *, seed: int = 0) -> Figures:
    """Of each list and group, the group "all" first. Of the foils whose word was asked for.

    groups: of samples, by id. foils: the ids of all that could be asked for; one without a row does not count: its
    picture cannot be read, its word lies beyond the context, or a list has no other. Resampled by image.

        figures(rows, {"7-foil": "colour"}, ["7-foil"])["kind"]["all"]["top 1"].value
    """
    by_list: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.given:
            by_list.setdefault(row.list, {})[row.id] = row
    found: dict[str, dict[str, dict[str, Figure]]] = {}
    for name, mine in by_list.items():
        asked = [foil for foil in foils if foil in mine]
        bootstrap = Bootstrap([mine[foil].image for foil in asked], seed=seed)
        found[name] = {}
        for group in ("all", *sorted({groups[foil] for foil in asked if foil in groups})):
            places = [i for i, foil in enumerate(asked) if group in ("all", groups.get(foil))]
            found[name][group] = {
                what: mean_figure([float(of(mine[asked[i]])) for i in places], bootstrap.take(places))
                for what, of in _OF_ROW.items()
            }
    return found


def tables(found: Figures) -> str:
    """As text, a table a list.

    >>> tables({"kind": {"all": {"top 1": Figure(0.5, 0.25, 0.75, 8)}}}).splitlines()
    ['candidates: kind', 'foils  n  top 1', 'all    8  0.500 [0.250, 0.750]']
    """
    from tabulate import tabulate

    parts = []
    for name, groups in found.items():
        columns = list(next(iter(groups.values())))
        rows = [
            (group, str(next(iter(mine.values())).n), *(cell(mine[column]) for column in columns))
            for group, mine in groups.items()
        ]
        lines = tabulate([("foils", "n", *columns), *rows], tablefmt="plain", disable_numparse=True)
        parts.append(f"candidates: {name}\n{lines}")
    return "\n\n".join(parts)
