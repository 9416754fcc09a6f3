"""`clip4dm score --long split`: captions beyond the context scored whole, and gone on with like any others."""

from __future__ import annotations

from drawn_pairs import read_rows, write_table


def test_every_word_of_a_long_caption_is_stored(command, pictures, pairs, tmp_path, capsys):
    joined = ". ".join(text for _, text in pairs)
    table = write_table(
        tmp_path / "long.csv", [(str(pictures / pairs[0][0]), joined), (str(pictures / pairs[1][0]), pairs[1][1])]
    )
    ask = (table, "--shard_size", 1, "--output")
    assert command(*ask, tmp_path / "cut") == 0
    split = (*ask, tmp_path / "split", "--long", "split")
    assert command(*split, own=True) == 0
    (cut, short), (whole, same) = (
        sorted(read_rows(tmp_path / name), key=lambda row: row["key"]) for name in ("cut", "split")
    )
    assert cut["truncated"] and any(word["attribution"] is None for word in cut["words"])
    assert same == short and not whole["truncated"]
    assert [word["text"] for word in whole["words"]] == [word["text"] for word in cut["words"]]
    for word in whole["words"]:
        assert word["attribution"] is not None and joined[word["start"] : word["end"]] == word["text"]
    (tmp_path / "split" / "00000.parquet").unlink()
    capsys.readouterr()
    assert command(*split, own=True) == 0
    assert "1 of 2 shards are stored already" in capsys.readouterr().err
    assert whole in read_rows(tmp_path / "split")
