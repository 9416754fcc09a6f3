"""How fast small files come, and what memory that takes: many pictures from a server on this machine.

    python misc/benchmark_fetch.py --files 5000

The server is another process; the seconds are those of a whole call as the download scripts make it, each picture
decoded once and listed in the manifest. A second call then looks at all files again.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from clip4dm.commands.cli import ArgumentParser, add_debug_option, one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, PIXELS
from clip4dm.evaluation.processes import end_with_parent


def serve(port, side: int) -> None:
    """Serve one drawn picture under every name. port: a queue that gets the port number."""
    from clip4dm.benchmarks.shapes.drawing import draw
    from clip4dm.benchmarks.shapes.scenes import sample_scene

    end_with_parent()
    file = io.BytesIO()
    draw(sample_scene(0), side).save(file, "JPEG")
    body = file.getvalue()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are written apart: they need not wait for each other

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    port.put((server.server_address[1], len(body)))
    server.serve_forever()


def resident_mb() -> float:
    """This process's resident memory, in MB (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=AT_LEAST_ONE, default=5000, help="default: %(default)s")
    parser.add_argument("--workers", type=AT_LEAST_ONE, default=8, help="default: %(default)s")
    parser.add_argument("--side", type=PIXELS, default=128, help="of the pictures, pixels (default: %(default)s)")
    add_debug_option(parser)
    args = parser.parse_args(argv)
    with one_line_errors("benchmark_fetch.py", args.debug):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    from fetching.fetch_folder import Wanted, fetch_all
    from fetching.folder import FetchError

    port = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(port, args.side), daemon=True)
    server.start()
    number, size = port.get()
    wanted = [Wanted(f"{i:06d}.jpg", f"http://127.0.0.1:{number}/{i}") for i in range(args.files)]
    with tempfile.TemporaryDirectory() as folder:
        memory, stop = [], threading.Event()

        def watch() -> None:
            while not stop.wait(0.1):
                memory.append(resident_mb())

        threading.Thread(target=watch, daemon=True).start()
        for what in ("fetched", "looked at again"):
            memory.clear()
            began = time.perf_counter()
            summary = fetch_all(wanted, Path(folder), workers=args.workers, quiet=True)
            seconds = time.perf_counter() - began
            if not summary.complete:
                raise FetchError(f"the benchmark's own server failed: {list(summary.failed.items())[:3]}")
            memory.append(resident_mb())  # of a short call this is all there is
            tenth = len(memory) // 10
            print(
                f"{args.files} files of {size} bytes {what} in {seconds:.1f} s: {args.files / seconds:.0f} files/s, "
                f"{args.workers} workers; resident memory {memory[tenth]:.0f} MB after a tenth of the time, "
                f"{memory[-1]:.0f} MB at the end, {max(memory):.0f} MB at most"
            )
        stop.set()
    server.terminate()


if __name__ == "__main__":
    run_command(main)
