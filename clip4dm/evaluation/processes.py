"""Processes that end together, whatever ended the first of them."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time


def end_with_parent() -> None:
    """End this process as soon as its parent has ended, be it by kill -9: called in the child, returns at once.

    A child of multiprocessing waits at a pipe whose other end only the parent holds (and siblings forked later, which
    end the same way, the last one first), on any system. Another's child, such as torchrun's, asks who its parent is.
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
