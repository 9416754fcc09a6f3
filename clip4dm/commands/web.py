"""A page to try it on: a picture, captions, and their words on colours. On this machine alone, without a network.

clip4dm web                                    drawn scenes, the model that comes along: no download
clip4dm web --backbone ViT-B-32 --port 8000    photographs

Other words for the misaligned ones are suggested where a visitor ticks it; with --suggest, and by the demo model, it is
ticked at first.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading

from clip4dm.commands.arguments import (
    add_method_options,
    add_model_options,
    add_score_options,
    add_verdict_options,
    detector_of,
)
from clip4dm.commands.cli import ArgumentParser, add_debug_option, check_extra, one_line_errors
from clip4dm.commands.suggesting import add_suggestion_options, asked_of, words_of
from clip4dm.errors import InputError
from clip4dm.evaluation import options
from clip4dm.models.names import DEMO

BACKBONE = DEMO
HOST = "127.0.0.1"


def parse_args(argv: list[str] | None = None, program: str | None = None) -> argparse.Namespace:
    """The options; a usage error ends the program with status 2. program: its name in the help (None: the script's).

    >>> parse_args(["--port", "8000"]).port
    8000
    """
    parser = ArgumentParser(program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = parser.add_argument_group("where")
    place.add_argument(
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help="the address it listens on; 0.0.0.0 lets in whoever reaches this machine (default: %(default)s)",
    )
    place.add_argument(
        "--port", type=options.PORT, metavar="N", help="the port (default: the first free one from 7860 on)"
    )
    add_model_options(parser, BACKBONE)
    method = add_method_options(parser)
    add_verdict_options(method)
    add_score_options(method)
    add_suggestion_options(parser)
    add_debug_option(parser)
    return parser.parse_args(options.arguments(argv))


def main(argv: list[str] | None = None, program: str = "clip4dm web") -> None:
    """Serve until a signal ends it. argv: None for the command line's. Errors: SystemExit, after a line.

    main(["--port", "8000"])
    """
    args = parse_args(argv, program)
    with one_line_errors(program, args.debug):
        check_extra("web", "gradio")
        check_place(args.host, args.port)
        words = words_of(args)
        from clip4dm.report.web.serving import served

        detector = detector_of(args, BACKBONE)
        with served(detector, args.host, args.port, asked_of(args, words, detector)) as address:
            print(f"{program}: open {address} in a browser; Ctrl-C ends it", file=sys.stderr, flush=True)
            threading.Event().wait()


def check_place(host: str, port: int | None) -> None:
    """Where it cannot listen, said before the model is loaded. Errors: InputError.

    >>> check_place("no.such.host.invalid", 8000)
    Traceback (most recent call last):
    clip4dm.errors.InputError: --host no.such.host.invalid is no IPv4 address of this machine
    """
    try:
        *_, address = socket.getaddrinfo(host, port or 0, socket.AF_INET, socket.SOCK_STREAM)[0]  # Gradio's: IPv4 alone
    except (OSError, UnicodeError):
        raise InputError(f"--host {host} is no IPv4 address of this machine") from None
    try:
        socket.create_server(address).close()
    except OSError as error:
        where = f"--port {port} of {host}" if port else f"--host {host}"
        reason = os.strerror(error.errno) if error.errno else str(error)  # Python adds the address to its own
        raise InputError(f"{where} cannot be listened on ({reason}); take another") from None
