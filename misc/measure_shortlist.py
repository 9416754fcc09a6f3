"""How often the gradient's shortlist holds the best word of the tokenizer's own vocabulary, and at which cost.

    python misc/measure_shortlist.py cases.jsonl --data_path foils.json --img_dir images --pretrained photo-clip

For foils of a FOIL file, drawn by --seed: every whole-word token stands in the foil word's place, and the one with the
highest cosine is the best. It is sought in bf16, and among the NEAR best of that in fp32. One case in --timed is read
in fp32 whole, for the time. Each case is a line of the output; the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import deque
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any

from clip4dm.benchmarks import read_benchmark
from clip4dm.commands.arguments import add_model_options, model_arguments
from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, SEED, THREADS
from clip4dm.models.names import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from torch import Tensor

    from clip4dm.suggestion.shortlist import Place
    from clip4dm.towers.text import TextTower

NEAR = 500
AT_ONCE = 1024  # captions a pass


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="a line a case; cases that are there are not computed again")
    parser.add_argument("--data_path", type=Path, required=True)
    parser.add_argument("--img_dir", type=Path, required=True)
    parser.add_argument("--cases", type=AT_LEAST_ONE, default=300, help="(default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="leave out so many of the drawn order before")
    parser.add_argument("--timed", type=AT_LEAST_ONE, default=30, help="one case in so many is read whole in fp32")
    parser.add_argument("--seed", type=SEED, default=0)
    parser.add_argument("--threads", type=THREADS, default=1)
    add_model_options(parser, DEFAULT_BACKBONE)
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("measure_shortlist.py", args.debug):
        cases = read_cases(args.output)
        if len(cases) < args.cases:
            cases += measure(args, len(cases))
        print(summary(cases))


def read_cases(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measure(args: argparse.Namespace, there: int) -> list[dict[str, Any]]:
    """The cases from number `there` on. Errors: CLIP4DMError, OSError."""
    import torch
    from tqdm import tqdm

    from clip4dm import CLIP4DM
    from clip4dm.evaluation.corrections.run import exchanges_of
    from clip4dm.suggestion.open_words import open_vocabulary
    from clip4dm.suggestion.shortlist import place_of, tokens_of

    torch.set_num_threads(args.threads)
    model = model_arguments(args, DEFAULT_BACKBONE)
    detector = CLIP4DM.from_pretrained(*model, args.device)
    low = CLIP4DM.from_pretrained(*model, args.device, "bf16").model.tower
    tower, tokenizer = detector.model.tower, detector.model.tokenizer
    words = open_vocabulary(tokenizer, tower).words
    ids = torch.tensor(tokens_of(tokenizer, words).first)
    samples = read_benchmark(args.data_path)[1].samples
    exchanges = exchanges_of(samples)
    foils = [sample for sample in samples if sample.id in exchanges]
    Random(args.seed).shuffle(foils)
    found = []
    for number in tqdm(range(there, args.cases), "cases"):
        sample = foils[args.first + number]
        exchange = exchanges[sample.id]
        encoded = detector.encode_captions([sample.caption])[0]
        unit = next(unit for unit in encoded.units if unit.start <= exchange.start < unit.end)
        place = place_of(encoded, unit.start, unit.end)
        feature = detector.encode_images(args.img_dir / sample.image)[0]
        whole = number % args.timed == 0
        found.append({"id": sample.id, **one_case(tower, low, tokenizer, feature, place, words, ids, whole)})
        with args.output.open("a") as file:
            file.write(json.dumps(found[-1]) + "\n")
    return found


def one_case(
    tower: TextTower,
    low: TextTower,
    tokenizer: Any,
    feature: Tensor,
    place: Place,
    words: tuple[str, ...],
    ids: Tensor,
    whole: bool,
) -> dict[str, Any]:
    from clip4dm.suggestion.shortlist import shortlist

    rough = cosines(low, feature, place, ids)
    near = rough.topk(min(NEAR, len(words))).indices
    best = int(near[cosines(tower, feature, place, ids[near]).argmax()])
    token_of = dict(zip(words, ids.tolist(), strict=True))

    def read(some: Any) -> list[float]:
        tokens = ids.new_tensor([token_of[word] for word in some])
        return cosines(tower, feature, place, tokens).tolist()

    start = time.perf_counter()
    found = shortlist(tower, tokenizer, feature, place, words, read)
    seconds = time.perf_counter() - start
    case = {"best": words[best], "held": words[best] in found, "read": len(found), "of": len(words), "seconds": seconds}
    if whole:
        start = time.perf_counter()
        cosines(tower, feature, place, ids)
        case["seconds_exact"] = time.perf_counter() - start
    return case


def cosines(tower: TextTower, feature: Tensor, place: Place, tokens: Tensor) -> Tensor:
    """(n,) of the caption with each of the tokens (n,) at the place; what stands before it is read once."""
    import torch

    found = []
    with torch.no_grad():
        for part in tokens.split(AT_ONCE):
            ids = torch.tensor(place.part.ids).repeat(len(part), 1)
            ids[:, place.token] = part
            shared = place.token if tower.causal else 0
            (output,) = deque(tower.states(ids.to(tower.device), shared), maxlen=1)
            last = output.x[:, len(place.part.ids) - 1 - shared].to(tower.working_dtype)
            found.append(tower.last_layers(tower.layers).feature(last) @ feature)
    return torch.cat(found).cpu()


def summary(cases: list[dict[str, Any]]) -> str:
    held, timed = sum(case["held"] for case in cases), [case for case in cases if "seconds_exact" in case]
    times = [case["seconds_exact"] / case["seconds"] for case in timed]
    share, seconds = held / len(cases), median(case["seconds"] for case in cases)
    whole = median(case["seconds_exact"] for case in timed)
    return (
        f"the shortlist of {max(case['read'] for case in cases)} holds the best of {cases[0]['of']} words in {held} of "
        f"{len(cases)} cases, {share:.3f}; a shortlist takes {seconds:.2f} s, all words {whole:.1f} s: "
        f"1/{median(times):.0f} (median of {len(times)}, from 1/{min(times):.0f} to 1/{max(times):.0f})"
    )


if __name__ == "__main__":
    run_command(main)
