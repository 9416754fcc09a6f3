"""The command `clip4dm`: infer, evaluate, ... The scripts infer.py and main.py of a checkout are the same functions."""

from __future__ import annotations

import sys
from importlib import import_module

from clip4dm import __version__
from clip4dm.commands.cli import run_command

COMMANDS = {
    "infer": "the words of a caption that are not true of a picture",
    "web": "the same on a page of your own browser: pictures, captions, sliders",
    "score": "any pairs of pictures and captions: a table, a folder, tar shards",
    "filter": "the scored pairs to keep: the best of each, a share, those above a score",
    "evaluate": "a benchmark's figures: FOIL, nocaps-FOIL, HAT, Rich-HF, SeeTRUE-Feedback",
    "report": "pages to send around: figures, plots and examples of what evaluate or score wrote",
}


def usage() -> str:
    """What `clip4dm --help` prints.

    >>> usage().splitlines()[0]
    'usage: clip4dm COMMAND ... | --version'
    """
    lines = [f"  {name:<10} {what}" for name, what in COMMANDS.items()]
    return "\n".join(["usage: clip4dm COMMAND ... | --version", "", *lines, "", "clip4dm COMMAND --help says more"])


def main() -> None:
    """Run a subcommand. Its module is imported when it is asked for: `--help` must not wait for torch.

    main()  # with `clip4dm --version` on the command line: clip4dm 0.1.0
    """
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--version":
        print(f"clip4dm {__version__}")
    elif name in COMMANDS:
        import_module(f"clip4dm.commands.{name}").main(rest, f"clip4dm {name}")
    else:
        print(f"{usage()}\nclip4dm: error: unknown command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)


def run() -> None:
    """The console script.

    run()  # what `clip4dm infer --demo` calls
    """
    run_command(main)
