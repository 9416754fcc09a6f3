"""The page of `clip4dm web` as a Hugging Face Space, whose own proxy stands before it: it listens on all addresses."""

from __future__ import annotations

import os

from clip4dm.commands.cli import run_command
from clip4dm.commands.web import main

if __name__ == "__main__":
    port, backbone = os.environ.get("GRADIO_SERVER_PORT", "7860"), os.environ.get("BACKBONE", "demo")
    run_command(lambda: main(["--host", "0.0.0.0", "--port", port, "--backbone", backbone], "app.py"))
