"""The rules that a pair is kept by, and the places of the rows that they keep: one query, by DuckDB.

1. Scored pairs alone: no error, and the score is a finite number.
2. Each pair by itself: `expr`, `no_misaligned`, `above`.
3. Of the pairs left, `best_of` keeps the best of each picture or of each caption.
4. Of those left, `keep_fraction` keeps that share, the best first.

The better pair: the higher score; of equal ones (F-CLIPScore is exactly 0 wherever no word is misaligned) the higher
cosine; of equal ones again the first in input order.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from clip4dm.errors import InputError, short_reason
from clip4dm.scores import F_CLIP_SCORE

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow.dataset
    from numpy.typing import NDArray

BestOf = Literal["image", "caption"]
BEST_OF: tuple[BestOf, ...] = get_args(BestOf)
MEMORY = "512MB"  # of DuckDB's tables; what is more lies on the disk
BINS = 100


@dataclass(frozen=True)
class Rules:
    """What to keep; all that are given apply, in the order of this module's docstring.

    expr: a condition in SQL on the scores' columns. no_misaligned: no word is. above: F-CLIPScore is higher than this.
    best_of: one pair for each of these. keep_fraction: a share, 0 to 1. by: the column of numbers that says which pair
    is better. Errors: InputError.

    >>> Rules(keep_fraction=70)
    Traceback (most recent call last):
    clip4dm.errors.InputError: keep_fraction is 70; it must be a share from 0 to 1, such as 0.7
    """

    expr: str | None = None
    no_misaligned: bool = False
    above: float | None = None
    best_of: BestOf | None = None
    keep_fraction: float | None = None
    by: str = F_CLIP_SCORE

    def __post_init__(self) -> None:
        if self.keep_fraction is not None and not 0 <= self.keep_fraction <= 1:
            raise InputError(f"keep_fraction is {self.keep_fraction!r}; it must be a share from 0 to 1, such as 0.7")
        if self.above is not None and not math.isfinite(self.above):
            raise InputError(f"f_clip_score_above is {self.above!r}; it must be a finite number, such as -0.01")
        if self.best_of is not None and self.best_of not in BEST_OF:
            raise InputError(f"unknown best_of {self.best_of!r}; allowed: {', '.join(BEST_OF)}")


@dataclass(frozen=True)
class Selection:
    """What the rules keep. places: of the kept rows, ascending. rows, scored: how many there are, and have a score.

    cut: the lowest score kept; None where nothing is. edges, all_counts, kept_counts: a histogram of the scores, of
    all scored pairs and of those kept; lower: how many lie below the lowest edge.

        kept = table.take(select(scores.dataset(), Rules(keep_fraction=0.7)).places)
    """

    places: NDArray[np.int64]
    rows: int
    scored: int
    cut: float | None
    edges: NDArray[np.float64]
    all_counts: NDArray[np.int64]
    kept_counts: NDArray[np.int64]
    lower: int


def select(scores: pyarrow.dataset.Dataset, rules: Rules) -> Selection:
    """Apply the rules to the rows of a folder (`stored.Scores.dataset`).

    Memory: MEMORY for scores, pictures' names or captions, whatever their number.
    Errors: InputError for a column that is not there, an expression that is none.

    >>> import pyarrow, pyarrow.dataset
    >>> scores = [-0.3, -0.1, -0.2, None]
    >>> columns = {"f_clip_score": scores, "cosine": scores, "error": [None, None, None, "no such file"]}
    >>> rows = pyarrow.dataset.dataset(pyarrow.table({"image": ["a", "a", "b", "b"], **columns}))
    >>> found = select(rows, Rules(best_of="image"))
    >>> found.places.tolist(), found.scored, found.cut
    ([1, 2], 3, -0.2)
    """
    columns = list(scores.schema.names)
    for name in {rules.by, "cosine", F_CLIP_SCORE}:
        if name not in columns:
            raise InputError(f"the scores have no column {name!r}; there are: {', '.join(columns)}")
    condition = _condition(rules)
    with _database(scores) as database:
        ask = _asking(database, rules, columns)
        ask(f"CREATE TEMP TABLE scored AS {_scored(rules, condition)}")
        ask(f"CREATE TEMP TABLE best AS SELECT place, better, cosine FROM scored WHERE passes {_best(rules)}")
        ((left,),) = ask("SELECT count(*) FROM best").fetchall()
        keep = left if rules.keep_fraction is None else math.floor(rules.keep_fraction * left + 0.5)
        ask(
            "CREATE TEMP TABLE kept AS SELECT place, better FROM best "
            f"QUALIFY row_number() OVER (ORDER BY better DESC, cosine DESC, place) <= {keep}"
        )
        places = ask("SELECT place FROM kept ORDER BY place").fetchnumpy()["place"]
        ((rows,),) = ask("SELECT count(*) FROM scores").fetchall()
        ((scored,),) = ask("SELECT count(*) FROM scored").fetchall()
        ((cut,),) = ask("SELECT min(better) FROM kept").fetchall()
        return Selection(places, rows, scored, cut, *_histogram(ask))


def _condition(rules: Rules) -> str:
    """What each pair has to pass by itself. The expression stands on lines of its own: it may end in a comment."""
    parts = ["true"]
    if rules.expr is not None:
        _check_expression(rules.expr)
        parts.append(f"((\n{rules.expr}\n) IS TRUE)")
    if rules.no_misaligned:
        parts.append("len(misaligned) = 0")
    if rules.above is not None:
        parts.append(f"{F_CLIP_SCORE} > {rules.above!r}::DOUBLE")
    return " AND ".join(parts)


def _check_expression(text: str) -> None:
    """Errors: InputError for what is more or less than one expression."""
    import duckdb

    try:
        duckdb.SQLExpression(text)
    except duckdb.Error as error:
        raise InputError(f"--expr {text!r:.200} is no condition in SQL: {short_reason(error)}") from None


def _scored(rules: Rules, condition: str) -> str:
    """The scored rows, narrow. Places are counted before anything is left out, so that they are those of the files."""
    one = "" if rules.best_of is None else f", {rules.best_of} AS one"
    return f"""
        SELECT clip4dm_place AS place, clip4dm_better AS better, cosine, ({condition}) AS passes{one}
        FROM (
            SELECT *, row_number() OVER () - 1 AS clip4dm_place, CAST({_quoted(rules.by)} AS DOUBLE) AS clip4dm_better
            FROM scores
        )
        WHERE error IS NULL AND isfinite(clip4dm_better)
    """


def _best(rules: Rules) -> str:
    if rules.best_of is None:
        return ""
    return "QUALIFY row_number() OVER (PARTITION BY one ORDER BY better DESC, cosine DESC, place) = 1"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def _database(scores: pyarrow.dataset.Dataset) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that knows `scores` and can reach nothing else: no file, network, extension or variable."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="clip4dm-filter-") as folder:
        database = duckdb.connect(":memory:")
        try:
            database.register("scores", _taken(scores))
            folder = folder.replace("'", "''")
            for setting in (
                f"memory_limit = '{MEMORY}'",
                f"temp_directory = '{folder}'",
                "python_enable_replacements = false",
                "enable_external_access = false",
                "lock_configuration = true",
            ):
                database.execute(f"SET {setting}")
            yield database
        finally:
            database.close()


def _taken(scores: pyarrow.dataset.Dataset) -> pyarrow.dataset.Dataset:
    """The rows without the columns of types that DuckDB does not know."""
    import duckdb
    import pyarrow as pa

    def known(column: pa.Field) -> bool:
        try:
            trial.from_arrow(pa.schema([column]).empty_table())
        except duckdb.Error:
            return False
        return True

    with duckdb.connect(":memory:") as trial:
        return scores.replace_schema(pa.schema([one for one in scores.schema if known(one)]))


def _asking(database: duckdb.DuckDBPyConnection, rules: Rules, columns: list[str]) -> Any:
    import duckdb

    def ask(sql: str) -> duckdb.DuckDBPyConnection:
        try:
            return database.execute(sql)
        except duckdb.Error as error:
            given = "" if rules.expr is None else f"--expr {rules.expr!r:.200}: "
            of_rules = (duckdb.BinderException, duckdb.CatalogException, duckdb.ConversionException)
            there = f"; the columns are: {', '.join(columns)}" if isinstance(error, of_rules) else ""
            raise InputError(
                f"{given}the scores cannot be chosen from by {rules.by}: {short_reason(error)}{there}"
            ) from None

    return ask


def _histogram(ask: Any) -> tuple[Any, Any, Any, int]:
    """Edges, counts of all and of the kept. From the 1-in-1,000 lowest on: a tail would leave no room for the rest."""
    import numpy as np

    ((low, high),) = ask("SELECT quantile_disc(better, 0.001), max(better) FROM scored").fetchall()
    low, high = (0.0, 0.0) if low is None else (low, high)
    if not low < high:  # one value alone, or none
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    place = f"least(floor((better - {low!r}) / {high - low!r} * {BINS}), {BINS - 1})::INT"
    counts = {}
    for table in ("scored", "kept"):
        counts[table] = np.zeros(BINS, dtype=np.int64)
        for number, count in ask(
            f"SELECT {place}, count(*) FROM {table} WHERE better >= {low!r} GROUP BY ALL"
        ).fetchall():
            counts[table][number] = count
    ((lower,),) = ask(f"SELECT count(*) FROM scored WHERE better < {low!r}").fetchall()
    return edges, counts["scored"], counts["kept"], lower
