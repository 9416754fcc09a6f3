"""Shards on Ray Data: a pool of actors, each with the model, on this machine or on a cluster.

Ray hands shards out and starts dead actors anew; it stores nothing. An actor writes its shard by the sink, as the local
engine does, and only the summary comes back: whatever dies, what is written stays, and what is not is done again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clip4dm.errors import CLIP4DMError
from clip4dm.files.streams import default_workers
from clip4dm.scoring.pairs import ScoringError
from clip4dm.scoring.sink import Sink
from clip4dm.scoring.temporary import is_left_behind
from clip4dm.scoring.writers import Summary

if TYPE_CHECKING:
    from clip4dm.scoring.inputs.base import Shard

OBJECT_STORE = 100 << 20  # bytes of shared memory; summaries alone go through it, and Ray wants 75 MiB at least
ENDING = 5.0  # seconds that actors may take to end, once Ray has
# Unless the user says otherwise: Ray prints and sends nothing, a shard may take hours, an actor may be killed while it
# loads, and actors are as important as other programs.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S": "-1",
    "RAY_DATA_MAX_CONSECUTIVE_ACTOR_INIT_DEATHS": "9",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}


@dataclass(frozen=True)
class Pool:
    """How many actors, and what each takes. gpus_per_actor: a share of a GPU, such as 0.5, or several.

    >>> Pool(actors=4, gpus_per_actor=0.5).actors
    4
    """

    actors: int = 1
    gpus_per_actor: float = 0.0


class Scorer:
    """An actor: the model, loaded once, and the shards that Ray hands it, one a call.

    recipe: of `CLIP4DM.from_pretrained`. folder: where the command was given, which relative paths begin from.

        Scorer({"backbone": "demo"}, sink, None, os.getcwd())({"shard": [pickle.dumps(shard)]})
    """

    def __init__(self, recipe: Mapping[str, Any], sink: Sink, workers: int | None, folder: str) -> None:
        from clip4dm.detector import CLIP4DM

        self.sink, self.workers = sink, workers
        self.error: str | None = None  # an actor that dies while it is made would be made again
        try:
            os.chdir(folder)
            sink.remove_left_behind()  # by the actor that was killed before this one, on the same machine
            self.detector = CLIP4DM.from_pretrained(**recipe)
            if self.detector.model.weights_sha256() != sink.made_by["weights_sha256"]:
                raise ScoringError(f"the weights on {socket.gethostname()} are not those that the command was given")
        except (CLIP4DMError, OSError) as error:
            self.error = str(error)

    def __call__(self, batch: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
        """A batch of one shard, pickled -> its Summary, or an error's text, pickled."""
        from clip4dm.scoring.work import score_shard

        (pickled,) = batch["shard"]
        shard: Shard = pickle.loads(pickled)
        result: Summary | str | None = self.error
        try:
            if result is None:  # stored: by an actor that was killed before it could say so
                result = self.sink.done(shard)
            if result is None or isinstance(result, Summary) and result.errors:
                result = score_shard(shard, self.detector, self.sink, self.workers)
        except (CLIP4DMError, OSError) as error:
            result = str(error)
        return {"summary": [pickle.dumps(result)]}


def run(
    shards: Sequence[Shard], recipe: Mapping[str, Any], sink: Sink, workers: int | None = None, pool: Pool | None = None
) -> Iterator[Summary]:
    """Score shards by a pool of actors, a summary each as it is done, in no order.

    recipe: of `CLIP4DM.from_pretrained`, the detector that `sink` was opened with. Where RAY_ADDRESS points, or else on
    this machine. Errors: ScoringError, with what an actor met first.

        for summary in run(found.shards(), {"backbone": "demo"}, sink, pool=Pool(actors=2)):
            print(summary.shard, summary.pairs, summary.errors)
    """
    pool = pool or Pool()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        with _session(pool) as cpus:
            yield from _summaries(shards, (recipe, sink, workers, os.getcwd()), pool, cpus)
    except BaseException:
        _wait_for_the_end(sink)
        raise
    finally:
        sink.remove_left_behind()


def _wait_for_the_end(sink: Sink) -> None:
    """Until nobody on this machine is at work on a shard: what is left then can be removed."""
    deadline = time.monotonic() + ENDING
    while time.monotonic() < deadline and not all(map(is_left_behind, sink.folder.glob(".*.tmp"))):
        time.sleep(0.05)


@contextlib.contextmanager
def _session(pool: Pool) -> Iterator[int]:
    """A Ray that is connected to, or of this machine's own until the block ends; the cores of an actor."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:  # what keeps a Ray on the loopback interface, on Linux too; read when Ray is imported
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if ray.is_initialized():
        yield 1
        return
    with contextlib.ExitStack() as stack:
        if address:
            stack.callback(ray.shutdown)
            ray.init(**quiet)
            yield 1
            return
        # Ray's sockets lie in there, whose paths may have 107 bytes.
        short = None if len(tempfile.gettempdir()) < 30 else "/tmp"
        folder = stack.enter_context(tempfile.TemporaryDirectory("", "ray", short, ignore_cleanup_errors=True))
        cores = default_workers()
        stack.callback(ray.shutdown)
        ray.init(
            "local",
            num_cpus=max(cores, pool.actors),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE,
            _temp_dir=folder,
            **quiet,
        )
        gpus = dict(ray.cluster_resources()).get("GPU", 0)  # type: ignore[no-untyped-call]
        if pool.actors * pool.gpus_per_actor > gpus:
            raise ScoringError(
                f"{pool.actors} actors with {pool.gpus_per_actor:g} GPUs each do not fit this machine's {gpus:g}: give "
                "fewer --actors or --gpus_per_actor, or RAY_ADDRESS of a cluster"
            )
        yield max(1, cores // pool.actors)


def _summaries(shards: Sequence[Shard], arguments: tuple[Any, ...], pool: Pool, cpus: int) -> Iterator[Summary]:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    dataset = ray.data.from_items(
        [{"shard": pickle.dumps(shard)} for shard in shards], override_num_blocks=len(shards)
    ).map_batches(
        Scorer,
        fn_constructor_args=arguments,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=pool.actors, max_tasks_in_flight_per_actor=1),
        num_cpus=cpus,
        num_gpus=pool.gpus_per_actor,
    )  # a dead actor is started again, and a shard given again, without limit: Ray Data's default
    try:
        for row in dataset.iter_rows():
            result = pickle.loads(row["summary"])
            if isinstance(result, str):
                raise ScoringError(result)
            yield result
    except ray.exceptions.RayError as error:
        raise ScoringError(f"Ray ended the run: {str(error).strip().splitlines()[-1]}") from error
