"""Runs one evaluation again and again in forked children, and kills each with SIGKILL a moment after it stored more.

    python tests/killable.py OPTIONS_JSON DELAY [DELAY ...]

A child is killed DELAY seconds after its first new bytes, wherever that finds it: computing, writing, between
two blocks. torch is imported once; the children start from there, so that twenty kills take seconds. The last child
is left alone. Prints, for every child, how it ended and the bytes of samples it left behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))


def size_of(output: str) -> int:
    return sum(path.stat().st_size for path in Path(output).rglob("samples*.jsonl"))


def main() -> None:
    import open_clip  # noqa: F401
    import torch

    from clip4dm.runs import Options, evaluate

    # A forked child of a process whose OpenMP threads have run would hang: there must be none.
    torch.set_num_threads(1)
    options = Options(**json.loads(sys.argv[1]))
    stored = 0
    for delay in [float(text) for text in sys.argv[2:]] + [None]:
        child = os.fork()
        if child == 0:
            evaluate(options, say=lambda line: None)
            os._exit(0)
        ended, status = 0, 0
        if delay is not None:
            while not ended and size_of(options.output) <= stored:
                time.sleep(0.0005)
                ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                time.sleep(delay)
                os.kill(child, signal.SIGKILL)
        if not ended:
            _, status = os.waitpid(child, 0)
        stored = size_of(options.output)
        print(json.dumps({"delay": delay, "status": status, "stored": stored}), flush=True)


if __name__ == "__main__":
    main()
