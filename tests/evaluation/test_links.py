"""Symbolic links among the pictures that main.py reads are the user's; names in an annotation file are not."""

import pytest
from making import make_foil, make_pictures

from clip4dm.benchmarks import BenchmarkError, read_benchmark
from clip4dm.benchmarks.fields import inside
from clip4dm.evaluation.run import Options, evaluate


def test_a_run_follows_the_links_in_its_picture_folder(tmp_path, tiny_folder):
    """A linked picture, a linked folder and a linked --img_dir give the figures of the pictures themselves."""
    names = make_pictures(tmp_path / "elsewhere", 4)
    (tmp_path / "linked" / "deep").mkdir(parents=True)
    (tmp_path / "linked" / names[0]).symlink_to(tmp_path / "elsewhere" / names[0])
    (tmp_path / "linked" / "sub").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "images").symlink_to(tmp_path / "linked")
    plain = make_foil(tmp_path / "plain.json", names)
    through = make_foil(tmp_path / "through.json", [names[0], *(f"sub/{name}" for name in names[1:])])
    figures = []
    for data_path, img_dir in ((plain, tmp_path / "elsewhere"), (through, tmp_path / "images")):
        options = Options(
            data_path=str(data_path),
            img_dir=str(img_dir),
            backbone=None,
            pretrained=str(tiny_folder),
            device="cpu",
            num_workers=0,
            output=str(tmp_path / data_path.stem),
        )
        evaluate(options, say=lambda line: None)
        (samples,) = (tmp_path / data_path.stem).rglob("samples.jsonl")
        figures.append([line.split('"cosine"')[1] for line in samples.read_text().splitlines() if '"cosine"' in line])
    assert len(figures[0]) == 8
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    "image", ["../a.jpg", "sub/../../a.jpg", "/etc/passwd", "C:\\a.jpg", "a\\b.jpg", "", "a\0.jpg"]
)
def test_an_annotation_file_leads_nowhere_else(tmp_path, image):
    with pytest.raises(BenchmarkError, match="does not stay inside the image folder"):
        inside(image, "row 0")
    with pytest.raises(BenchmarkError):
        read_benchmark(make_foil(tmp_path / "foil.json", [image]))
    assert inside("sub/a.jpg", "row 0") == "sub/a.jpg"
