"""The demo model's training: what it is given, its steps, and what it says of wrong options and damaged files."""

import csv
from random import Random
from statistics import mean

import open_clip
import pytest
import torch
import train_demo_model
from demo_training.above import above_head, above_loss, is_stacked
from demo_training.training_data import DETAILED, STACKED, captions, scenes_of_step, template_tokens, words_alone
from safetensors.torch import load_file
from sklearn.metrics import log_loss
from training import optimising

from clip4dm.benchmarks.shapes.captions import may_hold, write_caption
from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.lexicon import COLOURS, RELATIONS, SHAPES, SIZES
from clip4dm.benchmarks.shapes.scenes import sample_scene
from clip4dm.benchmarks.shapes.standing import relation_of
from clip4dm.models.compact import WEIGHTS_NAME
from clip4dm.scores import TEMPLATE

SIZE_WORDS = {word for words in SIZES.values() for word in words}

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
    command = [*SMALL, "--steps", "8", "--text_steps", "6"]
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


def test_where_words_are_read_alone_each_token_hears_of_itself_and_a_relation_and_the_end_of_all():
    model = open_clip.CLIP(**train_demo_model.model_config(train_demo_model.parse_args(["folder", *SMALL]))).eval()
    tokenizer = open_clip.SimpleTokenizer(context_length=40)
    tokens = tokenizer(
        [TEMPLATE + "a red disc", TEMPLATE + "two striped houses on sand", TEMPLATE + "a disc above a heart"]
    )
    tokens = tokens[:, :13]
    masks = words_alone(model, tokens, [True, False, True])
    x = (model.token_embedding(tokens) + model.positional_embedding[:13]).detach().requires_grad_()
    out = model.transformer(x, attn_mask=masks)
    template, end = template_tokens(), int(tokens[0].argmax())
    assert tokenizer.decode(tokens[0, template:end].tolist()).strip() == "a red disc"

    def heard(caption: int, place: int) -> list[int]:
        (gradient,) = torch.autograd.grad(out[caption, place].square().sum(), x, retain_graph=True)
        return gradient[caption].abs().sum(-1).nonzero().flatten().tolist()

    for place in range(template, end):
        assert heard(0, place) == [*range(template), place]
    assert heard(0, end) == list(range(end + 1))
    assert heard(1, template + 2) == list(range(template + 3))  # this caption is read as ever
    assert tokenizer.decode([tokens[2, template + 2].item()]).strip() == "above"
    assert heard(2, template + 2) == list(range(template + 3))  # of two things, and so hears of the first
    assert heard(2, template + 4) == [*range(template), template + 4]


def test_detailed_captions_say_more_of_their_things_and_are_true():
    def sizes(detailed: float) -> int:
        tokenizer = CountingTokenizer()
        captions(list(range(300)), Random(0), tokenizer, detailed=detailed)
        return sum(word in SIZE_WORDS for text in tokenizer.texts for word in text.split())

    assert sizes(1.0) > 2 * sizes(0.0) > 0
    for seed in range(300):
        scene = sample_scene(seed)
        assert may_hold(write_caption(scene, Random(seed), DETAILED).statement, scene)


def test_where_scenes_are_stacked_their_captions_say_how_and_little_else():
    seeds = [seed for seed in range(400) if is_stacked(seed)]
    others = [seed for seed in range(400) if not is_stacked(seed)]

    def share(words, seeds, stacked):
        tokenizer = CountingTokenizer()
        captions(seeds, Random(0), tokenizer, stacked=stacked)
        return mean(any(word in words for word in text.split()) for text in tokenizer.texts)

    orders = {word for name in ("above", "below") for word in RELATIONS[name]}
    assert share(orders, seeds, False) < 0.7 < share(orders, seeds, True) < 0.9  # else one goes unmentioned
    assert 0.3 < share(SIZE_WORDS, seeds, False) and share(SIZE_WORDS, seeds, True) < 0.25
    assert share(SIZE_WORDS, others, True) == share(SIZE_WORDS, others, False)
    for seed in seeds:
        scene = sample_scene(seed)
        assert may_hold(write_caption(scene, Random(seed), STACKED).statement, scene)


class CountingTokenizer:
    def __call__(self, texts):
        self.texts = texts
        return torch.ones(len(texts), 2)


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


def test_the_image_tower_is_asked_what_stands_above_what():
    """The loss by sklearn, of a layer of chance, over the scenes where one of two things stands above the other."""
    torch.manual_seed(0)
    seeds, head = list(range(60)), above_head(8)
    features = torch.nn.functional.normalize(torch.randn(60, 8), dim=1)
    stacked = [seed for seed in seeds if is_stacked(seed)]
    chosen = (10 * head(features) + (1 - 10) * head.bias)[stacked].split([len(SHAPES), len(COLOURS)] * 2, dim=1)
    wanted = []
    for scores, (place, kind, values) in zip(
        chosen,
        [(0, "shape", SHAPES), (0, "colour", COLOURS), (1, "shape", SHAPES), (1, "colour", COLOURS)],
        strict=True,
    ):
        things = [sorted(sample_scene(seed).things, key=lambda thing: thing.y)[place] for seed in stacked]
        truth = [list(values).index(getattr(thing, kind)) for thing in things]
        wanted.append(log_loss(truth, scores.detach().double().softmax(1), labels=range(len(values))))
    assert above_loss(head, features, seeds).item() == pytest.approx(mean(wanted), rel=1e-5)
    others = [seed for seed in seeds if seed not in stacked]
    assert 0 < len(stacked) < 30 and above_loss(head, features[: len(others)], others).item() == 0


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
        (["--stacked", "1", "--batch_size", "20"], "--stacked 1: one of two things stands above the other in "),
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


def test_alike_scenes_stand_side_by_side_and_every_scene_comes_once():
    def things(seed):
        return sorted({f"{thing.shape} {thing.colour}" for thing in sample_scene(seed).things})

    steps = [scenes_of_step(400, 40, 3, step, alike=4) for step in range(10)]
    assert sorted(seed for scenes in steps for seed in scenes) == list(range(400))
    assert steps == [scenes_of_step(400, 40, 3, step, alike=4) for step in range(10)] and steps[0] != sorted(steps[0])

    def first_things_agree(scenes):
        groups = [scenes[start : start + 4] for start in range(0, 40, 4)]
        return sum(len({things(seed)[0] for seed in group}) <= 2 for group in groups)

    alone = [scenes_of_step(400, 40, 3, step) for step in range(10)]
    assert sum(map(first_things_agree, steps)) > 80 > 20 > sum(map(first_things_agree, alone))


def test_a_share_of_the_scenes_has_one_of_two_things_above_the_other_in_either_order():
    def stacked(seed):
        scene = sample_scene(seed)
        return scene.sort == "two" and relation_of(*scene.things) in ("above", "below")

    steps = [scenes_of_step(4000, 40, 3, step, alike=4, stacked=0.4) for step in range(50)]
    assert {sum(map(stacked, scenes)) for scenes in steps} == {16} and {len(set(scenes)) for scenes in steps} == {40}
    seen = [seed for scenes in steps for seed in scenes if stacked(seed)]
    assert len(set(seen)) == len(seen) and seen != sorted(seen)  # a round is longer than this
    usual = [scenes_of_step(4000, 40, 3, step, alike=4) for step in range(50)]
    assert 0.15 < sum(map(stacked, sum(usual, []))) / 2000 < 0.3
    assert {len(scenes_of_step(400, 40, 3, step, stacked=1.0)) for step in range(5)} == {40}
