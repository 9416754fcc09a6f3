"""benchmark_scoring.py compares what does the same work: the plain loop's CLIPScores are those of clip4dm score."""

from __future__ import annotations

import contract
import pytest
from speed import scoring

from clip4dm import CLIP4DM
from clip4dm.errors import InputError
from clip4dm.scoring.inputs.recognise import open_input
from clip4dm.scoring.work import score


def test_the_contenders_agree(tmp_path):
    detector = CLIP4DM.from_pretrained("demo", device="cpu", batch_size=8)
    tars = scoring.write_tars(tmp_path / "tars", scoring.drawn_samples(8), pairs=25, per_tar=10)
    assert [path.name for path in tars] == ["00000.tar", "00001.tar", "00002.tar"]
    seen = []
    for tar, count in zip(tars, (10, 10, 5), strict=True):
        rows = list(score(open_input([str(tar)]).shards()[0].pairs(), detector))
        plain = scoring.plain_loop(detector)(tar)()
        alone = [one.clip_score for one in scoring.detector_alone(detector)(tar)()]
        assert len(rows) == len(plain) == len(alone) == count
        for row, one, other in zip(rows, plain, alone, strict=True):
            assert row["error"] is None
            assert abs(row["clip_score"] - one) <= 2.5 * contract.COSINE
            assert abs(row["clip_score"] - other) <= 2.5 * contract.COSINE
        seen += [(row["key"], row["caption"]) for row in rows]
    assert len({key for key, _ in seen}) == 25
    assert len({caption for _, caption in seen}) > 8  # a scene that comes again has another caption
    scoring.score_alone(detector)(tars[2])()


def test_too_few_photographs(tmp_path):
    with pytest.raises(InputError, match="there are 2 pictures with captions, and 3 pairs were asked for"):
        scoring.write_tars(tmp_path / "tars", iter([(b"", "a"), (b"", "b")]), 3, 10)
