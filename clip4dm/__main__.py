"""`python -m clip4dm`: the same as the command clip4dm."""

import sys

from clip4dm.commands.main import run

if __name__ == "__main__":
    sys.argv[0] = "clip4dm"  # as it is called in what is said at an end by a signal
    run()
