"""The run: every sample of a benchmark through the model once, its line stored, whatever interrupts.

    samples -> blocks of images -> cosine and attributions of every caption -> samples.jsonl -> result.json

Blocks, batches and their order follow from the annotation file alone, so that a run and a resumed run do the same
arithmetic and write the same bytes on the same machine. Several processes under torchrun compute the same blocks with
other numbers of threads: the same lines but for rounding (docs/numbers.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from clip4dm.benchmarks.base import Benchmark, Sample
from clip4dm.detector import CLIP4DM
from clip4dm.evaluation.loading import load_blocks
from clip4dm.evaluation.metrics.nli import Entailment
from clip4dm.evaluation.metrics.references import reference_scores
from clip4dm.evaluation.options import IMAGES_PER_BLOCK
from clip4dm.evaluation.plan import Block, plan_blocks
from clip4dm.evaluation.processes import ALONE, Workers
from clip4dm.evaluation.records import Settings, make_record, skipped_record, to_line
from clip4dm.evaluation.store.lock import locked
from clip4dm.evaluation.store.runfiles import TIMING, write_json
from clip4dm.evaluation.store.runstore import RunStore
from clip4dm.files.images import ImageError, load_image


@dataclass(frozen=True)
class Evaluation:
    """What a run needs beside its samples.

    detector: explaining all its text layers, so that any number of them can be averaged afterwards. entailment: of
    an NLI model, where the benchmark asks for one. num_workers: processes that decode pictures (0: this one does).

        Evaluation(detector, benchmark, settings, Path("data/val2014")).run(reading.samples, folder, config)
    """

    detector: CLIP4DM
    benchmark: Benchmark
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
        config: Mapping[str, Any],
        *,
        workers: Workers = ALONE,
        resume: bool = True,
        overwrite: bool = False,
        progress: bool = True,
    ) -> RunStore:
        """Compute what is missing, merge, and leave a complete samples.jsonl in the folder.

        config: of `run_config`. workers: this process among others that were given the same samples. progress: show a
        bar. Errors: RunError where the folder is another run's, cannot be written, or decoding processes end.

            store = evaluation.run(samples, folder, config, progress=False)
        """
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
            if done < len(samples):
                self._write_timing(folder, time.monotonic() - begun, len(samples) - done, done, workers.world)
        return store

    def _write_timing(self, folder: Path, seconds: float, computed: int, resumed: int, processes: int) -> None:
        timing = {
            "seconds": round(seconds, 3),
            "samples_computed": computed,
            "samples_resumed": resumed,
            "samples_per_second": round(computed / seconds, 3) if seconds else None,
            "processes": processes,
            "device": str(self.detector.model.device),
        }
        write_json(folder / TIMING, timing)

    def _readable(self, image: str) -> bool:
        try:
            load_image(self.img_dir / image)
        except ImageError:
            return False
        return True

    def _compute(self, store: RunStore, blocks: list[Block], workers: Workers, progress: bool) -> None:
        """Compute and store this process's share of the missing blocks."""
        mine = [blocks[number] for number in store.missing()[workers.rank :: workers.world]]
        alone = workers.world == 1
        with tqdm(
            total=sum(len(block.samples) for block in (blocks if alone else mine)),
            initial=store.samples_done() if alone else 0,
            unit="pair",
            disable=not progress or not mine,
            dynamic_ncols=True,
            smoothing=0.1,
        ) as bar:
            for block, pictures in load_blocks(mine, self.img_dir, self.detector.model.preprocess, self.num_workers):
                lines = [to_line(record) for record in self._records(block, pictures)]
                store.append(block.number, lines, to_part=not alone)
                bar.update(len(block.samples))

    def _records(self, block: Block, pictures: list[Tensor | str]) -> list[dict[str, Any]]:
        """The block's records in the order of its samples. pictures: (3, size, size) each, or why there is none."""
        found = dict(zip(block.images, pictures, strict=True))
        readable = [sample for sample in block.samples if not isinstance(found[sample.image], str)]
        scored = dict(zip((sample.id for sample in readable), self._scored(readable, found), strict=True))
        if self.entailment:
            add_nli_scores(readable, list(scored.values()), self.entailment)
        # Without the folder: the same line wherever the pictures lie.
        reasons = {
            image: text.replace(f"{self.img_dir}{os.sep}", "") for image, text in found.items() if isinstance(text, str)
        }
        return [scored.get(sample.id) or skipped_record(sample, reasons[sample.image]) for sample in block.samples]

    def _scored(self, samples: Sequence[Sample], pictures: Mapping[str, Tensor | str]) -> Iterator[dict[str, Any]]:
        """The records of samples whose pictures could be read, their nli_score not set yet."""
        if not samples:
            return
        pixels = {image: picture for image, picture in pictures.items() if isinstance(picture, Tensor)}
        row = {image: number for number, image in enumerate(pixels)}
        features = self.detector.encode_images(list(pixels.values()))  # (images, features)
        encoded = self.detector.encode_captions([sample.caption for sample in samples])
        detections = self.detector.detect_encoded(features[[row[sample.image] for sample in samples]], encoded)
        references: dict[str, float | None] = {}
        if self.get_refclipscore:
            references = reference_scores(self.detector, samples, [detection.cosine for detection in detections])
        for sample, detection in zip(samples, detections, strict=True):
            reference = references.get(sample.id)
            yield make_record(sample, detection, self.benchmark, self.settings, ref_clip_score=reference)


def add_nli_scores(samples: Sequence[Sample], records: Sequence[dict[str, Any]], entailment: Entailment) -> None:
    """Set each record's nli_score: how far the caption's labelled misalignment entails the predicted words.

    >>> sample = Sample("1", "cup.jpg", "cup", "a red cup", True, (), "The cup is blue")
    >>> records: list[dict[str, Any]] = [{"predicted_foil_word": "red"}]
    >>> add_nli_scores([sample], records, lambda premises, hypotheses: [0.5 for _ in premises]); records[0]["nli_score"]
    0.5
    """
    scores = entailment(
        [sample.label.lower() for sample in samples], [record["predicted_foil_word"] for record in records]
    )
    for record, score in zip(records, scores, strict=True):
        record["nli_score"] = score
