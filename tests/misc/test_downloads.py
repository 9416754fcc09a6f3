"""The download scripts, whole: against a local server, and against small data sets written with the real libraries."""

import csv
import io
import json
import os
import subprocess
import sys
import zipfile

import download_coco_image
import download_nocaps_image
import download_seetrue_image
import pytest
from badserver import jpeg, serving
from fetching.folder import MANIFEST, MISSING
from fetching.manifest import read_manifest
from PIL import Image
from places import ROOT

from clip4dm.benchmarks import read_benchmark

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
    meta = {
        "images": [
            {"file_name": "a.jpg", "coco_url": f"{server.url}/ok/a"},
            {"file_name": "b.jpg", "coco_url": "", "url": f"{server.url}/ok/b"},
            {"file_name": "c.jpg", "coco_url": ""},
            {"file_name": "d.jpg", "coco_url": "http://unasked/"},
        ]
    }
    foil = [{"image_path": name} for name in ("a.jpg", "a.jpg", "b.jpg", "c.jpg")]
    arguments = [
        "--foil_path",
        write(tmp_path / "foil.json", foil),
        "--meta_path",
        write(tmp_path / "meta.json", meta),
        "--save_dir",
        str(tmp_path / "pictures"),
        "--base_url",
        f"{server.url}/ok/",
    ]
    download_nocaps_image.main(arguments)
    assert names(tmp_path / "pictures") == {"a.jpg", "b.jpg", "c.jpg", MANIFEST}
    assert (tmp_path / "pictures" / "c.jpg").read_bytes() == server.body("c.jpg")
    assert "3 of 3 files" in capsys.readouterr().out
    download_nocaps_image.main([*arguments, "--verify"])
    assert "3 of 3 files" in capsys.readouterr().out


@pytest.mark.parametrize(
    "meta, foil, said",
    [
        ({"images": []}, [{"image_path": "a.jpg"}], "not among the 0 images"),
        ({"annotations": []}, [{"image_path": "a.jpg"}], "images"),
        ({"images": [{"file_name": "a.jpg"}]}, {"a": 1}, "not nocaps-FOIL"),
        ({"images": [{"file_name": "a.jpg"}]}, [{"caption": "x"}], "image_path"),
    ],
)
def test_nocaps_names_what_is_wrong_with_a_file(tmp_path, capsys, meta, foil, said):
    with pytest.raises(SystemExit) as stopped:
        download_nocaps_image.main(
            [
                "--foil_path",
                write(tmp_path / "foil.json", foil),
                "--meta_path",
                write(tmp_path / "meta.json", meta),
                "--save_dir",
                str(tmp_path / "pictures"),
            ]
        )
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


# COCO


def hat_rows():
    return [
        {
            "sample_id": str(i),
            "caption": "a cat",
            "grounding": [["a", False], ["cat", i % 2 == 0]],
            "image_path": name,
            "references": [],
        }
        for i, name in enumerate(COCO)
    ]


def test_coco_fetches_the_pictures_that_a_file_names(server, tmp_path, capsys):
    arguments = [
        "--data_path",
        write(tmp_path / "hat.json", hat_rows()),
        "--save_dir",
        str(tmp_path / "val2014"),
        "--base_url",
        f"{server.url}/ok/",
    ]
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
    server.bodies["val2014.zip"] = coco_zip(
        [("../../evil.jpg", jpeg(9)), ("/etc/evil2.jpg", jpeg(9)), ("readme.txt", b"x")]
    )
    folder = tmp_path / "in" / "val2014"
    download_coco_image.main(["--zip", "--zip_url", f"{server.url}/ok/val2014.zip", "--save_dir", str(folder)])
    assert names(tmp_path) == {
        f"in/val2014/{name}" for name in (*COCO, "evil.jpg", "evil2.jpg")
    }  # names without folders
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
    assert {name for name in names(tmp_path / "b") if "/" not in name} == {*COCO[1:], MISSING}


# SeeTRUE-Feedback


def seetrue_rows(number=5):
    return [
        {
            "image_caption": f"a red car number {i}",
            "image_name": f"{i}.png",
            "dataset_source": "drawbench",
            "id_in_source_dataset": str(i),
            "human_feedback": ["it is blue"],
            "feedback": "blue, not red",
            "caption_misalignment": "a red car",
            "visual_misalignment": "blue car",
        }
        for i in range(number)
    ]


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
        f"seetrue/{name}" for name in ("0.png", "1.png", "2.png", "4.png", MANIFEST, MISSING, "source.json")
    }
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
        "0.png",
        "1.png",
        "3.png",
        "4.png",
    ]


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
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}", "HF_HUB_OFFLINE": "0"},
        )
    finally:
        hub.shutdown()
        hub.server_close()
    assert done.returncode == 2
    assert "the hub refused mismatch-quest/SeeTRUE-Feedback" in done.stderr
    assert "HF_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_recorded_revision_is_kept_to(tmp_path):
    from fetching.hub_rows import pinned_revision, write_source

    write_source(tmp_path, dataset="org/name", revision="a" * 40)
    assert pinned_revision("org/name", None, tmp_path) == "a" * 40  # without asking the hub, which is not there


def test_seetrue_rows_of_any_types_are_written_as_json(tmp_path):
    """NaN is no JSON, and a name that is one of the scripts' own files is no picture's."""
    import datetime

    datasets = pytest.importorskip("datasets")
    rows = [
        row
        | {
            "image": {"bytes": png(i), "path": None},
            "score": float("nan"),
            "when": datetime.datetime(2024, 5, 6),
            "raw": b"\xff",
            "nested": {"scores": [1.5, float("inf")], "raw": b"\0"},
        }
        for i, row in enumerate(seetrue_rows(3))
    ]
    rows[1]["image_name"] = "manifest.jsonl"
    rows[2]["image_name"] = "y" * 250
    datasets.Dataset.from_list(rows).cast_column("image", datasets.Image()).to_parquet(str(tmp_path / "a.parquet"))
    with pytest.raises(SystemExit) as stopped:
        download_seetrue_image.main(["--dataset", str(tmp_path / "a.parquet"), "--save_dir", str(tmp_path / "out")])
    assert stopped.value.code == 1

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    (row,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert row["image"] == "0.png"
    assert (row["score"], row["nested"]["scores"], row["when"]) == (None, [1.5, None], "2024-05-06 00:00:00")
    assert set(read_manifest(tmp_path / "out")) == {"0.png"}


@pytest.mark.parametrize("content", ["{}", "null", "[5]", '[{"image": 5}]', '[{"name": "a"}]', "[" * 100_000])
def test_seetrue_verifies_nothing_but_its_own_list(tmp_path, capsys, content):
    (tmp_path / "out.json").write_text(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit) as stopped:
        download_seetrue_image.main(["--save_dir", str(tmp_path / "out"), "--verify"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_names_are_quoted_in_the_urls_made_of_them(server, tmp_path):
    odd = ["a b.jpg", "a#b.jpg", "a%20b.jpg", "é.jpg"]
    download_nocaps_image.main(
        [
            "--foil_path",
            write(tmp_path / "foil.json", [{"image_path": name} for name in odd]),
            "--meta_path",
            write(tmp_path / "meta.json", {"images": [{"file_name": name} for name in odd]}),
            "--save_dir",
            str(tmp_path / "pictures"),
            "--base_url",
            f"{server.url}/ok/",
        ]
    )
    assert set(server.counts) == {"/ok/a%20b.jpg", "/ok/a%23b.jpg", "/ok/a%2520b.jpg", "/ok/%C3%A9.jpg"}
