"""`python -m clip4dm`: the same as the command clip4dm."""

from clip4dm.commands.main import run

if __name__ == "__main__":
    run()
