"""FCLIPScore against torchmetrics' CLIPScore on the same random weights, and as a torchmetrics metric."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from contract import COSINE, SAME_NUMBERS
from PIL import Image
from places import ROOT
from torchmetrics import MetricCollection
from torchmetrics.functional.multimodal import clip_score
from twin_models import CAPTIONS, twin_folders

from clip4dm import CLIP4DM
from clip4dm.errors import InputError
from clip4dm.scoring.metric import FCLIPScore, UnscoredWords, f_clip_score

LONG = " ".join(["a red dog"] * 40) + " near the lake"
FLOAT32 = 2**-23  # of a mean that is summed in float64, the step of the scalar that is given back


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    """(count, 3, 32, 32): of the model's size, so that the two libraries' ways to resize do not count."""
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Hugging Face's (model, processor) as torchmetrics wants them, and a detector of the same weights."""
    transformers = pytest.importorskip("transformers", reason="torchmetrics' CLIPScore is of Hugging Face's model")
    theirs, ours = twin_folders(tmp_path_factory.mktemp("twins"))

    class WithTensors(transformers.CLIPModel):  # newer ones give an object with the feature in it
        def get_image_features(self, *args, **kwargs):
            return tensor(super().get_image_features(*args, **kwargs))

        def get_text_features(self, *args, **kwargs):
            return tensor(super().get_text_features(*args, **kwargs))

    def tensor(found):
        return found if isinstance(found, torch.Tensor) else found.pooler_output

    pair = WithTensors.from_pretrained(theirs).eval(), transformers.CLIPProcessor.from_pretrained(theirs)
    return pair, CLIP4DM.from_pretrained(pretrained=str(ours), device="cpu", template="")


def test_the_cosines_are_those_of_torchmetrics(twins):
    pair, detector = twins
    images = pictures(len(CAPTIONS))
    metric = FCLIPScore(detector, per_sample=True)
    metric.update(images, CAPTIONS)
    cosines = metric.compute()["cosine"]
    theirs = [clip_score(images[i], CAPTIONS[i], lambda: pair).item() for i in range(len(CAPTIONS))]
    assert min(theirs) > 1 and max(theirs) - min(theirs) > 1  # nothing is cut off at 0, and pairs differ
    assert np.abs(100 * cosines.clamp(min=0).numpy() - theirs).max() <= 100 * COSINE
    together = clip_score(images, CAPTIONS, lambda: pair).item()
    assert abs(100 * cosines.mean().item() - together) <= 100 * COSINE


def test_a_long_text_keeps_its_end_and_says_what_was_left_out(twins):
    """As Hugging Face's own cut has it; torchmetrics cuts the end token off as well."""
    (model, processor), detector = twins
    image = pictures(1)
    metric = FCLIPScore(detector, per_sample=True)
    with pytest.warns(
        UnscoredWords, match=r"words of text 1 .*beyond the model's context.*not scored: '\w+', .*\.\.\."
    ):
        metric.update(image.repeat(2, 1, 1, 1), ["dog", LONG])
    inputs = processor(text=[LONG], images=list(image), return_tensors="pt", truncation=True)
    assert inputs["input_ids"][0, -1] == 49407 and inputs["input_ids"].shape == (1, 77)
    with torch.no_grad():
        wanted = torch.cosine_similarity(
            model.get_image_features(inputs["pixel_values"]), model.get_text_features(inputs["input_ids"])
        ).item()
    assert abs(metric.compute()["cosine"][1].item() - wanted) <= COSINE
    with pytest.warns(UserWarning, match="Will truncate captions"):
        without_end = clip_score(image, LONG, lambda: (model, processor)).item() / 100
    assert abs(without_end - wanted) > 100 * COSINE


def test_a_text_without_a_word_is_said(detector):
    """Its score is the best there is, whatever the picture."""
    with pytest.warns(UnscoredWords, match=r"text 1 \('\?'\) has no word to score: its F-CLIPScore is 0") as said:
        assert f_clip_score(pictures(2), ["a dog", "?"], detector, per_sample=True)["f_clip_score"][1] == 0
    assert len(said) == 1


def test_the_mean_is_of_the_detections(detector):
    images, texts = pictures(7), [*CAPTIONS, "", "a dog", "dog"]
    wanted = np.mean([found.f_clip_score for found in detector.detect(list(images), texts)])
    assert wanted < 0
    metric = FCLIPScore(detector)
    batch = metric(images[:3], texts[:3])
    assert batch.item() == pytest.approx(f_clip_score(images[:3], texts[:3], detector).item(), rel=1e-6)
    metric.update(list(images[3:6]), texts[3:6])
    metric.update(images[6], texts[6])
    # other batches: the attributions' rounding, as in tests/contract.py
    assert metric.compute().item() == pytest.approx(wanted, rel=1e-4)
    assert f_clip_score(images, texts, detector).item() == pytest.approx(wanted, rel=FLOAT32)
    values = f_clip_score(images, texts, detector, per_sample=True)
    assert {name: tuple(value.shape) for name, value in values.items()} == {"f_clip_score": (7,), "cosine": (7,)}
    assert values["f_clip_score"].double().mean().item() == pytest.approx(wanted, rel=FLOAT32)
    assert metric.compute().dtype == torch.float32 and metric.compute().ndim == 0


def test_pictures_of_all_kinds_are_the_same(detector, tmp_path):
    tensor = pictures(1)[0]
    array = tensor.permute(1, 2, 0).numpy()
    Image.fromarray(array).save(tmp_path / "picture.png")
    values = [
        f_clip_score(images, "a red dog", detector).item()
        for images in (tensor, tensor[None], [tensor], [array], [Image.fromarray(array)], str(tmp_path / "picture.png"))
    ]
    assert values == [values[0]] * 6


def test_what_it_says_of_itself(detector):
    metric = FCLIPScore(detector)
    assert metric.higher_is_better is True and metric.is_differentiable is False
    assert metric.full_state_update is False
    assert metric.plot_upper_bound == 0.0 and metric.plot_lower_bound is None
    assert list(metric.state_dict()) == [] and list(metric.parameters()) == [] and list(metric.modules()) == [metric]


@pytest.mark.parametrize(
    ("images", "texts", "message"),
    [
        (pictures(2), ["a dog"], "2 images and 1 texts"),
        (pictures(1), ["a dog", "a cat"], "1 images and 2 texts"),
        (pictures(2).float() / 255, ["a dog", "a cat"], r"uint8, 0 to 255, got torch.float32; of 0.0 to 1.0: \(255"),
        ([pictures(1)[0].float()], ["a dog"], "uint8, 0 to 255, got torch.float32"),
        (pictures(2)[:, 0, 0], ["a dog", "a cat"], r"\(N, C, H, W\) or \(C, H, W\), got \(2, 32\)"),
    ],
)
def test_wrong_input(detector, images, texts, message):
    metric = FCLIPScore(detector)
    metric.update(pictures(1), ["a dog"])
    before = metric.compute()
    with pytest.raises(InputError, match=message):
        metric.update(images, texts)
    assert int(metric.pairs) == 1 and metric.compute() == before


@pytest.mark.filterwarnings("ignore:The ``compute`` method")  # before any update
def test_without_pairs(detector):
    assert FCLIPScore(detector).compute().isnan()
    assert [len(value) for value in FCLIPScore(detector, per_sample=True).compute().values()] == [0, 0]
    metric = FCLIPScore(detector)
    metric.update([], [])
    assert metric.compute().isnan()
    metric.update(pictures(1), ["a dog"])
    metric.reset()
    assert int(metric.pairs) == 0 and float(metric.total) == 0.0


def test_copies_have_their_own_sums_and_the_same_model(detector):
    metric = FCLIPScore(detector)
    metric.update(pictures(1), ["a dog"])
    for twin in (metric.clone(), copy.deepcopy(metric), MetricCollection({"score": metric}).clone()["score"]):
        assert twin.detector is detector and twin.compute() == metric.compute()
        twin.update(pictures(2), ["a dog", "a cat"])
        assert (int(twin.pairs), int(metric.pairs)) == (3, 1)


def test_a_name_is_loaded_when_it_is_needed_and_pickled_as_a_name():
    metric = FCLIPScore("demo")
    assert metric._loaded is None
    metric.update(pictures(1), ["a dog"])
    loaded = metric.detector
    assert metric.clone().detector is loaded
    stored = pickle.dumps(metric)
    assert len(stored) < 20_000  # the demo model has nine megabytes
    again = pickle.loads(stored)
    assert again.compute() == metric.compute()
    again.update(pictures(1), ["a dog"])
    assert int(again.pairs) == 2 and again.detector.model.backbone == "demo"


def test_a_function_and_a_model_of_ones_own_are_pickled_too(tiny_folder, detector):
    function = FCLIPScore(partial(CLIP4DM.from_pretrained, pretrained=str(tiny_folder), device="cpu"))
    function.update(pictures(1), ["a dog"])
    again = pickle.loads(pickle.dumps(function))
    again.update(pictures(1), ["a dog"])
    assert again.compute() == function.compute()
    own = FCLIPScore(detector)
    own.update(pictures(1), ["a dog"])
    again = pickle.loads(pickle.dumps(own))
    again.update(pictures(1), ["a dog"])
    assert again.compute() == own.compute() and again.detector is not detector


def test_a_named_model_follows_the_metric_and_ones_own_stays(detector):
    """To "meta", which every machine has: there is no second device to compute on."""
    own = FCLIPScore(detector).to("meta")
    assert own.device.type == "meta" and own.detector.model.device.type == "cpu"
    assert all(parameter.device.type == "cpu" for parameter in detector.model.model.parameters())
    named = FCLIPScore("demo")
    assert named.detector.model.device.type == "cpu"
    with pytest.raises(Exception, match="unknown device 'meta'"):  # asked of the device where the metric is now
        named.to("meta").detector  # noqa: B018


def test_it_can_be_plotted(detector):
    pytest.importorskip("matplotlib")
    import matplotlib

    matplotlib.use("Agg")
    metric = FCLIPScore(detector)
    values = [metric(pictures(1, seed), ["a red dog"]) for seed in range(3)]
    figure, axes = metric.plot()
    assert figure is not None and axes.lines[0].get_ydata()[0] == metric.compute().item()
    _, axes = metric.plot(values)
    assert list(axes.lines[0].get_ydata()) == [value.item() for value in values]
    matplotlib.pyplot.close("all")


def test_importing_it_loads_no_model_and_the_package_no_torchmetrics():
    code = (
        "import sys, clip4dm; assert 'torchmetrics' not in sys.modules and 'torch' not in sys.modules\n"
        "from clip4dm import FCLIPScore; FCLIPScore('ViT-B-32'); assert 'open_clip' not in sys.modules\n"
        "del sys.modules['clip4dm.scoring.metric']; sys.modules['torchmetrics'] = None\n"
        "try:\n    from clip4dm.scoring.metric import FCLIPScore\n"
        "except ModuleNotFoundError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "FCLIPScore needs torchmetrics: pip install 'clip4dm[metric]'\n", done.stderr


PROCESS = """
import json, os, sys, torch, torch.distributed as dist
rank, folder, store = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", rank=rank, world_size=2, init_method="file://" + store)
from clip4dm import CLIP4DM, FCLIPScore
from test_metric import pictures, CAPTIONS
detector = CLIP4DM.from_pretrained(pretrained=folder, device="cpu")
mine = slice(3, 4) if rank else slice(0, 3)  # shares of different sizes
mean, each, idle = FCLIPScore(detector), FCLIPScore(detector, per_sample=True), FCLIPScore(detector, per_sample=True)
mean.update(pictures(4)[mine], CAPTIONS[mine]); each.update(pictures(4)[mine], CAPTIONS[mine])
if rank:  # the other has no pair at all
    idle.update(pictures(4), CAPTIONS)
found = [mean.compute().item(), *({k: v.tolist() for k, v in one.compute().items()} for one in (each, idle))]
print(json.dumps([*found, int(mean.pairs)]), flush=True)
dist.barrier()
os._exit(0)  # gloo may abort a process whose peer takes the group down first
"""


def test_two_processes_equal_one(detector, tiny_folder, tmp_path):
    import json

    one = f_clip_score(pictures(4), CAPTIONS, detector, per_sample=True)
    command = [sys.executable, "-W", "ignore", "-c", PROCESS]
    path = f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'tests' / 'scoring'}"
    started = [
        subprocess.Popen(
            [*command, str(rank), str(tiny_folder), str(tmp_path / "store")],
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    for rank, (out, _) in enumerate(said):
        mean, each, idle, pairs = json.loads(out)
        assert mean == pytest.approx(one["f_clip_score"].mean().item(), rel=1e-4)
        for values in (each, idle):  # other batches: within the contract's rounding
            assert values["cosine"] == pytest.approx(one["cosine"].tolist(), abs=COSINE)
            assert values["f_clip_score"] == pytest.approx(one["f_clip_score"].tolist(), rel=1e-4, abs=SAME_NUMBERS)
        assert pairs == (1 if rank else 3)  # each process's own state is back afterwards
