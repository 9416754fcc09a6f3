"""`clip4dm web` before there is a page: help that waits for nothing, and what stands in its way, in one line."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest

from clip4dm.commands import cli, web


def test_help_waits_for_neither_torch_nor_gradio():
    code = (
        "import sys\nfrom clip4dm.commands import web\n"
        "try: web.main(['--help'])\nexcept SystemExit: print(sorted({'torch', 'gradio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]" and "--port" in done.stdout


def ended(capsys, *options):
    with pytest.raises(SystemExit) as stop:
        web.main(list(options))
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_without_gradio_it_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert ended(capsys) == "clip4dm web: error: this needs gradio, not installed here: pip install 'clip4dm[web]'"


def test_where_it_cannot_listen_is_said_before_the_model_is_loaded(capsys, monkeypatch):
    monkeypatch.setattr(web, "check_extra", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = ended(capsys, "--port", str(port), "--backbone", "no such model")
    reason = os.strerror(errno.EADDRINUSE)
    assert said == f"clip4dm web: error: --port {port} of 127.0.0.1 cannot be listened on ({reason}); take another"
    assert "--host 192.0.2.1 cannot be listened on" in ended(capsys, "--host", "192.0.2.1")
    for host in ("a.invalid", "::1"):
        assert f"--host {host} is no IPv4 address" in ended(capsys, "--host", host)
    for port in ("0", "65536", "x"):
        assert "is not a whole number from 1 to 65535" in ended(capsys, "--port", port)
