"""misc/download_richhf_image.py, whole, on small data sets written with the real library."""

import json
import os
import signal
import subprocess
import sys
import time

import download_richhf_image
import pytest
from badserver import jpeg
from fetching.folder import MANIFEST, MISSING
from fetching.hub_rows import PictureStore
from fetching.manifest import read_manifest
from places import ROOT

from clip4dm.benchmarks import read_benchmark
from clip4dm.benchmarks.tfrecord import write_examples


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def pick_a_pic(folder, rows_a_file=40, number=3):
    """Parquet files like Pick-a-Pic's: two pictures and their uids a row. Returns uid -> (bytes, prompt)."""
    datasets = pytest.importorskip("datasets")
    pictures = {}
    folder.mkdir()
    for part in range(number):
        rows = []
        for i in range(part * rows_a_file, (part + 1) * rows_a_file):
            row = {"caption": f"a picture, number {i}: very nice!", "user_id": i, "best_image_uid": f"u{2 * i}"}
            for side in (0, 1):
                row |= {f"image_{side}_uid": f"u{2 * i + side}", f"jpg_{side}": jpeg(2 * i + side, 16)}
                pictures[f"u{2 * i + side}"] = (jpeg(2 * i + side, 16), row["caption"])
            rows.append(row)
        datasets.Dataset.from_list(rows).to_parquet(str(folder / f"{part}.parquet"))
    return pictures


def tfrecord(path, uids, labels="1 1 0 1 1 1"):
    write_examples(
        path,
        [
            {
                "filename": [f"{uid}.png".encode()],
                "prompt_misalignment_label": [labels.encode()],
                "misalignment_score": [0.25],
                "artifact_score": [0.5],
                "aesthetics_score": [0.75],
                "overall_score": [1.0],
            }
            for uid in uids
        ],
    )
    return str(path)


def test_whole(tmp_path, capsys):
    pictures = pick_a_pic(tmp_path / "parquet")
    uids = ["u3", "u4", "u5", "u130"]
    arguments = [
        "--foil_path",
        tfrecord(tmp_path / "test.tfrecord", uids),
        "--save_dir",
        str(tmp_path / "richhf" / "test"),
        "--dataset",
        str(tmp_path / "parquet"),
    ]
    download_richhf_image.main(arguments)
    folder = tmp_path / "richhf" / "test"
    assert "4 fetched" in capsys.readouterr().out
    for uid in uids:
        assert (folder / f"{uid}.png").read_bytes() == pictures[uid][0]  # as stored, not encoded again
    rows = json.loads((tmp_path / "richhf" / "test.json").read_text())
    assert rows[0] == {
        "filename": "u3.png",
        "image": "u3.png",
        "prompt": "a picture, number 1: very nice!",
        "tokens": ["a", "picture", "number", "1", "very", "nice"],
        "labels": [1, 1, 0, 1, 1, 1],
        "misalignment_score": 0.25,
        "artifact_score": 0.5,
        "aesthetics_score": 0.75,
        "overall_score": 1.0,
    }
    benchmark, reading = read_benchmark(tmp_path / "richhf" / "test.json")  # as main.py reads it
    assert benchmark.name == "richhf"
    assert [sample.caption[slice(*sample.spans[0])] for sample in reading.samples] == ["number"] * 4
    assert json.loads((folder / "source.json").read_text()) == {"dataset": str(tmp_path / "parquet"), "revision": None}
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    download_richhf_image.main(arguments)
    assert "4 were there, 0 fetched" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    (folder / "u4.png").write_bytes(b"damaged")
    with pytest.raises(SystemExit):
        download_richhf_image.main([*arguments, "--verify"])
    download_richhf_image.main(arguments)
    assert "3 were there, 1 fetched" in capsys.readouterr().out
    assert (folder / "u4.png").read_bytes() == pictures["u4"][0]


def test_reads_no_more_than_it_must(tmp_path, monkeypatch):
    pick_a_pic(tmp_path / "parquet")
    read = []
    from fetching import hub_rows

    inner = hub_rows.rows_of
    monkeypatch.setattr(hub_rows, "rows_of", lambda *args: (read.append(row) or row for row in inner(*args)))
    download_richhf_image.main(
        [
            "--foil_path",
            tfrecord(tmp_path / "t.tfrecord", ["u3", "u9"]),
            "--save_dir",
            str(tmp_path / "out"),
            "--dataset",
            str(tmp_path / "parquet" / "*.parquet"),
        ]
    )
    assert len(read) == 5  # u9 is in the fifth row of 120
    assert set(read[0]) == set(download_richhf_image.COLUMNS)


def test_what_is_not_in_the_data_set_is_told(tmp_path, capsys):
    pick_a_pic(tmp_path / "parquet", number=1)
    arguments = [
        "--foil_path",
        tfrecord(tmp_path / "t.tfrecord", ["u3", "nowhere", "../../evil"]),
        "--save_dir",
        str(tmp_path / "out"),
        "--dataset",
        str(tmp_path / "parquet"),
    ]
    with pytest.raises(SystemExit) as stopped:
        download_richhf_image.main(arguments)
    assert stopped.value.code == 1
    captured = capsys.readouterr()
    assert "1 of 3 files" in captured.out
    listed = dict(line.split("\t") for line in (tmp_path / "out" / MISSING).read_text().splitlines())
    assert listed == {
        "nowhere.png": "not in the data set",
        "../../evil.png": "'../../evil.png' is no name of a file inside the folder: it is not a plain relative path",
    }
    assert [row["filename"] for row in json.loads((tmp_path / "out.json").read_text())] == ["u3.png"]


@pytest.mark.parametrize(
    "dataset, said",
    [
        ("nowhere/at/all", "there is no file or folder"),
        ("./none.parquet", "there is no file or folder"),
        ("no*.parquet", "no file fits"),
        ("empty", "no parquet files"),
        ("broken.parquet", "cannot be read"),
        ("other.parquet", "has no column image_0_uid"),
    ],
)
def test_a_data_set_that_cannot_be_read_is_one_line(tmp_path, capsys, monkeypatch, dataset, said):
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but not really")
    datasets.Dataset.from_list([{"caption": "a", "jpg_0": b"", "jpg_1": b""}]).to_parquet("other.parquet")
    with pytest.raises(SystemExit) as stopped:
        download_richhf_image.main(
            ["--foil_path", tfrecord(tmp_path / "t.tfrecord", ["u3"]), "--save_dir", "out", "--dataset", dataset]
        )
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert len([line for line in error.splitlines() if "error:" in line]) == 1


def test_without_a_hub_says_what_to_do(tmp_path):
    """The hub's name does not resolve to anything that answers: one line, and --dataset is named."""
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "misc" / "download_richhf_image.py"),
            "--foil_path",
            tfrecord(tmp_path / "t.tfrecord", ["u3"]),
            "--save_dir",
            str(tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"},
    )
    assert done.returncode == 2
    assert "yuvalkirstain/pickapic_v1 cannot be read" in done.stderr
    assert "give --dataset the name of a copy" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_started_again(tmp_path, how):
    pictures = pick_a_pic(tmp_path / "parquet", rows_a_file=3000, number=2)
    uids = [f"u{i}" for i in range(0, 12000, 40)]
    command = [
        sys.executable,
        str(ROOT / "misc" / "download_richhf_image.py"),
        "--foil_path",
        tfrecord(tmp_path / "t.tfrecord", uids),
        "--save_dir",
        str(tmp_path / "out"),
        "--dataset",
        str(tmp_path / "parquet"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "out" / "stream_state.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    os.kill(process.pid, how)
    process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    assert 0 < len(there) < len(uids)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{len(uids)} of {len(uids)} files" in done.stdout
    assert all(path.stat().st_mtime_ns == when for path, when in there.items())  # nothing written twice
    assert all((tmp_path / "out" / f"{uid}.png").read_bytes() == pictures[uid][0] for uid in uids)
    assert set(read_manifest(tmp_path / "out")) == {f"{uid}.png" for uid in uids}
    assert not list((tmp_path / "out").glob("*.part")) and not (tmp_path / "out" / "stream_state.json").exists()


def test_a_picture_without_its_line_in_the_manifest_gets_one(tmp_path):
    """A call may end between the two."""
    store = PictureStore(tmp_path, "a data set")
    assert store.put("a.jpg", jpeg(0, 16)) and store.put("b.jpg", jpeg(1, 16))
    store.close()
    whole = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(whole.splitlines(keepends=True)[0])
    store = PictureStore(tmp_path, "a data set")
    assert store.has("a.jpg") and store.has("b.jpg") and not store.has("c.jpg")
    store.close()
    assert (tmp_path / MANIFEST).read_text() == whole


def test_a_prompt_of_many_lines_is_found_once(tmp_path, capsys):
    """U+2028 and U+0085 end a line for str.splitlines, not in JSON."""
    datasets = pytest.importorskip("datasets")
    rows = [
        {
            "caption": f"a cat\u2028on\x85 a mat {i}",
            "image_0_uid": f"u{i}",
            "jpg_0": jpeg(i, 16),
            "image_1_uid": f"v{i}",
            "jpg_1": jpeg(i + 9, 16),
        }
        for i in range(3)
    ]
    rows[1]["caption"] = None
    datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "a.parquet"))
    arguments = [
        "--foil_path",
        tfrecord(tmp_path / "t.tfrecord", ["u0", "u1", "u2"]),
        "--save_dir",
        str(tmp_path / "out"),
        "--dataset",
        str(tmp_path / "a.parquet"),
    ]
    for said in ("2 of 3 files in {}: 0 were there, 2 fetched", "2 of 3 files in {}: 2 were there, 0 fetched"):
        with pytest.raises(SystemExit) as stopped:
            download_richhf_image.main(arguments)
        assert stopped.value.code == 1  # u1 has no prompt
        assert said.format(tmp_path / "out") in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))[0]["prompt"] == "a cat\u2028on\x85 a mat 0"


DAMAGED = [
    "",
    "[]",
    "null",
    "[" * 100_000,
    '{"uid": 5, "prompt": null}',
    '{"uid": ["u3"]}',
    '{"uid": "u3"}',
    '{"uid": "u3", "pro',
    '{"source": {"dataset": DATASET, "revision": null}}',
    '{"source": {"dataset": DATASET, "revision": null}, "missing": [["u3"], 5, null], "split": "train", "state": {}}',
    '{"source": {"dataset": DATASET, "revision": null}, "missing": "u3", "split": "train", "state": 5}',
    '{"source": {"dataset": DATASET, "revision": null}, "missing": ["u3"], "split": "nowhere", "state": {}}',
    *(
        '{"source": {"dataset": DATASET, "revision": null}, "missing": ["u3"], "split": "train", "state": '
        + state
        + "}"
        for state in ('{"a": 1}', '{"examples_iterable": 5}', '{"examples_iterable": {"shard_idx": "x"}, "epoch": 0}')
    ),
    '{"dataset": DATASET, "revision": ["main"]}',
]


@pytest.mark.parametrize("name", ["prompts.jsonl", "stream_state.json", "source.json"])
def test_what_an_earlier_call_wrote_may_be_damaged(tmp_path, name):
    pick_a_pic(tmp_path / "parquet", number=1)
    arguments = ["--foil_path", tfrecord(tmp_path / "t.tfrecord", ["u3"]), "--dataset", str(tmp_path / "parquet")]
    for number, text in enumerate(DAMAGED):
        folder = tmp_path / f"out{number}"
        folder.mkdir()
        (folder / name).write_text(text.replace("DATASET", json.dumps(str(tmp_path / "parquet"))))
        download_richhf_image.main([*arguments, "--save_dir", str(folder)])
        assert names(folder) == {"u3.png", MANIFEST, "prompts.jsonl", "source.json"}, text
        assert len(json.loads((tmp_path / f"out{number}.json").read_text())) == 1


@pytest.mark.parametrize(
    "place",
    [
        "prompts.jsonl",
        "stream_state.json.part",
        "source.json",
        "source.json.part",
        "u3.png",
        "u3.png.part",
        MANIFEST,
        MISSING,
    ],
)
def test_a_link_in_the_folder_is_not_written_through(tmp_path, place):
    pick_a_pic(tmp_path / "parquet", number=1)
    folder, precious = tmp_path / "out", tmp_path / "precious"
    folder.mkdir()
    precious.write_text("as it was")
    (folder / place).symlink_to(precious)
    with pytest.raises(SystemExit):
        download_richhf_image.main(
            [
                "--foil_path",
                tfrecord(tmp_path / "t.tfrecord", ["u3", "nowhere"]),
                "--dataset",
                str(tmp_path / "parquet"),
                "--save_dir",
                str(folder),
            ]
        )
    assert precious.read_text() == "as it was"
    assert {"u3.png", MANIFEST, MISSING, "prompts.jsonl", "source.json"} <= names(folder)
    assert not any(path.is_symlink() for path in folder.iterdir() if path.name != place or not place.endswith(".part"))


def test_a_file_name_of_no_encoding_costs_itself(tmp_path, capsys):
    pick_a_pic(tmp_path / "parquet", number=1)
    write_examples(
        tmp_path / "t.tfrecord",
        [
            {"filename": [name], "prompt_misalignment_label": [b"1 1 0 1 1 1"]}
            for name in (b"u3.png", b"u4\xff\xfe.png", b"u5.png", b"x" * 250, b"prompts.jsonl")
        ],
    )
    with pytest.raises(SystemExit) as stopped:
        download_richhf_image.main(
            [
                "--foil_path",
                str(tmp_path / "t.tfrecord"),
                "--dataset",
                str(tmp_path / "parquet"),
                "--save_dir",
                str(tmp_path / "out"),
            ]
        )
    assert stopped.value.code == 1
    assert "2 of 5 files" in capsys.readouterr().out
    assert names(tmp_path / "out") >= {"u3.png", "u5.png"}


def test_a_full_disk_is_one_line_and_nothing_half_written(tmp_path, capsys, monkeypatch):
    from fetching import folder

    pick_a_pic(tmp_path / "parquet", number=1)
    arguments = [
        "--foil_path",
        tfrecord(tmp_path / "t.tfrecord", ["u3", "u4"]),
        "--dataset",
        str(tmp_path / "parquet"),
        "--save_dir",
        str(tmp_path / "out"),
    ]
    inner = folder.create
    monkeypatch.setattr(
        folder, "create", lambda path: open("/dev/full", "wb") if path.name.startswith("u4") else inner(path)
    )
    with pytest.raises(SystemExit) as stopped:
        download_richhf_image.main(arguments)
    assert stopped.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(error) == 1 and "No space left on device, at 'u4.png'" in error[0]
    assert not list((tmp_path / "out").glob("*.part"))
    assert set(read_manifest(tmp_path / "out")) == {"u3.png"}
    monkeypatch.setattr(folder, "create", inner)
    download_richhf_image.main(arguments)
    assert "2 of 2 files" in capsys.readouterr().out


def test_the_folder_may_be_the_one_where_one_is(tmp_path, monkeypatch, capsys):
    pick_a_pic(tmp_path / "parquet", number=1)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    download_richhf_image.main(
        [
            "--foil_path",
            tfrecord(tmp_path / "t.tfrecord", ["u3"]),
            "--dataset",
            str(tmp_path / "parquet"),
            "--save_dir",
            ".",
        ]
    )
    assert (tmp_path / "here.json").exists()
