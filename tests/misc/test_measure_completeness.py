"""measure_completeness.py on drawn pairs: against the sums of attributions by themselves."""

from __future__ import annotations

import make_shapes_benchmark
import measure_completeness
import pytest

from clip4dm import CLIP4DM
from clip4dm.benchmarks import read_benchmark
from clip4dm.captions.words import EncodedCaption


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("shapes")
    make_shapes_benchmark.main([str(found), "--pairs", "4"])
    return found


def test_the_more_steps_the_less_is_missed_of_what_the_words_change(folder, capsys):
    data = ["--data_path", str(folder / "shapes_foil.json"), "--img_dir", str(folder / "images")]
    measure_completeness.main([*data, "--backbone", "demo", "--device", "cpu", "--steps", "2", "64"])
    header, _, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()
    ]
    assert tuple(header) == measure_completeness.COLUMNS and [row[0] for row in rows] == ["2", "64"]
    few, many = ([float(cell) for cell in row[1:5]] for row in rows)
    assert few[0] > 20 * many[0] and few[1] > 20 * many[1] and all(row[0] <= row[1] for row in (few, many))
    changes = changed(folder)
    for row in (few, many):
        assert row[2] == pytest.approx(sum(map(abs, changes)) / len(changes), rel=0.06)  # two digits are printed


def changed(folder) -> list[float]:
    """s(caption) less the cosine of the caption whose words are all read as its last token."""
    detector = CLIP4DM.from_pretrained("demo", device="cpu")
    _, reading = read_benchmark(folder / "shapes_foil.json", img_dir=folder / "images")
    images = detector.encode_images([folder / "images" / sample.image for sample in reading.samples])
    tower, found = detector.model.tower, []
    embedding = tower.text.token_embedding
    for sample, image in zip(reading.samples, images, strict=True):
        (caption,) = detector.encode_captions([sample.caption])

        def put(module, arguments, entered, caption: EncodedCaption = caption):
            entered = entered.clone()
            entered[0, [i for i, unit in enumerate(caption.unit_of) if unit >= 0]] = module.weight[caption.ids[-1]]
            return entered

        cosine = tower.encode([caption])[0] @ image
        hook = embedding.register_forward_hook(put)
        try:
            found.append((cosine - tower.encode([caption])[0] @ image).item())
        finally:
            hook.remove()
    return found
