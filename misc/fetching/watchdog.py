"""An end to answers that never end: a connection that makes no headway by its deadline is cut.

httpx's time-outs are those of a single read, so that a header byte a second, or "100 Continue" for ever, never ends
them. Its trace extension tells which connections a client makes; of one client with one request at a time, all that
it has open are shut down when the request is late, and the read that waits for the server ends with an error.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import weakref
from typing import Any


class Watchdog:
    """Looks after any number of clients, a `Watch` each. seconds: what a step may take."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.watches, self.closed = seconds, [], threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def watch(self) -> Watch:
        watch = Watch(self.seconds)
        self.watches.append(watch)
        return watch

    def cut_all(self) -> None:
        for watch in list(self.watches):
            watch.cut()

    def close(self) -> None:
        self.closed.set()

    def _look(self) -> None:
        while not self.closed.wait(min(1.0, max(0.02, self.seconds / 10))):
            for watch in list(self.watches):
                if watch.late:
                    watch.cut()  # again at every look: a connection may be made only after the deadline


class Watch:
    """One client's connections. trace: to be given to its requests, as the extension of that name."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.deadline, self.was_cut = seconds, float("inf"), False
        self.streams, self.lock = weakref.WeakSet(), threading.Lock()

    @property
    def late(self) -> bool:
        return time.monotonic() > self.deadline

    def begin(self) -> None:
        """A step begins (again): it has so many seconds from now."""
        self.was_cut, self.deadline = False, time.monotonic() + self.seconds

    def end(self) -> None:
        self.deadline = float("inf")

    def trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self.lock:
                self.streams.add(info["return_value"])

    def cut(self) -> None:
        self.was_cut = True
        with self.lock:
            for stream in self.streams:
                with contextlib.suppress(OSError):  # it is closed already
                    # The plain socket's method, also of a TLS one: what a thread reads from is not changed under it.
                    socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)
