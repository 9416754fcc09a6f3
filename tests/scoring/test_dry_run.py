"""--dry_run: what there is to do, without a model, a download, or a byte written."""

from __future__ import annotations

import pytest
from drawn_pairs import files, write_tars
from making import make_tiny_clip

from clip4dm import CLIP4DM
from clip4dm.commands import score
from clip4dm.scoring.maker import Maker


def test_dry_run_writes_nothing(run, tmp_path, pictures, pairs):
    folder = tmp_path / "scores"
    status, out, _ = run("--dry_run")
    assert status == 0 and not folder.exists()
    assert out == "5 shards, 20 pairs\nstored already: 0 pairs in 0 shards\nto be scored: 5 shards, 20 pairs\n"
    run("--shard", "1/2")
    before = files(folder)
    _, out, _ = run("--dry_run")
    assert out == "5 shards, 20 pairs\nstored already: 8 pairs in 2 shards\nto be scored: 3 shards, 12 pairs\n"
    assert files(folder) == before
    _, out, _ = run("--dry_run", source=write_tars(tmp_path / "tars", pictures, pairs, 7), output=tmp_path / "other")
    assert out.startswith("3 shards, an unknown number of pairs\n")


def test_it_loads_no_model_and_fetches_none(run, table, monkeypatch, tmp_path, capsys):
    """Where weights are not at hand, what is stored cannot be told."""
    run("--shard", "1/2")
    monkeypatch.setattr("clip4dm.detector.load_model", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr("clip4dm.models.sources.check_hub_reachable", lambda *_: pytest.fail("fetched"))
    assert run("--dry_run", own=True)[1].splitlines()[1] == "stored already: 8 pairs in 2 shards"
    away = [str(table), "--backbone", "ViT-bigG-14", "--shard_size", "4", "--dry_run", "--output"]
    with pytest.raises(SystemExit) as stop:
        score.main([*away, str(tmp_path / "scores")])
    assert stop.value.code == 2
    assert "error: the weights of ViT-bigG-14 are not on this machine" in capsys.readouterr().err
    score.main([*away, str(tmp_path / "new")])
    said = capsys.readouterr()
    assert said.out.splitlines()[2] == "to be scored: 5 shards, 20 pairs" and "note: the weights of" in said.err


@pytest.mark.parametrize("layers", [3, 12])
@pytest.mark.parametrize("method", [{}, {"method": "masking"}, {"method": "integrated"}], ids=str)
def test_the_settings_are_those_of_the_detector(method, layers, tmp_path):
    """Also what depends on the tower: a method's usual layers. As a folder's, its file's, and by either option."""
    folder = make_tiny_clip(tmp_path / "model", layers=layers)
    usual = {"template": "", "sorted_by": "threshold", "epsilon": -1e-3, "score": "f_clip_score", **method}
    detector = CLIP4DM.from_pretrained(pretrained=str(folder), device="cpu", **usual)
    for given in ({"pretrained": str(folder)}, {"backbone": str(folder)}, {"pretrained": f"local-dir:{folder}"}):
        assert Maker.asked({"precision": "fp32", **given, **usual}) == Maker.of(detector)
