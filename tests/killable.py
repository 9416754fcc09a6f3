"""Runs one evaluation again and again in forked children, and kills each with SIGKILL after a given delay.

    python tests/killable.py OPTIONS_JSON DELAY [DELAY ...]

torch is imported once; the children start from there, so that twenty kills take seconds. The last child is left
alone. Prints, for every child, the bytes of samples it left behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))


def main() -> None:
    import open_clip  # noqa: F401
    import torch

    from clip4dm.provenance import same_bits_for_any_threads
    from clip4dm.runs import Options, evaluate

    same_bits_for_any_threads()
    # A forked child of a process whose OpenMP threads have run would hang: there must be none.
    torch.set_num_threads(1)
    options = Options(**json.loads(sys.argv[1]))
    for delay in [float(text) for text in sys.argv[2:]] + [None]:
        child = os.fork()
        if child == 0:
            evaluate(options, say=lambda line: None)
            os._exit(0)
        if delay is not None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        stored = sum(path.stat().st_size for path in Path(options.output).rglob("samples*.jsonl"))
        print(json.dumps({"delay": delay, "status": status, "stored": stored}), flush=True)


if __name__ == "__main__":
    main()
