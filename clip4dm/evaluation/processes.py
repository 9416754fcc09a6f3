"""The processes of a run: those of a torchrun, which share its blocks, and children that end with their parent."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clip4dm.errors import InputError, short_reason
from clip4dm.evaluation.store.runfiles import RunError

if TYPE_CHECKING:
    import torch


def end_with_parent() -> None:
    """End this process as soon as its parent has ended, be it by kill -9: called in the child, returns at once.

    A child of multiprocessing waits at a pipe whose other end only the parent holds (and siblings forked later, which
    end the same way, the last one first), on any system. Another's child, such as torchrun's, asks who its parent is.

        multiprocessing.Process(target=work).start()  # where work() begins with end_with_parent()
    """
    parent, number = multiprocessing.parent_process(), os.getppid()

    def watch() -> None:
        if parent is not None:
            parent.join()
        else:
            while os.getppid() == number:
                time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()


@dataclass(frozen=True)
class Workers:
    """This process among those of a torchrun: number `rank` of `world`, and number `local_rank` on its machine.

    >>> Workers(rank=1, world=4, local_rank=1).device("cuda"), ALONE.device("cuda")
    ('cuda:1', 'cuda')
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> Workers:
        """As torchrun says it through RANK, WORLD_SIZE and LOCAL_RANK. Errors: InputError for what it cannot say.

        workers = Workers.from_environment()
        """
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
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device asked for, that of this process where several share a machine's GPUs. name: "auto", "cuda", ..."""
        if self.world == 1 or name not in ("auto", "cuda"):
            return name
        import torch

        return f"cuda:{self.local_rank}" if name == "cuda" or torch.cuda.is_available() else name

    def start(self, device: torch.device) -> None:
        """Join the group: nccl for CUDA devices, gloo otherwise. Errors: RunError where that fails."""
        if self.world > 1:
            import torch

            if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun's child: killed, it could not end us any more
                end_with_parent()
            if device.type == "cuda":
                torch.cuda.set_device(device)
            # A process waits for the slowest at the end; the default of half an hour would end long runs.
            try:
                torch.distributed.init_process_group(
                    "nccl" if device.type == "cuda" else "gloo", timeout=datetime.timedelta(days=7)
                )
            except (ValueError, RuntimeError) as error:
                raise RunError(
                    f"process {self.rank} of {self.world} cannot join the others ({short_reason(error)}). torchrun "
                    "sets all that is needed; unset RANK and WORLD_SIZE to run in one process"
                ) from error

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.world > 1:
            import torch

            torch.distributed.barrier()

    def stop(self) -> None:
        """Leave the group."""
        if self.world > 1:
            import torch

            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


ALONE = Workers()
