"""The demo model's training: its steps, and what it says of wrong options and damaged files."""

import csv
from statistics import mean

import pytest
import torch
import train_demo_model
from safetensors.torch import load_file
from training import optimising

from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.scenes import sample_scene
from clip4dm.models.compact import WEIGHTS_NAME

SMALL = [
    "--scenes",
    "64",
    "--batch_size",
    "16",
    "--image_size",
    "32",
    "--image_width",
    "16",
    "--text_width",
    "32",
    "--text_heads",
    "2",
    "--text_layers",
    "2",
    "--embed_dim",
    "32",
    "--threads",
    "1",
    "--text_steps",
    "2",
]


def losses(folder):
    with open(folder / "loss.csv", newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("at", [5, 8 + 4])  # while both towers train, and while the new text tower does
def test_the_same_seed_trains_to_the_same_losses_and_an_interrupted_training_goes_on(tmp_path, monkeypatch, at):
    monkeypatch.setattr(optimising, "CHECKPOINT_EVERY", 3)
    command = [*SMALL, "--steps", "8", "--text_steps", "6", "--above_steps", "4", "--stacked", "0.3", "--alike", "2"]
    command += ["--detailed", "0.5", "--alone", "0.2", "--alone_last", "0.8"]
    train_demo_model.main([str(tmp_path / "a"), *command])
    train_demo_model.main([str(tmp_path / "b"), *command])
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert len(losses(tmp_path / "a")) == 14
    inner, steps = train_demo_model.scenes_of_step, []

    def interrupted(*given, **named):
        if len(steps) == at:
            raise KeyboardInterrupt
        steps.append(given[-1])
        return inner(*given, **named)

    monkeypatch.setattr(train_demo_model, "scenes_of_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_demo_model.main([str(tmp_path / "c"), *command])
    taken_up = []
    monkeypatch.setattr(
        train_demo_model, "scenes_of_step", lambda *given, **named: taken_up.append(given[-1]) or inner(*given, **named)
    )
    train_demo_model.main([str(tmp_path / "c"), *command])
    # From the checkpoint after three steps.
    assert taken_up == ([3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5] if at == 5 else [3, 4, 5])
    assert losses(tmp_path / "c") == losses(tmp_path / "a")
    weights = [(tmp_path / name / "model" / "open_clip_model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] == weights[2]


def test_a_training_may_begin_with_a_models_weights(tmp_path):
    train_demo_model.main([str(tmp_path / "first"), *SMALL, "--steps", "1", "--text_steps", "1"])
    begun = [str(tmp_path / "second"), *SMALL, "--steps", "1", "--text_steps", "1", "--lr", "0"]
    train_demo_model.main([*begun, "--begin", str(tmp_path / "first" / "model"), "--alone", "0.5"])
    first, second = (load_file(tmp_path / name / "model" / WEIGHTS_NAME) for name in ("first", "second"))
    parts = [name for name in first if name.startswith("visual.") and name.endswith("weight")]
    assert parts and all(torch.equal(first[name], second[name]) for name in parts)


def test_a_training_may_begin_with_the_two_towers_of_another(tmp_path, capsys):
    first = tmp_path / "first"
    train_demo_model.main([str(first), *SMALL, "--steps", "2", "--above_steps", "1", "--stacked", "0.3"])
    together = torch.load(first / "joint.pt", weights_only=True)["model"]
    assert {name for name in together if name.startswith("above.")} == {"above.weight", "above.bias"}
    train_demo_model.main([str(tmp_path / "second"), *SMALL, "--steps", "1", "--lr", "0", "--begin", str(first)])
    second = torch.load(tmp_path / "second" / "joint.pt", weights_only=True)["model"]
    learned = [name for name in second if name.endswith("weight")]
    assert "visual.conv1.weight" in learned and "token_embedding.weight" in learned
    assert all(torch.equal(second[name], together[name]) for name in learned)
    whole = (first / "joint.pt").read_bytes()
    other = [str(tmp_path / "third"), *SMALL, "--steps", "1", "--begin", str(first), "--embed_dim", "16"]
    for damaged, said in ((b"hello", f"{first / 'joint.pt'} is damaged ("), (whole, "of another size than the model")):
        (first / "joint.pt").write_bytes(damaged)
        with pytest.raises(SystemExit) as stop:
            train_demo_model.main(other)
        assert stop.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_of_another_training_is_not_taken_up(tmp_path, capsys):
    train_demo_model.main([str(tmp_path), *SMALL, "--steps", "2"])
    with pytest.raises(SystemExit):
        train_demo_model.main([str(tmp_path), *SMALL, "--steps", "3"])
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--text_heads", "3"], "--text_heads 3 must divide --text_width, 32"),
        (
            ["--batch_size", "65"],
            "--batch_size 65: a batch is of different scenes, at least 2 and at most --scenes, 64",
        ),
        (["--batch_size", "1"], "--batch_size 1: "),
        (["--image_size", "8"], "--image_size 8: the ResNet halves a picture five times"),
        (["--image_size", "63"], "--image_size 63: "),
        (["--image_width", "1"], "--image_width 1: "),
        (["--image_width", "7"], "--image_width 7: "),
        (["--stacked", "1", "--batch_size", "20"], "--stacked 1: 16 of 64 scenes have one of two things above "),
        (
            ["--stacked", "0.02", "--batch_size", "64"],
            "--stacked 0.02: 48 of 64 scenes have not, a batch would hold 63",
        ),
        (["--stacked", "0.01"], "--stacked 0.01 is less than one of a batch's 16 scenes"),
        (["--image_tower", "x", "--begin", "y"], "--image_tower takes an image tower as it is; "),
        (["--image_tower", "x", "--above_steps", "2"], "--image_tower takes an image tower as it is; "),
        (["--begin", "nowhere"], "--begin nowhere: there is no such folder"),
        (["--alone_last", "1", "--text_steps", "1"], "--alone_last wants more than one of --text_steps"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(given, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        train_demo_model.main([str(tmp_path / "new"), *SMALL, "--steps", "2", *given])
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and line.startswith(f"train_demo_model.py: error: {said}")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("given", [["--image_size", "48"], ["--image_width", "9"], ["--batch_size", "64"]])
def test_options_that_go_together_train(given, tmp_path):
    train_demo_model.main([str(tmp_path), *SMALL, "--steps", "1", "--text_steps", "1", *given])
    assert len(losses(tmp_path)) == 2


def test_a_damaged_file_of_a_training_is_one_line(tmp_path, capsys):
    command = [str(tmp_path), *SMALL, "--steps", "2"]
    train_demo_model.main(command)
    for name in ("joint.pt", "text.pt", "pictures.npy", "features.npy"):
        whole = (tmp_path / name).read_bytes()
        for damaged in (b"", b"hello", whole[: len(whole) // 2], bytes(100) + whole[100:]):
            (tmp_path / name).write_bytes(damaged)
            capsys.readouterr()
            with pytest.raises(SystemExit) as stop:
                train_demo_model.main(command)
            last = capsys.readouterr().err.splitlines()[-1]
            assert stop.value.code == 2
            assert last.startswith(f"train_demo_model.py: error: {tmp_path / name} is damaged ("), damaged[:9]
        (tmp_path / name).write_bytes(whole)
    train_demo_model.main(command)


def test_a_checkpoint_of_another_model_is_one_line(tmp_path, capsys):
    command = [str(tmp_path), *SMALL, "--steps", "2"]
    train_demo_model.main(command)
    torch.save({"step": 1, "model": {}}, tmp_path / "joint.pt")
    with pytest.raises(SystemExit):
        train_demo_model.main(command)
    assert "joint.pt is damaged" in capsys.readouterr().err.splitlines()[-1]


def test_the_loss_falls_and_the_model_loads_like_any_other(tmp_path):
    from clip4dm import CLIP4DM

    train_demo_model.main([str(tmp_path), *SMALL, "--steps", "60", "--text_steps", "60", "--lr", "3e-3"])
    values = [float(value) for value in losses(tmp_path)]
    for training in (values[:60], values[60:]):
        assert sum(training[-10:]) < 0.9 * sum(training[:10])
    detector = CLIP4DM.from_pretrained(None, str(tmp_path / "model"))
    (detection,) = detector.detect([draw(sample_scene(1))], ["a red star on grass"])
    assert [word.text for word in detection.words] == ["a", "red", "star", "on", "grass"]


def test_the_share_of_captions_whose_words_are_alone_may_rise(tmp_path, monkeypatch):
    inner, shares = train_demo_model.words_alone, []
    monkeypatch.setattr(
        train_demo_model,
        "words_alone",
        lambda tower, tokens, alone: shares.append(mean(alone)) or inner(tower, tokens, alone),
    )
    steps = ["--steps", "1", "--text_steps", "8"]
    train_demo_model.main([str(tmp_path / "rising"), *SMALL, *steps, "--alone", "0", "--alone_last", "1"])
    assert len(shares) == 7  # in the first step there is none
    assert shares[0] < 0.4 < 0.6 < shares[-1] and mean(shares[:3]) < mean(shares[-3:])


def test_what_a_batch_is_made_of_reaches_both_trainings(tmp_path, monkeypatch):
    seen = {"scenes_of_step": [], "captions": [], "above_loss": []}
    for name, calls in seen.items():
        inner = getattr(train_demo_model, name)
        monkeypatch.setattr(
            train_demo_model,
            name,
            lambda *given, inner=inner, calls=calls, **named: calls.append((given, named)) or inner(*given, **named),
        )
    made = ["--stacked", "0.3", "--alike", "2", "--detailed", "0.7", "--above_steps", "2"]
    train_demo_model.main([str(tmp_path), *SMALL, "--steps", "4", "--text_steps", "3", *made])
    assert [(given[3], named) for given, named in seen["scenes_of_step"]] == [
        (step, {"alike": 2, "stacked": 0.3}) for step in (0, 1, 2, 3, 0, 1, 2)
    ]
    assert [given[3:] for given, _ in seen["captions"]] == [(0.0, 0.7, True)] * 4 + [(0.5, 0.7, True)] * 3
    assert len(seen["above_loss"]) == 2  # in the first steps alone, where it counts:
    train_demo_model.main([str(tmp_path / "without"), *SMALL, "--steps", "4", "--text_steps", "3", *made[:-2]])
    asked, plain = losses(tmp_path), losses(tmp_path / "without")
    assert float(asked[0]) > float(plain[0]) + 2  # of the logarithms of 12 and 9 choices
