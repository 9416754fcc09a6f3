"""The download scripts, whole: against a local server, and against small data sets written with the real libraries."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from badserver import jpeg, serving
from PIL import Image

from clip4dm.benchmarks import read_benchmark
from clip4dm.benchmarks.tfrecord import write_examples
from misc import download_coco_image, download_nocaps_image, download_richhf_image, download_seetrue_image
from misc.fetch_folder import MANIFEST, MISSING, read_manifest

ROOT = Path(__file__).resolve().parent.parent
COCO = [f"COCO_val2014_{i:012d}.jpg" for i in range(1, 6)]


@pytest.fixture
def server():
    with serving() as running:
        yield running


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# nocaps

def test_nocaps_takes_the_urls_of_the_meta_file(server, tmp_path, capsys):
    meta = {"images": [{"file_name": "a.jpg", "coco_url": f"{server.url}/ok/a"},
                       {"file_name": "b.jpg", "coco_url": "", "url": f"{server.url}/ok/b"},
                       {"file_name": "c.jpg", "coco_url": ""}, {"file_name": "d.jpg", "coco_url": "http://unasked/"}]}
    foil = [{"image_path": name} for name in ("a.jpg", "a.jpg", "b.jpg", "c.jpg")]
    arguments = ["--foil_path", write(tmp_path / "foil.json", foil), "--meta_path", write(tmp_path / "meta.json", meta),
                 "--save_dir", str(tmp_path / "pictures"), "--base_url", f"{server.url}/ok/"]
    download_nocaps_image.main(arguments)
    assert names(tmp_path / "pictures") == {"a.jpg", "b.jpg", "c.jpg", MANIFEST}
    assert (tmp_path / "pictures" / "c.jpg").read_bytes() == server.body("c.jpg")
    assert "3 of 3 files" in capsys.readouterr().out
    download_nocaps_image.main([*arguments, "--verify"])
    assert "3 of 3 files" in capsys.readouterr().out


@pytest.mark.parametrize("meta, foil, said", [
    ({"images": []}, [{"image_path": "a.jpg"}], "not among the 0 images"),
    ({"annotations": []}, [{"image_path": "a.jpg"}], "images"),
    ({"images": [{"file_name": "a.jpg"}]}, {"a": 1}, "not nocaps-FOIL"),
    ({"images": [{"file_name": "a.jpg"}]}, [{"caption": "x"}], "image_path"),
])
def test_nocaps_names_what_is_wrong_with_a_file(tmp_path, capsys, meta, foil, said):
    with pytest.raises(SystemExit) as stopped:
        download_nocaps_image.main(["--foil_path", write(tmp_path / "foil.json", foil), "--meta_path",
                                    write(tmp_path / "meta.json", meta), "--save_dir", str(tmp_path / "pictures")])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


# COCO

def hat_rows():
    return [{"sample_id": str(i), "caption": "a cat", "grounding": [["a", False], ["cat", i % 2 == 0]], "image_path": name,
             "references": []} for i, name in enumerate(COCO)]


def test_coco_fetches_the_pictures_that_a_file_names(server, tmp_path, capsys):
    arguments = ["--data_path", write(tmp_path / "hat.json", hat_rows()), "--save_dir", str(tmp_path / "val2014"),
                 "--base_url", f"{server.url}/ok/"]
    download_coco_image.main(arguments)
    assert names(tmp_path / "val2014") == {*COCO, MANIFEST}
    download_coco_image.main([*arguments, "--verify"])
    (tmp_path / "val2014" / COCO[0]).write_bytes(b"")
    with pytest.raises(SystemExit):
        download_coco_image.main([*arguments, "--verify"])
    assert "4 of 5 files" in capsys.readouterr().out


def coco_zip(extra=()):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("val2014/", "")
        for i, name in enumerate(COCO):
            archive.writestr(f"val2014/{name}", jpeg(i))
        for name, data in extra:
            archive.writestr(name, data)
    return file.getvalue()


def test_coco_zip_is_unpacked_inside_the_folder_and_removed(server, tmp_path, capsys):
    server.bodies["val2014.zip"] = coco_zip([("../../evil.jpg", jpeg(9)), ("/etc/evil2.jpg", jpeg(9)), ("readme.txt", b"x")])
    folder = tmp_path / "in" / "val2014"
    download_coco_image.main(["--zip", "--zip_url", f"{server.url}/ok/val2014.zip", "--save_dir", str(folder)])
    assert names(tmp_path) == {f"in/val2014/{name}" for name in (*COCO, "evil.jpg", "evil2.jpg")}  # names without folders
    assert all((folder / name).read_bytes() == jpeg(i) for i, name in enumerate(COCO))
    assert "7 pictures unpacked" in capsys.readouterr().out


def test_coco_zip_that_is_cut_goes_on_and_one_that_is_damaged_is_told(server, tmp_path, capsys):
    server.bodies["val2014.zip"] = coco_zip()
    download_coco_image.main(["--zip", "--zip_url", f"{server.url}/cut/val2014.zip", "--save_dir", str(tmp_path / "a")])
    assert names(tmp_path / "a") == set(COCO)
    damaged = bytearray(coco_zip())
    damaged[200:210] = b"0123456789"  # inside the first picture
    server.bodies["bad.zip"] = bytes(damaged)
    with pytest.raises(SystemExit):
        download_coco_image.main(["--zip", "--zip_url", f"{server.url}/ok/bad.zip", "--save_dir", str(tmp_path / "b")])
    assert "Bad CRC-32" in capsys.readouterr().err
    assert {name for name in names(tmp_path / "b") if "/" not in name} == set(COCO[1:])


# Rich-HF

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
    write_examples(path, [{
        "filename": [f"{uid}.png".encode()], "prompt_misalignment_label": [labels.encode()],
        "misalignment_score": [0.25], "artifact_score": [0.5], "aesthetics_score": [0.75], "overall_score": [1.0],
    } for uid in uids])
    return str(path)


def test_richhf_whole(tmp_path, capsys):
    pictures = pick_a_pic(tmp_path / "parquet")
    uids = ["u3", "u4", "u5", "u130"]
    arguments = ["--foil_path", tfrecord(tmp_path / "test.tfrecord", uids), "--save_dir", str(tmp_path / "richhf" / "test"),
                 "--dataset", str(tmp_path / "parquet")]
    download_richhf_image.main(arguments)
    folder = tmp_path / "richhf" / "test"
    assert "4 fetched" in capsys.readouterr().out
    for uid in uids:
        assert (folder / f"{uid}.png").read_bytes() == pictures[uid][0]  # as stored, not encoded again
    rows = json.loads((tmp_path / "richhf" / "test.json").read_text())
    assert rows[0] == {"filename": "u3.png", "image": "u3.png", "prompt": "a picture, number 1: very nice!",
                       "tokens": ["a", "picture", "number", "1", "very", "nice"], "labels": [1, 1, 0, 1, 1, 1],
                       "misalignment_score": 0.25, "artifact_score": 0.5, "aesthetics_score": 0.75, "overall_score": 1.0}
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


def test_richhf_reads_no_more_than_it_must(tmp_path, monkeypatch):
    pick_a_pic(tmp_path / "parquet")
    read = []
    from misc import hub_rows
    inner = hub_rows.rows_of
    monkeypatch.setattr(hub_rows, "rows_of", lambda *args: (read.append(row) or row for row in inner(*args)))
    download_richhf_image.main(["--foil_path", tfrecord(tmp_path / "t.tfrecord", ["u3", "u9"]), "--save_dir",
                                str(tmp_path / "out"), "--dataset", str(tmp_path / "parquet" / "*.parquet")])
    assert len(read) == 5  # u9 is in the fifth row of 120
    assert set(read[0]) == set(download_richhf_image.COLUMNS)


def test_richhf_what_is_not_in_the_data_set_is_told(tmp_path, capsys):
    pick_a_pic(tmp_path / "parquet", number=1)
    arguments = ["--foil_path", tfrecord(tmp_path / "t.tfrecord", ["u3", "nowhere", "../../evil"]), "--save_dir",
                 str(tmp_path / "out"), "--dataset", str(tmp_path / "parquet")]
    with pytest.raises(SystemExit) as stopped:
        download_richhf_image.main(arguments)
    assert stopped.value.code == 1
    captured = capsys.readouterr()
    assert "1 of 3 files" in captured.out
    listed = dict(line.split("\t") for line in (tmp_path / "out" / MISSING).read_text().splitlines())
    assert listed == {"nowhere.png": "not in the data set",
                      "../../evil.png": "'../../evil.png' is no name of a file inside the folder"}
    assert [row["filename"] for row in json.loads((tmp_path / "out.json").read_text())] == ["u3.png"]


@pytest.mark.parametrize("dataset, said", [
    ("nowhere/at/all", "there is no file or folder"), ("./none.parquet", "there is no file or folder"),
    ("no*.parquet", "no file fits"), ("empty", "no parquet files"), ("broken.parquet", "cannot be read"),
    ("other.parquet", "has no column image_0_uid"),
])
def test_richhf_a_data_set_that_cannot_be_read_is_one_line(tmp_path, capsys, monkeypatch, dataset, said):
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but not really")
    datasets.Dataset.from_list([{"caption": "a", "jpg_0": b"", "jpg_1": b""}]).to_parquet("other.parquet")
    with pytest.raises(SystemExit) as stopped:
        download_richhf_image.main(["--foil_path", tfrecord(tmp_path / "t.tfrecord", ["u3"]), "--save_dir", "out",
                                    "--dataset", dataset])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert len([line for line in error.splitlines() if "error:" in line]) == 1


def test_richhf_without_a_hub_says_what_to_do(tmp_path):
    """The hub's name does not resolve to anything that answers: one line, and --dataset is named."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "misc" / "download_richhf_image.py"), "--foil_path",
         tfrecord(tmp_path / "t.tfrecord", ["u3"]), "--save_dir", str(tmp_path / "out")],
        capture_output=True, text=True, env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"})
    assert done.returncode == 2
    assert "yuvalkirstain/pickapic_v1 cannot be read" in done.stderr
    assert "give --dataset the name of a copy" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_richhf_interrupted_and_started_again(tmp_path, how):
    pictures = pick_a_pic(tmp_path / "parquet", rows_a_file=3000, number=2)
    uids = [f"u{i}" for i in range(0, 12000, 40)]
    command = [sys.executable, str(ROOT / "misc" / "download_richhf_image.py"), "--foil_path",
               tfrecord(tmp_path / "t.tfrecord", uids), "--save_dir", str(tmp_path / "out"), "--dataset",
               str(tmp_path / "parquet")]
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


# SeeTRUE-Feedback

def seetrue_rows(number=5):
    return [{"image_caption": f"a red car number {i}", "image_name": f"{i}.png", "dataset_source": "drawbench",
             "id_in_source_dataset": str(i), "human_feedback": ["it is blue"], "feedback": "blue, not red",
             "caption_misalignment": "a red car", "visual_misalignment": "blue car"} for i in range(number)]


def png(i):
    file = io.BytesIO()
    Image.new("RGB", (20 + i, 10), (i, 2 * i, 200)).save(file, "PNG")
    return file.getvalue()


def test_seetrue_whole_from_parquet(tmp_path, capsys):
    datasets = pytest.importorskip("datasets")
    rows = [row | {"image": {"bytes": png(i), "path": row["image_name"]}} for i, row in enumerate(seetrue_rows())]
    rows[3]["image_name"] = "../evil.png"
    dataset = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    dataset.to_parquet(str(tmp_path / "test.parquet"))
    arguments = ["--dataset", str(tmp_path / "test.parquet"), "--save_dir", str(tmp_path / "data" / "seetrue")]
    with pytest.raises(SystemExit) as stopped:
        download_seetrue_image.main(arguments)
    assert stopped.value.code == 1  # for the name that leads out
    folder = tmp_path / "data" / "seetrue"
    assert names(tmp_path / "data") == {"seetrue.json"} | {
        f"seetrue/{name}" for name in ("0.png", "1.png", "2.png", "4.png", MANIFEST, MISSING, "source.json")}
    assert all((folder / f"{i}.png").read_bytes() == png(i) for i in (0, 1, 2, 4))
    benchmark, reading = read_benchmark(tmp_path / "data" / "seetrue.json")
    assert benchmark.name == "seetrue"
    assert [sample.id for sample in reading.samples] == ["0", "1", "2", "4"]
    assert reading.samples[3].caption[slice(*reading.samples[3].spans[0])] == "a red car"
    capsys.readouterr()
    (folder / "1.png").unlink()
    with pytest.raises(SystemExit):
        download_seetrue_image.main([*arguments, "--verify"])
    assert "3 of 4 files" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        download_seetrue_image.main(arguments)
    assert "4 of 5 files in" in capsys.readouterr().out


def test_seetrue_whole_from_the_csv(server, tmp_path, capsys):
    rows = [row | {"image_url": f"{server.url}/ok/{row['image_name']}"} for row in seetrue_rows()]
    rows[2]["image_url"] = f"{server.url}/missing/x"
    with open(tmp_path / "s.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(SystemExit):
        download_seetrue_image.main(["--csv_path", str(tmp_path / "s.csv"), "--save_dir", str(tmp_path / "seetrue")])
    assert "4 of 5 files" in capsys.readouterr().out
    assert [sample.image for sample in read_benchmark(tmp_path / "seetrue.json")[1].samples] == [
        "0.png", "1.png", "3.png", "4.png"]


def hub_refusing(status, code):
    """What the hub answers to those who may not: a real server with the hub's error headers."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", "Access to this dataset is restricted.")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    return HTTPServer(("127.0.0.1", 0), Hub)


@pytest.mark.parametrize("status, code", [(403, "GatedRepo"), (401, "GatedRepo"), (401, "RepoNotFound")])
def test_seetrue_refused_by_the_hub_says_how_to_get_in(tmp_path, status, code):
    import threading
    hub = hub_refusing(status, code)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        done = subprocess.run(
            [sys.executable, str(ROOT / "misc" / "download_seetrue_image.py"), "--save_dir", str(tmp_path / "out")],
            capture_output=True, text=True, timeout=120,
            env={**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}", "HF_HUB_OFFLINE": "0"})
    finally:
        hub.shutdown()
        hub.server_close()
    assert done.returncode == 2
    assert "the hub refused mismatch-quest/SeeTRUE-Feedback" in done.stderr
    assert "HF_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_recorded_revision_is_kept_to(tmp_path):
    from misc.hub_rows import pinned_revision, write_source
    write_source(tmp_path, dataset="org/name", revision="a" * 40)
    assert pinned_revision("org/name", None, tmp_path) == "a" * 40  # without asking the hub, which is not there
