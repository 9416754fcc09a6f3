"""The page of `clip4dm web` as a process of its own, and its address."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def running(folder, *options):
    """The command. folder: for its temporary files."""
    port = free_port()
    command = [sys.executable, "-m", "clip4dm", "web", "--port", str(port), "--device", "cpu", *options]
    with started(command, {"TMPDIR": str(folder)}) as (process, url, line):
        yield SimpleNamespace(process=process, url=url, port=port, folder=folder, said=line)


@contextmanager
def started(command, environment, cwd=None):
    """Any command that says where its page is: (process, address, the line that said it). Its end is waited for."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd)
    try:
        line = process.stderr.readline()
        address = re.search(r"http://\S+/", line)
        assert address, line + process.stderr.read()
        yield process, address[0], line
    finally:
        process.terminate()
        process.communicate(timeout=60)
