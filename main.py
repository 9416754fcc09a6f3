"""Evaluate on FOIL, nocaps-FOIL, HAT, Rich-HF or SeeTRUE: `python main.py --help`. The same as `clip4dm evaluate`."""

from clip4dm.commands.cli import run_command
from clip4dm.commands.evaluate import main

if __name__ == "__main__":
    run_command(main)
