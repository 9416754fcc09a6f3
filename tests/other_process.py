"""What another process, with another hash seed, makes of the same seeds."""

from __future__ import annotations

import subprocess
import sys

from places import ROOT


def made_elsewhere(module: str, function: str) -> str:
    """What a function of a module of tests/benchmarks returns there, as text."""
    code = (
        "import sys; sys.path[:0] = ['tests/benchmarks', 'tests', 'misc', '.']\n"
        f"import {module}; print({module}.{function}())"
    )
    command = [sys.executable, "-c", code]
    environment = {"PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    return done.stdout.strip()
