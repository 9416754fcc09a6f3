"""SIGTERM and SIGHUP as Python raises Ctrl-C: a KeyboardInterrupt in the main thread, wherever it is."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """While this lasts, none of the three signals is lost."""
    def interrupt(number: int, _) -> None:
        raise KeyboardInterrupt(number)

    def lost(unraisable) -> None:
        """Where Python cannot raise, in a callback or in __del__, the signal is sent again a moment later."""
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            threading.Timer(0.05, os.kill, (os.getpid(), signal_of(unraisable.exc_value))).start()
        else:
            hook(unraisable)

    hook, sys.unraisablehook = sys.unraisablehook, lost
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in numbers
              if signal.getsignal(number) == signal.SIG_DFL}  # nohup ignores SIGHUP
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def signal_of(error: KeyboardInterrupt) -> int:
    """The number of the signal that was raised so: said with it, or Ctrl-C's."""
    return int(error.args[0]) if error.args else int(signal.SIGINT)
