"""What the demo model is trained on: its scenes, its captions, and what is asked of the image tower by itself."""

from random import Random
from statistics import mean

import open_clip
import pytest
import torch
import train_demo_model
from demo_training.above import above_head, above_loss, is_stacked
from demo_training.training_data import DETAILED, STACKED, captions, scenes_of_step, template_tokens, words_alone
from sklearn.metrics import log_loss

from clip4dm.benchmarks.shapes.captions import may_hold, write_caption
from clip4dm.benchmarks.shapes.lexicon import COLOURS, RELATIONS, SHAPES, SIZES
from clip4dm.benchmarks.shapes.scenes import sample_scene
from clip4dm.benchmarks.shapes.standing import relation_of
from clip4dm.scores import TEMPLATE

SIZE_WORDS = {word for words in SIZES.values() for word in words}


def test_where_words_are_read_alone_each_token_hears_of_itself_and_a_relation_and_the_end_of_all():
    model = open_clip.CLIP(**train_demo_model.model_config(train_demo_model.parse_args(["folder"]))).eval()
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
