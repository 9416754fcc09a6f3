"""A signal that a program gets at a chosen moment: when it renames a file, forks, imports."""

from __future__ import annotations

# Python reads this before the program: at the first audit event (python.org: "Audit events table") of that name whose
# arguments contain the text, the process gets the signal.
AT = """
import os, signal, sys
event, text, number = os.environ["SIGNAL_AT"].split("|")
program, done = os.getpid(), []
signal.signal(signal.SIGINT, signal.default_int_handler)  # even where the tests themselves run in the background
def hook(name, arguments):
    if name == event and text in repr(arguments) and not done and os.getpid() == program:
        done.append(True)
        os.kill(program, int(number))
sys.addaudithook(hook)
"""
