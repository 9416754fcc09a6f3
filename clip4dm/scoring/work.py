"""A shard scored: pictures decoded ahead in threads, a batch at a time through the towers, rows into the sink.

Memory is bounded by CHUNK batches and a row group, whatever a shard's size. A picture that several neighbouring pairs
share is decoded and encoded once, and so is a caption.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.files.provenance import versions
from clip4dm.scoring.pairs import Pair
from clip4dm.scoring.schema import row
from clip4dm.scoring.sink import Sink
from clip4dm.scoring.writers import Summary

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.scoring.inputs.base import Input, Shard

ROW_GROUP = 1024  # rows


def score(
    pairs: Iterable[Pair | tuple[Any, Any]], detector: CLIP4DM, workers: int | None = None
) -> Iterator[dict[str, Any]]:
    """A row a pair (see `schema`), in order, as they come. pairs: Pairs, or (picture, caption) of any kind.

    workers: threads that decode, None for one a core. A pair that cannot be scored has its reason in "error".

        for row in score([("a.jpg", "a red car"), ("b.jpg", "a blue car")], detector):
            print(row["key"], row["f_clip_score"], row["error"])
    """
    from clip4dm.errors import CLIP4DMError

    for number, given in enumerate(pairs):
        pair = given if isinstance(given, Pair) else Pair(str(number), given[0], str(given[0]), given[1])
        try:
            detection = None if pair.error else detector.detect([pair.image], [pair.caption])[0]  # type: ignore
            yield row(pair, detection, pair.error)
        except CLIP4DMError as error:
            yield row(pair, None, str(error))


def score_shard(
    shard: Shard,
    detector: CLIP4DM,
    sink: Sink,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda pairs: None,
) -> Summary:
    """Score a shard and store it: what every engine calls. progress: told of pairs as they are written.

    Errors: ScoringError where the shard cannot be read or the folder not written to.

        score_shard(shard, detector, sink).errors
    """
    start, pairs, errors, first = time.monotonic(), 0, 0, None
    with sink.writer(shard) as writer:
        rows: list[dict[str, Any]] = []
        for one in score(shard.pairs(), detector, workers):
            rows.append(one)
            if one["error"] is not None:
                errors += 1
                first = first or f"{one['key']}: {one['error']}"
            if len(rows) == ROW_GROUP:
                writer.write(rows)
                rows = []
            pairs += 1
            progress(1)
        if rows:
            writer.write(rows)
        writer.summary = Summary(shard.name, pairs, errors, round(time.monotonic() - start, 3), first)
    return writer.summary


def open_sink(folder: Path, found: Input, detector: CLIP4DM, output_format: str = "parquet") -> Sink:
    """The folder for the scores of an input by a detector; nothing is written yet.

    open_sink(Path("scores"), open_input(["photos"]), detector).prepare()
    """
    model = detector.model
    made_by = {
        "settings": {
            "method": detector.method.name,
            "margin": detector.method.margin,
            "template": detector.template,
            "start_layer_text": detector.start_layer_text,
            "sorted_by": detector.sorted_by,
            "epsilon": detector.epsilon,
            "score": detector.score,
            "score_weight": detector.score_weight,
        },
        "model": {"backbone": model.backbone, "precision": model.precision, "quick_gelu": model.quick_gelu},
        "weights_sha256": model.weights_sha256(),
        "input": {"format": found.format, **found.identity},
    }
    remarks = {"given": list(found.given), "pretrained": model.pretrained, "versions": versions("pyarrow")}
    return Sink(folder, made_by, remarks, output_format)
