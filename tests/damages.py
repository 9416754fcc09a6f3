"""What may happen to the files of a finished run of 16 lines in blocks of 4, and what its readers say then."""

from __future__ import annotations

import base64
import hashlib
import json
import os

from clip4dm.evaluation.records import from_line
from clip4dm.evaluation.store.checksums import BlockSum

IMAGES, PER_BLOCK = 8, 2


def edited(change):
    """Damage: samples.jsonl with `change` applied to its lines."""

    def damage(run):
        lines = (run / "samples.jsonl").read_bytes().splitlines(keepends=True)
        (run / "samples.jsonl").write_bytes(b"".join(change(lines)))

    return damage


def digit_changed(lines):
    """One digit of line 7's cosine, as an editor would."""
    line = from_line(lines[6])
    old = f'"cosine":{line["cosine"]!r}'.encode()
    assert old in lines[6]
    other = b"1" if old.endswith(b"0") else b"0"
    return [*lines[:6], lines[6].replace(old, old[:-1] + other), *lines[7:]]


def with_sums(change):
    """Damage by someone who also wrote the checksums anew: line 7 as `change` makes it of its record."""

    def damage(run):
        lines = (run / "samples.jsonl").read_bytes().splitlines(keepends=True)
        record = json.loads(lines[6])
        made = change(record)
        lines[6] = (made if isinstance(made, bytes) else json.dumps(record).encode()) + b"\n"
        write_with_sums(run, lines)

    return damage


def write_with_sums(run, lines, per_block=2 * PER_BLOCK):
    blocks = [b"".join(lines[i : i + per_block]) for i in range(0, len(lines), per_block)]
    (run / "samples.jsonl").write_bytes(b"".join(lines))
    (run / "samples.sums").write_bytes(b"".join(BlockSum.of(i, b).to_line() for i, b in enumerate(blocks)))
    result = json.loads((run / "result.json").read_text())
    result["samples"] = {"lines": len(lines), "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    (run / "result.json").write_text(json.dumps(result))


def content(name, text):
    return lambda run: (run / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def replaced(name, old, new):
    def damage(run):
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return damage


DAMAGES = {
    "line lost": (edited(lambda lines: lines[:5] + lines[6:]), "samples.jsonl, lines 5 to 8: not what was stored"),
    "first line lost": (edited(lambda lines: lines[1:]), "samples.jsonl, lines 1 to 4: not what was stored"),
    "last line lost": (edited(lambda lines: lines[:-1]), "samples.jsonl, lines 13 to 16: not what was stored"),
    "last block lost": (edited(lambda lines: lines[:-4]), "samples.jsonl, line 13: the file ends here, before block 3"),
    "doubled": (edited(lambda lines: lines[:6] + lines[5:]), "samples.jsonl, lines 5 to 8: not what was stored"),
    "last doubled": (
        edited(lambda lines: lines + lines[-1:]),
        "samples.jsonl, line 17: the run has 16 samples, and some",
    ),
    "swapped": (edited(lambda lines: [*lines[:9], lines[10], lines[9], *lines[11:]]), "lines 9 to 12: not what"),
    "blocks swapped": (edited(lambda lines: lines[4:8] + lines[:4] + lines[8:]), "lines 1 to 4: not what was stored"),
    "emptied": (edited(lambda lines: []), "samples.jsonl, line 1: the file ends here, before block 0 of 4"),
    "garbage": (edited(lambda lines: [*lines, b"x"]), "samples.jsonl, line 17: the run has 16 samples, and something"),
    "NUL bytes": (
        edited(lambda lines: [*lines[:6], b"\0" * (len(lines[6]) - 1) + b"\n", *lines[7:]]),
        "samples.jsonl, line 7: not what",
    ),
    "cut": (edited(lambda lines: [*lines[:-1], lines[-1][:-9]]), "samples.jsonl, line 16: not what was stored"),
    "digit": (edited(digit_changed), "samples.jsonl, lines 5 to 8: not what was stored .the checksum of block 1"),
    "no samples": (lambda run: (run / "samples.jsonl").unlink(), "no such file: .*samples.jsonl"),
    "no sums": (lambda run: (run / "samples.sums").unlink(), "samples.sums is not there.*earlier version.*--overwrite"),
    "sums cut": (lambda run: os.truncate(run / "samples.sums", 100), "samples.sums, line 2 is cut short"),
    "sums emptied": (content("samples.sums", ""), "samples.jsonl, line 1: the run has 0 samples, and something"),
    "sums garbage": (
        replaced("samples.sums", "\n1 4 ", "\n1 x "),
        "samples.sums, line 2 is not the checksum of block 1",
    ),
    "sums order": (replaced("samples.sums", "\n1 4 ", "\n2 4 "), "samples.sums, line 2 is not the checksum of block 1"),
    "sums digit": (replaced("samples.sums", "\n2 4 ", "\n2 5 "), "lines 9 to 13: not what was stored"),
    "both cut": (lambda run: write_without_result(run), "result.json is of other samples than samples.jsonl holds"),
    "result cut": (lambda run: os.truncate(run / "result.json", 300), "result.json is no JSON"),
    "result empty": (content("result.json", ""), "result.json is empty"),
    "result other": (content("result.json", "[1]"), "result.json is JSON, but no object"),
    "result deep": (content("result.json", "[" * 100_000), "result.json is no JSON: it is nested too deeply"),
    "result NaN": (replaced("result.json", '"n": 16', '"n": NaN'), "result.json is no JSON: NaN is no finite number"),
    "result older": (replaced("result.json", '"samples"', '"other"'), "result.json does not say how many.*--overwrite"),
    "result wrong": (replaced("result.json", '"lines": 16', '"lines": "16"'), "result.json is of other samples"),
    "config digit": (replaced("config.json", "-5e-05", "-6e-05"), "config.json say different things of 'settings'"),
    "config cut": (lambda run: os.truncate(run / "config.json", 50), "config.json is no JSON"),
    "config deep": (content("config.json", '{"a":' * 100_000), "config.json is no JSON: it is nested too deeply"),
    "config empty": (content("config.json", "{}"), "config.json has no benchmark that could be"),
    "config type": (replaced("config.json", '"layers": 4', '"layers": "4"'), "config.json has no settings.layers that"),
    "config flag": (replaced("config.json", '"seed": 0', '"seed": true'), "config.json has no args.seed that could be"),
    "config name": (replaced("config.json", '"foil"', '"soil"'), "config.json has settings or a benchmark that cannot"),
    "not JSON, sums anew": (with_sums(lambda r: b"{"), "samples.jsonl, line 7 is no JSON"),
    "deep, sums anew": (
        with_sums(lambda r: b"[" * 100_000),
        "samples.jsonl, line 7 is no JSON: it is nested too deeply",
    ),
    "NaN, sums anew": (
        with_sums(lambda r: r.update(cosine=float("nan"))),
        "samples.jsonl, line 7 is no JSON: NaN is no",
    ),
    "list, sums anew": (with_sums(lambda r: b"[]"), "line 7: a sample is an object with named fields, .* a list"),
    "no caption": (with_sums(lambda r: r.pop("caption")), "line 7: there is no field 'caption'"),
    "no label": (with_sums(lambda r: r["label"].pop("spans")), "line 7: there is no field 'label.spans'"),
    "text cosine": (
        with_sums(lambda r: r.update(cosine="0.1")),
        "line 7: field 'cosine' is '0.1', not a finite number",
    ),
    "huge cosine": (
        with_sums(lambda r: r.update(cosine=10**400)),
        "line 7: field 'cosine' is 1000.*, not a finite number",
    ),
    "null label": (with_sums(lambda r: r.update(label=None)), "line 7: field 'label' is None, not an object"),
    "text flag": (
        with_sums(lambda r: r["label"].update(misaligned="0")),
        "field 'label.misaligned' is '0', not true or",
    ),
    "units": (with_sums(lambda r: r["units"][0].__setitem__(0, None)), r"field 'units' is \[\[None.*, not a list of"),
    "span": (with_sums(lambda r: r["units"][0].__setitem__(1, 10**9)), "line 7: a span lies outside its caption"),
    "base64": (
        with_sums(lambda r: r.update(layer_attributions="?")),
        "line 7: field 'layer_attributions' is no base64",
    ),
    "too few": (
        with_sums(lambda r: r.update(layer_attributions="")),
        "field 'layer_attributions' has 0 bytes, not four",
    ),
    "NaN inside": (
        with_sums(lambda r: r.update(layer_attributions=nan_in(r))),
        "line 7: an attribution is no finite number",
    ),
    "skipped": (with_sums(lambda r: r.update(skipped=5)), "line 7: field 'skipped' is 5, not a string"),
}


def nan_in(record):
    data = base64.b64decode(record["layer_attributions"])
    return base64.b64encode(b"\x00\x00\xc0\x7f" + data[4:]).decode()


def write_without_result(run):
    result = (run / "result.json").read_bytes()
    write_with_sums(run, (run / "samples.jsonl").read_bytes().splitlines(keepends=True)[:12])
    (run / "result.json").write_bytes(result)
