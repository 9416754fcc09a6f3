"""Processes that end with the one that started them, killed without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from killable import members
from places import ROOT

FORKED = """
import multiprocessing, os
def child(number):
    end_with_parent()
    os.write(1, b"ready\\n")  # whole, beside the others'
    time.sleep(600)
for number in range(3):
    multiprocessing.get_context("fork").Process(target=child, args=(number,)).start()
"""
STARTED = """
import subprocess
code = "import os, time; from clip4dm.evaluation.processes import end_with_parent as end; end(); os.write(1, b'ready' + bytes([10])); time.sleep(600)"
for number in range(3):
    subprocess.Popen([sys.executable, "-c", code])
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("children", [FORKED, STARTED], ids=["multiprocessing", "others"])
def test_children_end_with_their_parent(children, how):
    code = f"import sys, time\nfrom clip4dm.evaluation.processes import end_with_parent\n{children}\ntime.sleep(600)\n"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, process_group=0) as parent:
        too_long = threading.Timer(120, os.killpg, (parent.pid, signal.SIGKILL))  # a child that dies says nothing
        too_long.start()
        for _ in range(3):
            assert parent.stdout.readline() == b"ready\n"
        too_long.cancel()
        assert len(members(parent.pid)) == 4
        os.kill(parent.pid, how)
        deadline = time.monotonic() + 20
        while members(parent.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        left = members(parent.pid)
        if left:
            os.killpg(parent.pid, signal.SIGKILL)
        assert not left
