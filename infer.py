"""Which words of a caption are not true of a picture: `python infer.py --help`. The same as `clip4dm infer`."""

from clip4dm.commands.cli import run_command
from clip4dm.commands.infer import main

if __name__ == "__main__":
    run_command(main)
