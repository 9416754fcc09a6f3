"""The tables, their baselines and studies: on the demo model in small, and against the packages behind them."""

from __future__ import annotations

import base64
import csv
import json
import shutil
import subprocess
import sys

import epsilon_study
import numpy as np
import pytest
import reproduce_tables
from making import make_coco_captions, make_foil, make_pictures
from PIL import Image
from places import ROOT
from reproducing import study
from reproducing.paper_tables import TABLES
from sklearn.metrics import average_precision_score
from speed.random_model import make_random_model

from clip4dm.benchmarks import get_benchmark
from clip4dm.evaluation.metrics import caption_metrics as caption_metrics_module
from clip4dm.evaluation.metrics import parts_of_speech
from clip4dm.evaluation.metrics.calibration import epsilon_grid, figures_at, for_calibration, read_words, suggest
from clip4dm.evaluation.metrics.caption_metrics import CaptionMetricsUnavailable, caption_metrics, check_java
from clip4dm.evaluation.records import Settings, from_line
from clip4dm.evaluation.run import Options, evaluate, rescore

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no Java: pycocoevalcap's tokenizer needs it")


DEMO = ["--demo", "--pairs", "40", "--device", "cpu"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Every table on the demo model and 40 drawn pairs."""
    folder = tmp_path_factory.mktemp("demo")
    reproduce_tables.main([*DEMO, "--as_published", *places(folder), "--tagger", str(make_tagger(folder / "tagger"))])
    return folder


def places(folder):
    return ["--data_dir", str(folder / "data"), "--output", str(folder / "out")]


def make_tagger(folder):
    """A spaCy pipeline that knows a few words' parts of speech, saved to disk."""
    import spacy

    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("attribute_ruler")
    known = {
        "NOUN": "circle square triangle star heart moon cross fish ball box bus dog cat horse zebras plate".split(),
        "ADJ": "red green blue yellow purple orange white black big small large tiny hot old".split(),
        "NUM": "one two three four five".split(),
        "DET": "a an the".split(),
        "ADP": "on in of above below".split(),
    }
    for part, words in known.items():
        ruler.add(patterns=[[{"LOWER": {"IN": words}}]], attrs={"POS": part})
    nlp.to_disk(folder)
    return folder


def table(folder, name):
    with open(folder / "out" / "tables" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def the_run(folder):
    (path,) = (folder / "out").glob("foil/*/*/samples.jsonl")
    return path.parent


def test_every_table_without_outside_data_comes_out_whole(demo):
    for name in ("foil_nocaps", "gradient_sign", "layers", "components", "part_of_speech", "backbones"):
        computed = [row for row in table(demo, name) if row["ours"]]
        assert computed and {row["data"] for row in computed} == {"shapes"}, name
        assert all(row["model"] == "demo" and not row["paper"] for row in computed)
        assert all(float(row["low"]) <= float(row["ours"]) <= float(row["high"]) for row in computed if row["low"])
        assert "| demo, shapes |" in (demo / "out" / "tables" / f"{name}.md").read_text()
    for name in ("hat", "seetrue", "richhf_correlation", "richhf_tokens"):
        assert all(not row["ours"] and "data/README.md" in row["remark"] for row in table(demo, name))
        assert "Nothing could be computed" in (demo / "out" / "tables" / f"{name}.md").read_text()
    assert {row["row"] for row in table(demo, "gradient_sign")} == {line.row for line in TABLES["gradient_sign"].lines}
    with Image.open(demo / "out" / "tables" / "layers.png") as picture:
        assert min(picture.size) > 300


def test_the_tables_say_what_the_run_says(demo):
    result = json.loads((the_run(demo) / "result.json").read_text())
    rows = {(row["row"], row["figure"]): row for row in table(demo, "foil_nocaps")}
    assert float(rows["CLIP4DM", "LA"]["ours"]) == result["LA"]["value"]
    assert float(rows["random word", "LA_floor/chance"]["ours"]) == result["LA_floor"]["chance"]["value"]
    assert float(rows["CLIPScore", "AP/CLIPScore"]["ours"]) == result["AP"]["CLIPScore"]["value"]
    one_layer = rescore(the_run(demo), start_layer_text=-1, say=lambda _: None).result
    layers = {(row["row"], row["figure"]): row for row in table(demo, "layers")}
    assert float(layers["last 1", "LA"]["ours"]) == one_layer["LA"]["value"]
    assert "has 2 layers" in layers["last 4", "LA"]["remark"]
    signs = {(row["row"], row["figure"]): row["ours"] for row in table(demo, "gradient_sign")}
    assert float(signs["both signs (the method)", "LA"]) == pytest.approx(result["LA"]["value"], abs=1e-9)


def test_a_finished_run_is_used_again_and_a_dry_run_says_so(demo, monkeypatch, capsys):
    def forbidden(*_, **__):
        raise AssertionError("ran again")

    monkeypatch.setattr(study, "evaluate", forbidden)
    monkeypatch.setattr("reproducing.ablation.figures_of_variants", forbidden)
    before = (demo / "out" / "tables" / "foil_nocaps.csv").read_bytes()
    command = [*DEMO, *places(demo)]
    reproduce_tables.main([*command, "--as_published", "--table", "foil_nocaps", "gradient_sign"])
    assert (demo / "out" / "tables" / "foil_nocaps.csv").read_bytes() == before
    capsys.readouterr()
    reproduce_tables.main([*command, "--dry_run"])
    said = capsys.readouterr().out
    assert "shapes, demo: finished" in said and "richhf, demo: not here:" in said and "in all about" in said
    reproduce_tables.main(
        ["--dry_run", "--table", "layers", *places(demo), "--data", f"nocaps={ROOT / 'tests'},{ROOT}"]
    )
    assert "nocaps, ViT-H-14 laion2b_s32b_b79k" in capsys.readouterr().out


def test_names_and_help(capsys):
    reproduce_tables.main(["--list"])
    assert capsys.readouterr().out.split()[0] == "foil_nocaps"
    for wrong, said in ((["--table", "foil_nocap"], "no table foil_nocap"), (["--data", "foil=x"], "NAME=FILE")):
        with pytest.raises(SystemExit) as stopped:
            reproduce_tables.main(wrong)
        assert stopped.value.code == 2 and said in capsys.readouterr().err


@pytest.fixture(scope="module")
def foil_run(tiny_folder, tmp_path_factory):
    """A run of a random model on a made-up FOIL file with references."""
    folder = tmp_path_factory.mktemp("foil")
    names = make_pictures(folder / "pictures", 12)
    data = make_foil(folder / "foil.json", names)
    references = make_coco_captions(folder / "captions.json", data)
    return folder, Options(
        str(data),
        str(folder / "pictures"),
        output=str(folder / "out"),
        backbone=None,
        pretrained=str(tiny_folder),
        device="cpu",
        method="clip4dm",  # as the tables ask for
        start_layer_text=-3,
        num_workers=0,
        reference_path=str(references),
    )


def test_random_weights_are_said_to_mean_nothing(tmp_path, foil_run, capsys):
    """Through the whole pipeline with a real architecture; the random model's folder says what it is."""
    folder, options = foil_run
    model = make_random_model(tmp_path / "random", "RN50")
    reproduce_tables.main(
        [
            "--pretrained",
            str(model),
            "--device",
            "cpu",
            "--table",
            "foil_nocaps",
            "--limit",
            "6",
            "--data",
            f"foil={options.data_path},{options.img_dir},{options.reference_path}",
            *places(tmp_path),
        ]
    )
    printed = capsys.readouterr().out
    assert "random has random weights: its figures are those of chance and mean nothing." in printed
    assert "AP/refCLIPScore" in printed and "Only the first 6 samples" in printed


def test_as_published_is_worked_out_by_hand(foil_run):
    _, options = foil_run
    outcome = evaluate(Options(**{**vars(options), "as_published": True}), say=lambda _: None)
    scores, labels, hits = [], [], []
    for line in (outcome.folder / "samples.jsonl").read_text().splitlines():
        record = json.loads(line)
        values = np.frombuffer(base64.b64decode(record["layer_attributions"]), "<f4").reshape(4, len(record["units"]))
        means = values[-3:].astype(np.float16).astype(np.float32).mean(0).astype(np.float16)  # every unit, "." included
        cosine = float(np.float16(100 * record["cosine"])) / 100
        scores.append((1 - max(cosine, 0)) * float(means.min()))
        labels.append(not record["label"]["misaligned"])
        if record["label"]["misaligned"]:
            start, end, *_ = record["units"][int(means.argmin())]
            hits.append(record["caption"][start:end].lower() == record["GT_foil_word"].lower())
    quirks = outcome.result["as_published"]
    assert quirks["LA"]["value"] == pytest.approx(np.mean(hits))
    assert quirks["AP"]["F-CLIPScore"]["value"] == pytest.approx(average_precision_score(labels, scores))
    assert "as_published AP/F-CLIPScore" in outcome.table


@needs_java
def test_caption_metrics_are_scored_on_the_same_samples(foil_run):
    _, options = foil_run
    outcome = evaluate(Options(**{**vars(options), "caption_metrics": True}), say=lambda _: None)
    kept = json.loads((outcome.folder / "caption_metrics.json").read_text())["content"]
    lines = [json.loads(line) for line in (outcome.folder / "samples.jsonl").read_text().splitlines()]
    assert set(kept) == {line["id"] for line in lines}
    labels = [not line["label"]["misaligned"] for line in lines]
    for name in ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr"):
        wanted = average_precision_score(labels, [kept[line["id"]][name] for line in lines])
        assert outcome.result["AP"][name]["value"] == pytest.approx(wanted)
    # A re-scoring keeps them.
    assert (
        rescore(outcome.folder, epsilon=-1e-4, say=lambda _: None).result["AP"]["CIDEr"]
        == outcome.result["AP"]["CIDEr"]
    )


@needs_java
def test_caption_metrics_are_the_packages_own(shared):
    """Twenty captions of COCO, each against its picture's others, through pycocoevalcap's own evaluation by hand."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    rows = json.loads((shared / "data" / "coco" / "captions_subset.json").read_text())["annotations"]
    by_image: dict[int, list[str]] = {}
    for row in rows:
        by_image.setdefault(row["image_id"], []).append(row["caption"])
    twenty = list(by_image.values())[:20]
    ours = caption_metrics({str(i): c[0] for i, c in enumerate(twenty)}, {str(i): c[1:] for i, c in enumerate(twenty)})
    tokenizer = PTBTokenizer()
    gts = tokenizer.tokenize({i: [{"caption": text} for text in c[1:]] for i, c in enumerate(twenty)})
    res = tokenizer.tokenize({i: [{"caption": c[0]}] for i, c in enumerate(twenty)})
    theirs = {f"BLEU-{n}": values for n, values in enumerate(Bleu(4).compute_score(gts, res)[1], 1)}
    theirs |= {
        "ROUGE-L": Rouge().compute_score(gts, res)[1],
        "CIDEr": Cider().compute_score(gts, res)[1],
        "METEOR": Meteor().compute_score(gts, res)[1],
    }
    for name, values in theirs.items():
        assert [ours[str(i)][name] for i in range(20)] == pytest.approx(list(values), abs=1e-12), name


@needs_java
def test_odd_captions_keep_their_rows():
    odd = {"a": "", "b": "two\nlines\u2028here\r", "c": "...", "d": "a dog ||| a cat", "e": "日本語 ☃"}
    found = caption_metrics(odd, {name: ["a dog and a cat", "two lines here"] for name in odd} | {"c": []})
    assert set(found) == {"a", "b", "d", "e"}
    assert found["a"]["ROUGE-L"] == 0 and found["b"]["ROUGE-L"] == pytest.approx(1.0)


def test_without_java_one_line_says_so(foil_run, monkeypatch, tmp_path):
    _, options = foil_run
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptionMetricsUnavailable, match="no `java` on the PATH; .*install a Java runtime"):
        check_java()
    done = subprocess.run(
        [sys.executable, "main.py", "--caption_metrics", "--data_path", options.data_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "java" in done.stderr
    broken = tmp_path / "java"
    broken.write_text(f"#!{sys.executable}\nraise SystemExit('no memory')\n")
    broken.chmod(0o755)
    with pytest.raises(CaptionMetricsUnavailable, match="does not run .no memory"):
        check_java()
    assert caption_metrics_module.spice_files_are_there() in (True, False)


def test_parts_of_speech_are_counted_by_hand(demo, monkeypatch):
    nlp = parts_of_speech.load_tagger(str(demo / "tagger"))
    run, benchmark = the_run(demo), get_benchmark("foil")
    settings = Settings(**json.loads((run / "config.json").read_text())["settings"])
    found = parts_of_speech.by_part_of_speech(run / "samples.jsonl", benchmark, settings, nlp)
    hits: dict[str, list[bool]] = {}
    for line in (run / "samples.jsonl").read_bytes().splitlines():
        record = from_line(line)
        if record["label"]["misaligned"]:
            ((start, end),) = record["label"]["spans"]
            part = next(w.pos_ for w in nlp(record["caption"]) if w.idx == start) or "X"
            hits.setdefault(part, []).append(record["is_correct"])
    assert {part: figures["LA"].value for part, figures in found.items()} == pytest.approx(
        {part: np.mean(values) for part, values in hits.items()}
    )
    assert len(hits) > 2
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(parts_of_speech.TaggerUnavailable, match="pip install spacy"):
        parts_of_speech.load_tagger("en_core_web_sm")


def test_pipelines_that_cannot_tag_are_refused(tmp_path):
    import spacy

    spacy.blank("en").to_disk(tmp_path / "blank")
    for pipeline, said in ((str(tmp_path / "blank"), "says no parts of speech"), ("no_such_pipeline", "cannot load")):
        with pytest.raises(parts_of_speech.TaggerUnavailable, match=said):
            parts_of_speech.load_tagger(pipeline)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:500], "is no JSON"),
        (lambda text: "", "is empty"),
        (lambda text: "[" * 100_000, "nested too deeply"),
        (lambda text: text.replace('"value": 0.', '"value": 0.9', 1), "is not as it was written"),
        (lambda text: json.dumps(json.loads(text)["content"]), "is not as it was written"),
        (lambda text: text.replace("0.", "NaN", 1), "is no JSON"),
    ],
)
def test_a_damaged_ablation_is_one_line_and_no_table(demo, tmp_path, capsys, change, message):
    shutil.copytree(demo / "out" / "ablation", tmp_path / "ablation")
    (path,) = (tmp_path / "ablation").iterdir()
    path.write_text(change(path.read_text()))
    with pytest.raises(SystemExit) as stop:
        reproduce_tables.main(
            [*DEMO, "--table", "gradient_sign", "--data_dir", str(demo / "data"), "--output", str(tmp_path)]
        )
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert stop.value.code == 2 and captured.out == "" and not (tmp_path / "tables").exists()
    assert message in line and path.name in line and "remove that file" in line


def test_another_runs_damaged_config_is_passed_over_with_a_note(demo, tmp_path, capsys):
    shutil.copytree(demo / "out", tmp_path / "out")
    other = tmp_path / "out" / "foil" / "other" / "run"
    other.mkdir(parents=True)
    (other / "timing.json").write_text("{}")
    for content in ('{"args": ', '{"args": []}', "[]", "{}"):
        (other / "config.json").write_text(content)
        reproduce_tables.main(
            [*DEMO, "--table", "foil_nocaps", "--dry_run"]
            + ["--data_dir", str(demo / "data"), "--output", str(tmp_path / "out")]
        )
        captured = capsys.readouterr()
        assert "shapes, demo: finished, " in captured.out and "Traceback" not in captured.err
        assert ("config.json is" in captured.err and "passed over" in captured.err) == (content in ('{"args": ', "[]"))


def test_figures_of_an_epsilon_by_hand(demo):
    run, benchmark = the_run(demo), get_benchmark("foil")
    settings = Settings(**json.loads((run / "config.json").read_text())["settings"])
    words = read_words(run / "samples.jsonl", benchmark, settings, [-1e-4])
    tp = fp = fn = 0
    scores, labels, hits = [], [], []
    for line in (run / "samples.jsonl").read_bytes().splitlines():
        record = json.loads(line)
        spans, position, total, lowest = record["label"]["spans"], 0, 0.0, (0.0, False)
        for text, value in record["word_attributions"]:
            start = record["caption"].index(text, position)
            position = start + len(text)
            wrong = any(a < position and start < b for a, b in spans)
            tp, fp, fn = (
                tp + (value < -1e-4 and wrong),
                fp + (value < -1e-4 and not wrong),
                fn + (value >= -1e-4 and wrong),
            )
            total += value if value < -1e-4 else 0
            lowest = min(lowest, (value, text.lower() == record["GT_foil_word"].lower()))
        scores.append((1 - record["cosine"]) * total)
        labels.append(not record["label"]["misaligned"])
        if record["label"]["misaligned"]:
            hits.append(lowest[0] < -1e-4 and lowest[1])
    figures = figures_at(words, -1e-4)
    assert figures["f1"].value == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert figures["AP"].value == pytest.approx(average_precision_score(labels, scores))
    assert figures["LA"].value == pytest.approx(np.mean(hits))
    grid = epsilon_grid(words.attribution)
    best = suggest(words, grid)
    assert figures_at(words, best)["f1"].value == max(figures_at(words, e)["f1"].value or 0 for e in grid)


def test_the_epsilon_study_reports_on_images_it_was_not_tuned_on(demo, tmp_path, capsys):
    epsilon_study.main([str(the_run(demo)), "--out", str(tmp_path), "--count", "6"])
    printed = capsys.readouterr().out
    suggested = float(printed.split("suggested epsilon: ")[1].split()[0])
    with open(tmp_path / "epsilon.csv", newline="") as file:
        assert suggested in [float(row["epsilon"]) for row in csv.DictReader(file)]
    found = epsilon_study.study(the_run(demo), tmp_path, count=6)
    lines = [json.loads(line) for line in (the_run(demo) / "samples.jsonl").read_text().splitlines()]
    held_out = [line for line in lines if not for_calibration(line["image"])]
    assert found["held_out"][suggested]["AP"].n == len(held_out) < len(lines)
    with Image.open(tmp_path / "epsilon.png") as picture:
        assert min(picture.size) > 300
    with pytest.raises(SystemExit):
        epsilon_study.main([str(tmp_path)])
    assert "holds no finished run" in capsys.readouterr().err
