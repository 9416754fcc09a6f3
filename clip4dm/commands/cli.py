"""What the scripts share on the command line: options, errors as one line, and how they end.

if __name__ == "__main__":
    run_command(main)
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from clip4dm.errors import CLIP4DMError, InputError

ENDINGS = {
    getattr(signal, name): word
    for name, word in (("SIGINT", "interrupted"), ("SIGTERM", "terminated"), ("SIGHUP", "hung up"))
    if hasattr(signal, name)
}
PATIENCE = 10.0  # seconds that a command may take to tidy up after such a signal
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # names in a message are anybody's: none moves the cursor
READER_GONE = 128 + 13  # the status of a command whose pipe was closed, as by `| head -1`: 13 is SIGPIPE


def add_debug_option(parser: argparse.ArgumentParser) -> None:
    """--debug, for `one_line_errors`.

    >>> parser = argparse.ArgumentParser()
    >>> add_debug_option(parser); parser.parse_args(["--debug"])
    Namespace(debug=True)
    """
    parser.add_argument("--debug", action="store_true", help="show where an error came from, with its traceback")


def check_extra(extra: str, *modules: str) -> None:
    """Whether what an extra of the package brings is installed. Errors: InputError with the command that installs it.

    >>> check_extra("eval", "json")
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise InputError(f"this needs {', '.join(missing)}, not installed here: pip install 'clip4dm[{extra}]'")


@contextlib.contextmanager
def one_line_errors(program: str, debug: bool = False) -> Iterator[None]:
    """What the package or the system says no to ends the program with one line and status 2; warnings are a line each.

    debug: with the traceback instead. Anything else is a bug and keeps its traceback. Errors: SystemExit.

    >>> with one_line_errors("infer.py"):
    ...     raise InputError("what was given, what is allowed")
    Traceback (most recent call last):
    SystemExit: 2
    """

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        tell(f"{program}: note: {message}")

    previous, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    except BrokenPipeError:
        raise  # nobody reads on: no error, and for run_command to end
    except (CLIP4DMError, OSError) as error:
        if debug:
            raise
        tell(f"{program}: error: {error}")
        raise SystemExit(2) from None
    finally:
        warnings.showwarning = previous


def tell(line: str) -> None:
    """A line to standard error; where that cannot be written, there is nobody to tell.

    tell("main.py: note: 3 words were not scored")
    """
    with contextlib.suppress(OSError):
        print(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", line), file=sys.stderr, flush=True)


class Ended(KeyboardInterrupt):
    """A signal of ENDINGS, raised in the main thread as Python raises Ctrl-C. args: its number.

    >>> signal_of(Ended(15))
    15
    """


def signal_of(error: KeyboardInterrupt) -> int:
    """The number of the signal that was raised so: said with it, or Ctrl-C's.

    >>> signal_of(KeyboardInterrupt()) == signal.SIGINT
    True
    """
    return int(error.args[0]) if error.args else int(signal.SIGINT)


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, but that a help text which cannot be written is an error, which argparse passes over.

    >>> ArgumentParser("infer.py").prog
    'infer.py'
    """

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            (file or sys.stderr).write(message)


def run_command(main: Callable[[], int | None]) -> None:
    """Run a script's main, which may return an exit status, and end as a shell expects.

    Ctrl-C, SIGTERM and SIGHUP: one line, status 128 + the signal's number. Standard output closed by its reader: status
    141, silently; not to be written (a full disk): one line, status 1; closed from the start: taken for /dev/null.

        run_command(main)  # under `if __name__ == "__main__":`
    """
    program = Path(sys.argv[0]).name
    _replace_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # every line is out at once, in files and pipes too
    if not sys.stderr.isatty():  # a progress bar in a log: twice a minute instead of ten times a second
        os.environ.setdefault("TQDM_MININTERVAL", "30")
        os.environ.setdefault("TQDM_MAXINTERVAL", "30")
    caught: list[int] = []
    try:
        _raise_signals(program, caught)
        try:
            status = main()
            _flush(program)
            if status:
                _leave(status)
        except SystemExit as stop:
            if stop.code:
                _leave(stop.code)
            _flush(program)
        except BrokenPipeError:
            _leave(READER_GONE)
        except OSError as error:
            if error.errno != errno.ENOSPC or error.filename is not None:
                raise
            _not_written(program, error)  # --help, which earlier argparses do not print past a full disk
        for number in ENDINGS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)  # Python's own end takes a moment and must not be raised into
    except BaseException:
        if caught:  # whatever the libraries in between made of it
            _end(program, caught[0])
        raise


def _flush(program: str) -> None:
    """Write what was printed; where that fails, say so now: Python would at its own end, with a traceback."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _leave(READER_GONE)
    except OSError as error:
        _not_written(program, error)


def _not_written(program: str, error: OSError) -> NoReturn:
    tell(f"{program}: error: standard output cannot be written: {error.strerror}")
    _leave(1)


def _leave(status: int | str) -> NoReturn:
    """Exit without Python's own end, in which what an error left half-built complains, or waits for others."""
    if isinstance(status, str):
        tell(status)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(1 if isinstance(status, str) else status)


def _replace_closed_streams() -> None:
    """Open /dev/null for a stream that the shell closed (`>&-`): the next file opened would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


def _raise_signals(program: str, caught: list[int]) -> None:
    """From now on a signal of ENDINGS is noted and raised as Ended; the second one ends the process at once.

    So do PATIENCE seconds after the first: Python raises nothing while the main thread waits in a library's C code (for
    torchrun's other processes, say), and an `except:` somewhere may have swallowed it.
    """
    mine = [number for number in ENDINGS if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores SIGHUP

    def handle(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > 1 or _importing(frame):  # there is nothing to tidy up yet, and C++ that starts may abort
            _end(program, number)
        raise Ended(number)

    def watch(arrived: int) -> None:
        number = os.read(arrived, 1)[0]
        while number not in mine:  # SIGCHLD, say
            number = os.read(arrived, 1)[0]
        time.sleep(PATIENCE)
        _end(program, number)

    # An exception that Python cannot raise: from a callback or a __del__.
    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        if caught:  # the signal's, or of what is being torn down for it
            _end(program, caught[0])
        sys.__unraisablehook__(unraisable)

    def forget() -> None:
        signal.set_wakeup_fd(-1)
        for number in mine:
            signal.signal(number, signal.SIG_DFL)

    for number in mine:
        signal.signal(number, handle)
    arrived, arriving = os.pipe()
    os.set_blocking(arriving, False)
    signal.set_wakeup_fd(arriving, warn_on_full_buffer=False)
    threading.Thread(target=watch, args=(arrived,), daemon=True, name="signals").start()
    sys.unraisablehook = lost
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)  # a forked child is another program: its signals are its own


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and "importlib._bootstrap" not in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None


def _end(program: str, number: int) -> NoReturn:
    """End here and now: what a run must not lose is on the disk already, and its workers end with it."""
    with contextlib.suppress(OSError):  # not by print, which may be at work below a signal's handler
        os.write(2, f"\n{program}: {ENDINGS[number]}\n".encode())  # a new line: a progress bar or ^C may stand there
    os._exit(128 + number)
