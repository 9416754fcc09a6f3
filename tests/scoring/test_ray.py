"""--engine ray: the same scores as the local engine's, whatever is killed on the way, and nothing left over.

KILLS=3 python -m pytest tests/scoring/test_ray.py: as many processes are killed, not twenty, which takes a minute more.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from drawn_pairs import write_tars
from places import ROOT
from same_rows import assert_same_rows

from clip4dm.scoring.engines.ray import Scorer
from clip4dm.scoring.inputs.recognise import open_input
from clip4dm.scoring.sink import open_sink

KILLS = int(os.environ.get("KILLS", 20))
SHARDS = 30
RECIPE = {"backbone": "demo", "device": "cpu", "batch_size": 8}
MODEL = ("--backbone", "demo", "--device", "cpu", "--batch_size", "8", "--num_workers", "1")
CLUSTER = """
import ray, sys
node = ray.init(
    "local", num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False,
    _node_ip_address="127.0.0.1", _temp_dir=sys.argv[1],
)
print(node.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def tars(pictures, pairs, tmp_path_factory) -> str:
    return write_tars(tmp_path_factory.mktemp("tars"), pictures, pairs[:10] * SHARDS, per_tar=10)


@pytest.fixture(scope="module")
def undisturbed(tars, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "scores"
    done = subprocess.run(spelled(tars, output, engine="local"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def cluster():
    """The address of a Ray that is there already."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    folder = tempfile.mkdtemp("", "ray")
    held = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    yield held.stdout.readline().strip()
    held.communicate("")
    shutil.rmtree(folder, ignore_errors=True)


def spelled(tars: str, output: Path, *options: str, engine: str = "ray") -> list[str]:
    base = [sys.executable, "-m", "clip4dm", "score", tars, "--output", str(output), *MODEL, "--engine", engine]
    return [*base, *(["--actors", "2"] if engine == "ray" else []), *options]


def working(output: Path) -> list[tuple[str, int]]:
    """(shard, process id) of what is being written."""
    parts = [path.name.split(".") for path in output.glob(".*.parquet.*.tmp")]
    return [(part[1], int(part[-2])) for part in parts]


def listens(pid: int) -> list[str]:
    """The addresses at which a process waits for others, in hexadecimal digits."""
    sockets = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
    lines = [line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/net/{kind}").read_text().splitlines()]
    return [one[1].partition(":")[0] for one in lines if one[3] == "0A" and f"socket:[{one[9]}]" in sockets]


def runs(pid: int) -> bool:
    """Not ended, nor ended and waited for by nobody."""
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


@pytest.mark.slow
def test_ctrl_c_and_again(tars, undisturbed, tmp_path):
    """On this machine, without a cluster: ends with a line, and without a process or a file left; then goes on."""
    output, temporary = tmp_path / "scores", tmp_path / "t"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    environment.pop("RAY_ADDRESS", None)
    run = subprocess.Popen(
        spelled(tars, output), stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    while not working(output) and run.poll() is None:
        time.sleep(0.005)
    workers = {pid for _, pid in working(output)}
    addresses = [address for pid in {run.pid, *workers} for address in listens(pid)]
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    said = run.communicate()[1]
    assert run.returncode == 128 + signal.SIGINT, said
    assert said.splitlines()[-1] == "clip4dm: interrupted" and "Traceback" not in said
    assert workers and not working(output)
    assert addresses and all(address.endswith("0100007F") for address in addresses)  # 127.0.0.1, as Linux writes it
    while any(runs(pid) for pid in workers):  # they end a moment later, if at all
        time.sleep(0.01)
    done = subprocess.run(spelled(tars, output), capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout == f"{SHARDS * 10} pairs in {SHARDS} shards in {output}\n", done.stderr
    noise = [line for line in re.split(r"[\r\n]+", done.stderr) if line and not re.search(r"pairs?/s|s/pair", line)]
    assert len(noise) <= 2, noise  # what is stored already; Ray's word that its log level was set
    assert not list(temporary.glob("ray*"))
    assert_same_rows(output, undisturbed)


@pytest.mark.slow
def test_the_dead_are_replaced(tars, undisturbed, cluster, tmp_path):
    """kill -9 of the command, then of actors: one in the midst of a shard, others at any moment, all in one run."""
    kills = (["driver", "writing", "actor", "actor"] * KILLS)[:KILLS]
    plan = {"mode": "ray", "kills": kills, "seed": 16}
    output = tmp_path / "scores"
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "scoring" / "killing.py", json.dumps(plan), *spelled(tars, output)[4:]],
        capture_output=True,
        text=True,
        env={**os.environ, "RAY_ADDRESS": cluster},
    )
    assert done.returncode == 0, done.stderr + output.with_name("scores.stderr").read_text()
    *killed, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [kill["victim"] for kill in killed] == kills and last == {"statuses": [0]}
    at_work = [kill for kill in killed if kill["victim"] == "writing"]
    assert at_work and all(kill["writing"] for kill in at_work)
    assert_same_rows(output, undisturbed)


@pytest.fixture
def scorer(demo, tars, tmp_path):
    """(an actor without Ray, its sink, a function from a shard to what the actor says)."""
    found = open_input([tars])
    sink = open_sink(tmp_path / "scores", found, demo)
    sink.prepare()

    def ask(shard, recipe=RECIPE, sink=sink, folder=str(tmp_path)):
        here = os.getcwd()
        try:
            (said,) = Scorer(recipe, sink, 1, folder)({"shard": [pickle.dumps(shard)]})["summary"]
        finally:
            os.chdir(here)
        return pickle.loads(said)

    return found.shards(), sink, ask


def test_an_actor_does_not_score_what_is_stored(scorer):
    """Its predecessor was killed after it had stored the shard, before it could say so."""
    shards, sink, ask = scorer
    summary = ask(shards[3])
    assert summary == sink.done(shards[3]) and summary.pairs == 10
    before = sink.path(shards[3]).stat().st_mtime_ns
    assert ask(shards[3]) == summary and sink.path(shards[3]).stat().st_mtime_ns == before


def test_what_an_actor_cannot_do_it_says(scorer, tiny_folder, tmp_path):
    shards, sink, ask = scorer
    assert "the weights on" in ask(shards[0], recipe={"pretrained": str(tiny_folder), "device": "cpu"})
    assert "nowhere" in ask(shards[0], folder=str(tmp_path / "nowhere"))
    assert "no model" in ask(shards[0], recipe={"backbone": "no model"})
    Path(shards[1].path).rename(tmp_path / "away.tar")
    said = ask(shards[1])
    (tmp_path / "away.tar").rename(shards[1].path)
    assert shards[1].path in said and sink.done(shards[1]) is None


def test_actors_are_of_ray_alone(command, tmp_path, capsys):
    assert command("photos", "--output", tmp_path / "scores", "--actors", "2") == 2
    assert "--actors and --gpus_per_actor are for --engine ray" in capsys.readouterr().err
