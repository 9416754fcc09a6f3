"""The run: every sample of a benchmark through the model once, its line stored, whatever interrupts.

    samples -> blocks of images -> cosine and attributions of every caption -> samples.jsonl -> result.json

Blocks, batches and their order follow from the annotation file alone, so that a run and a resumed run do the same
arithmetic and write the same bytes on the same machine. Several processes under torchrun compute the same blocks with
other numbers of threads: the same lines but for rounding (docs/numbers.md).
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clip4dm.benchmarks.base import Sample
from clip4dm.detector import CLIP4DM
from clip4dm.errors import InputError
from clip4dm.evaluation.loading import IMAGES_PER_BLOCK, Block, load_blocks, plan_blocks
from clip4dm.evaluation.metrics.references import reference_scores
from clip4dm.evaluation.processes import end_with_parent
from clip4dm.evaluation.records import Settings, make_record, skipped_record, to_line
from clip4dm.evaluation.store.lock import locked
from clip4dm.evaluation.store.runfiles import TIMING, write_json
from clip4dm.evaluation.store.runstore import RunStore
from clip4dm.files.images import ImageError, load_image

Entailment = Callable[[Sequence[str], Sequence[str]], list[float]]  # premises, hypotheses -> 0..1


@dataclass(frozen=True)
class Workers:
    """This process among those of a torchrun; (0, 1) alone."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> Workers:
        """As torchrun says it through RANK, WORLD_SIZE and LOCAL_RANK. Errors: ValueError for what it cannot say."""
        said = {
            name: os.environ.get(name, usual)
            for name, usual in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
        }
        numbers = [int(text) if text.isascii() and text.isdigit() and len(text) < 7 else -1 for text in said.values()]
        rank, world, local_rank = numbers
        if min(numbers) < 0 or not rank < world or not local_rank < world:
            listed = ", ".join(f"{name}={text!r:.40}" for name, text in said.items())
            raise InputError(
                f"{listed}: expected whole numbers, RANK and LOCAL_RANK from 0 on and less than "
                "WORLD_SIZE. torchrun sets them; unset all three to run in one process"
            )
        return cls(rank, world, local_rank)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def start(self, device: torch.device) -> None:
        """Join the group: nccl for CUDA devices, gloo otherwise."""
        if self.world > 1:
            if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun's child: killed, it could not end us any more
                end_with_parent()
            if device.type == "cuda":
                torch.cuda.set_device(device)
            # A process waits for the slowest at the end; the default of half an hour would end long runs.
            torch.distributed.init_process_group(
                "nccl" if device.type == "cuda" else "gloo", timeout=datetime.timedelta(days=7)
            )

    def wait(self) -> None:
        if self.world > 1:
            torch.distributed.barrier()

    def stop(self) -> None:
        if self.world > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class Evaluation:
    """What a run needs beside its samples.

    detector: explaining all its text layers, so that any number of them can be averaged afterwards. entailment: of
    an NLI model, where the benchmark asks for one. num_workers: processes that decode pictures.
    """

    detector: CLIP4DM
    benchmark: Any
    settings: Settings
    img_dir: Path
    get_refclipscore: bool = False
    entailment: Entailment | None = None
    num_workers: int = 0
    images_per_block: int = IMAGES_PER_BLOCK

    def run(
        self,
        samples: Sequence[Sample],
        folder: Path,
        config: dict[str, Any],
        *,
        workers: Workers = Workers(),
        resume: bool = True,
        overwrite: bool = False,
        progress: bool = True,
    ) -> RunStore:
        """Compute what is missing, merge, and leave a complete samples.jsonl in the folder. Errors: RunError."""
        blocks = plan_blocks(samples, self.images_per_block)
        store = RunStore(folder, [[sample.id for sample in block.samples] for block in blocks], workers.rank)
        if not workers.first:
            workers.wait()  # until the first process has claimed the folder
            store.collect()
            workers.wait()  # until all have seen the same blocks missing
            self._compute(store, blocks, workers, progress=False)
            workers.wait()
            return store
        with locked(folder):
            store.begin(config, resume=resume, overwrite=overwrite, readable=self._readable)
            workers.wait()
            workers.wait()
            begun, done = time.monotonic(), store.samples_done()
            self._compute(store, blocks, workers, progress)
            workers.wait()
            store.collect()
            store.finish()
            seconds = time.monotonic() - begun
            computed = len(samples) - done
            if computed:
                write_json(
                    folder / TIMING,
                    {
                        "seconds": round(seconds, 3),
                        "samples_computed": computed,
                        "samples_resumed": done,
                        "samples_per_second": round(computed / seconds, 3) if seconds else None,
                        "processes": workers.world,
                        "device": str(self.detector.model.device),
                    },
                )
        return store

    def _readable(self, image: str) -> bool:
        try:
            load_image(self.img_dir / image)
        except ImageError:
            return False
        return True

    def _compute(self, store: RunStore, blocks: list[Block], workers: Workers, progress: bool) -> None:
        from tqdm import tqdm

        mine = [blocks[number] for number in store.missing()[workers.rank :: workers.world]]
        total = (
            sum(len(block.samples) for block in blocks)
            if workers.world == 1
            else sum(len(block.samples) for block in mine)
        )
        with tqdm(
            total=total,
            initial=store.samples_done() if workers.world == 1 else 0,
            unit="pair",
            disable=not progress or not mine,
            dynamic_ncols=True,
            smoothing=0.1,
        ) as bar:
            for block, pictures in load_blocks(mine, self.img_dir, self.detector.model.preprocess, self.num_workers):
                lines = [to_line(record) for record in self._records(block, pictures)]
                store.append(block.number, lines, to_part=workers.world > 1)
                bar.update(len(block.samples))

    def _records(self, block: Block, pictures: list) -> list[dict[str, Any]]:
        """The block's records in the order of its samples."""
        good = [i for i, picture in enumerate(pictures) if not isinstance(picture, str)]
        row = {block.images[i]: n for n, i in enumerate(good)}
        reason = {block.images[i]: p for i, p in enumerate(pictures) if isinstance(p, str)}
        readable = [sample for sample in block.samples if sample.image in row]
        detections, references = {}, {}
        if readable:
            features = self.detector.encode_images([pictures[i] for i in good])
            encoded = self.detector.encode_captions([sample.caption for sample in readable])
            found = self.detector.detect_encoded(features[[row[sample.image] for sample in readable]], encoded)
            detections = {sample.id: detection for sample, detection in zip(readable, found, strict=True)}
            if self.get_refclipscore:
                references = reference_scores(self.detector, readable, [d.cosine for d in found])
        records = []
        for sample in block.samples:
            if sample.image in reason:
                # Without the folder: the same line wherever the pictures lie.
                records.append(skipped_record(sample, reason[sample.image].replace(f"{self.img_dir}{os.sep}", "")))
            else:
                records.append(
                    make_record(
                        sample,
                        detections[sample.id],
                        self.benchmark,
                        self.settings,
                        ref_clip_score=references.get(sample.id),
                    )
                )
        if self.entailment:
            add_nli_scores(readable, [record for record in records if "skipped" not in record], self.entailment)
        return records


def add_nli_scores(samples: Sequence[Sample], records: Sequence[dict[str, Any]], entailment: Entailment) -> None:
    """Set each record's nli_score: how far the caption's labelled misalignment entails the predicted words."""
    scores = entailment(
        [sample.label.lower() for sample in samples], [record["predicted_foil_word"] for record in records]
    )
    for record, score in zip(records, scores, strict=True):
        record["nli_score"] = score
