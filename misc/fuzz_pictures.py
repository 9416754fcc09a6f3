"""Does load_image hold against damaged and hostile files? Valid files of many formats, changed at random, and read.

    python misc/fuzz_pictures.py --count 20000 --seed 0

File number n is made from seed + n alone: a file that failed is made again with --seed ITS_SEED --count 1 --keep DIR.
Every file must give an eight-bit picture, or one ImageError that names it in one line; nothing may be printed, warned,
left open or started. Exits with 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random

from clip4dm.commands.cli import one_line_errors, run_command
from clip4dm.evaluation.options import AT_LEAST_ONE, SEED

MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")
MEMORY = 4 * 2**30  # address space of the process that reads
SLOW, HUNG = 5.0, 120.0  # seconds for one picture: reported; ended, and a failure
SUFFIXES = (".jpg", ".png", ".tif", ".gif", ".webp", ".avif", ".eps", ".ppm", ".jp2", "")
STARTS_A_PROCESS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn")
TELLING_NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    32,
    127,
    128,
    255,
    256,
    4096,
    12_000,
    32_767,
    32_768,
    65_500,
    65_535,
    100_000,
    200_000,
    2**24,
    2**28,
    2**31 - 1,
    2**31,
    2**32 - 1,
)


@dataclass(frozen=True)
class Outcome:
    """One file's: "read", "refused" or the name of another exception; and all that should not have been."""

    seed: int
    result: str
    seconds: float
    memory: int = 0  # bytes, the process's highest so far
    problems: tuple[str, ...] = ()


@dataclass
class Figures:
    """Of all files together."""

    results: Counter = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    slow: list[Outcome] = field(default_factory=list)
    slowest: float = 0.0
    memory: int = 0

    def add(self, outcome: Outcome) -> None:
        self.results[outcome.result] += 1
        self.slowest, self.memory = max(self.slowest, outcome.seconds), max(self.memory, outcome.memory)
        if outcome.problems:
            self.failures.append(outcome)
        if outcome.seconds > SLOW:
            self.slow.append(outcome)


@lru_cache
def valid_files() -> dict[str, bytes]:
    """Name -> a small valid file, as this Pillow writes it: formats that load_image reads, and others."""
    import numpy as np
    from PIL import Image, PngImagePlugin

    pixels = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    pixels[4:20, 6:30] = (200, 80, 10)  # something for run lengths and predictors
    rgb = Image.fromarray(pixels)
    grey, palette, black = rgb.convert("L"), rgb.convert("P"), rgb.convert("1")
    deep = Image.fromarray(np.asarray(grey, dtype=np.uint16) * 257)
    others = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010E: "a picture", 0x9286: b"\x00comment"})
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "words " * 50, zip=True)
    text.add_itxt("title", "words", "en", "words")
    wanted: list[tuple] = [
        (rgb, "JPEG"),
        (rgb, "JPEG", {"progressive": True, "exif": exif}),
        (rgb.convert("CMYK"), "JPEG"),
        (grey, "JPEG", {"icc_profile": b"\x00" * 200}),
        (rgb, "MPO", others),
        (rgb, "PNG", {"pnginfo": text, "exif": exif}),
        (palette, "PNG", {"transparency": bytes(range(0, 250, 5))}),
        (rgb.convert("RGBA"), "PNG"),
        (deep, "PNG"),
        (black, "PNG"),
        (grey, "PNG", {"transparency": 7}),
        (rgb, "PNG", others),
        (rgb, "WEBP"),
        (rgb.convert("RGBA"), "WEBP", {"lossless": True, "exif": exif}),
        (rgb, "WEBP", others),
        (palette, "GIF", {"transparency": 3}),
        (palette, "GIF", others),
        (rgb, "BMP"),
        (palette, "BMP"),
        (black, "BMP"),
        (rgb.convert("RGBA"), "BMP"),
        (rgb, "AVIF"),
        (rgb, "AVIF", others),
        *(
            (rgb, "TIFF", {"compression": kind})
            for kind in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "lzma", "zstd")
        ),
        (black, "TIFF", {"compression": "group4"}),
        (deep, "TIFF"),
        (deep, "TIFF", {"compression": "tiff_lzw"}),
        (grey.convert("F"), "TIFF"),
        (grey.convert("I"), "TIFF"),
        (palette, "TIFF"),
        (rgb.convert("CMYK"), "TIFF"),
        (rgb.convert("LAB"), "TIFF"),
        (rgb, "TIFF", {"big_tiff": True, "exif": exif}),
        (rgb, "TIFF", others),
        (rgb, "PPM"),
        (grey, "PPM"),
        (black, "PPM"),
        (rgb, "JPEG2000"),
        (rgb, "DDS"),
        (rgb, "SGI"),
        (rgb, "IM"),
        (black, "XBM"),
        (rgb, "EPS"),
        (rgb, "ICO"),
        (rgb, "PCX"),
        (rgb, "TGA"),
        (black, "MSP"),
        (rgb, "PDF"),
    ]
    files = {}
    for number, (image, kind, *options) in enumerate(wanted):
        file = io.BytesIO()
        with contextlib.suppress(KeyError, OSError, ValueError, TypeError):  # not in this Pillow, or not this way
            image.save(file, kind, **(options[0] if options else {}))
            files[f"{kind} {number}"] = file.getvalue()
    return files


def make_file(seed: int) -> tuple[str, bytes]:
    """-> name, bytes: one to eight changes of a valid file."""
    random = Random(seed)
    files = list(valid_files().values())
    data = bytearray(random.choice(files))
    for _ in range(random.choice((1, 1, 1, 1, 2, 3, 8))):
        random.choice(CHANGES)(data, random, files)
    if random.random() < 0.5:
        correct_checksums(data)
    return f"{seed}{random.choice(SUFFIXES)}", bytes(data)


def _place(data: bytearray, random: Random) -> int:
    """Half of them near the start, where headers are."""
    return random.randrange(max(1, min(len(data), 64) if random.random() < 0.5 else len(data)))


def flip(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    for _ in range(random.choice((1, 1, 1, 2, 4, 32))):
        if data:
            data[_place(data, random)] = random.randrange(256)


def insert(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    at = _place(data, random)
    data[at:at] = random.randbytes(random.choice((1, 2, 4, 100)))


def delete(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    at = _place(data, random)
    del data[at : at + random.choice((1, 2, 4, 100))]


def truncate(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    del data[random.randrange(len(data) + 1) :]


def repeat(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    at = _place(data, random)
    data[at:at] = data[at : at + random.choice((4, 16, 64, 1000))] * random.choice((1, 2, 20))


def splice(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    """The start of one file and the end of another."""
    other = random.choice(files)
    data[_place(data, random) :] = other[random.randrange(len(other)) :]


def number(data: bytearray, random: Random, files: Sequence[bytes]) -> None:
    """An integer of a header: a width, a count, an offset."""
    form = random.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(form)
    at = _place(data, random)
    data[at : at + size] = struct.pack(form, random.choice(TELLING_NUMBERS) % 256**size)


CHANGES: tuple[Callable[[bytearray, Random, Sequence[bytes]], None], ...] = (
    flip,
    insert,
    delete,
    truncate,
    repeat,
    splice,
    number,
    number,
)


def correct_checksums(data: bytearray) -> None:
    """Of a PNG's chunks, as far as they can be followed: without, nothing changed would come past them."""
    at = 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        data[at + 8 + length : at + 12 + length] = zlib.crc32(data[at + 4 : at + 8 + length]).to_bytes(4, "big")
        at += 12 + length


def answer(path: Path) -> tuple[str, list[str]]:
    """-> "read", "refused" or the name of another exception; what is wrong with load_image's answer."""
    from clip4dm.files.images import ImageError, load_image

    try:
        image = load_image(path)
        if image.mode not in MODES or 0 in image.size:
            return "read", [f"mode {image.mode}, size {image.size}"]
        image.convert("RGB")  # as the preprocessing does
        return "read", []
    except ImageError as error:
        named = str(path) in str(error) and str(error).isprintable()
        return "refused", [] if named else [f"does not name its file in one line: {str(error)!r}"]
    except Exception as error:  # what this script is here to find
        return type(error).__name__, [f"{type(error).__name__}: {error}"]


class Watch:
    """What this process starts, prints, warns of and leaves open; changes its standard error for good."""

    def __init__(self, printed: Path) -> None:
        self.started: list[str] = []
        self.printed = open(printed, "w+b")
        sys.stderr.flush()
        os.dup2(self.printed.fileno(), 2)
        sys.addaudithook(lambda event, _: self.started.append(event) if event in STARTS_A_PROCESS else None)

    @contextlib.contextmanager
    def picture(self, problems: list[str]) -> Iterator[None]:
        opened = len(os.listdir("/dev/fd"))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
        sys.stderr.flush()
        if size := os.fstat(2).st_size:
            problems.append(f"printed {os.pread(2, 200, 0)!r} ({size} bytes)")
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)
        problems += [f"warned: {warning.message}" for warning in warned]
        problems += [f"started a process ({event})" for event in self.started]
        self.started.clear()
        if (left := len(os.listdir("/dev/fd")) - opened) > 0:
            problems.append(f"left {left} files open")


def read_files(seeds: range, folder: Path, printed: Path, connection) -> None:
    """Make, read and judge files, in a process of its own: decoders may end it. Sends an Outcome for each."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    unit = 1 if sys.platform == "darwin" else 1024
    valid_files()  # now: what writing them prints is not watched
    watch = Watch(printed)
    for seed in seeds:
        name, data = make_file(seed)
        path = folder / name
        path.write_bytes(data)
        problems: list[str] = []
        begun = time.monotonic()
        with watch.picture(problems):
            result, wrong = answer(path)
        seconds = time.monotonic() - begun
        if not problems + wrong:
            path.unlink()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        connection.send(Outcome(seed, result, seconds, memory, tuple(wrong + problems)))


def fuzz(count: int, seed: int, folder: Path, progress: bool = False) -> Figures:
    """Files seed..seed + count - 1, those that failed left in folder."""
    from tqdm import tqdm

    figures, end = Figures(), seed + count
    with tempfile.NamedTemporaryFile() as printed, tqdm(total=count, unit="file", disable=not progress or None) as bar:
        while seed < end:
            for outcome in _of_one_process(range(seed, end), folder, Path(printed.name)):
                figures.add(outcome)
                seed += 1
                bar.update()
    return figures


def _of_one_process(seeds: range, folder: Path, printed: Path) -> Iterator[Outcome]:
    """Outcomes up to the last, or to the file that hung or ended the process, the last with that as its problem."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    reader = spawn.Process(target=read_files, args=(seeds, folder, printed, theirs))
    reader.start()
    theirs.close()
    try:
        for seed in seeds:
            if not ours.poll(HUNG):
                yield Outcome(seed, "hung", HUNG, problems=(f"hung for {HUNG:g} s",))
                return
            try:
                yield ours.recv()
            except EOFError:
                reader.join()
                said = " ".join(printed.read_text(errors="replace").split())[-200:]
                yield Outcome(seed, "crashed", 0.0, problems=(f"ended the process ({reader.exitcode}): {said}",))
                return
    finally:
        reader.kill()
        reader.join()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=AT_LEAST_ONE, default=20_000, metavar="N", help="files (default: %(default)s)")
    parser.add_argument("--seed", type=SEED, default=0, metavar="N", help="of the first file (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the files that failed here")
    args = parser.parse_args(argv)
    if args.count < 1:
        parser.error(f"--count must be at least 1, got {args.count}")
    with one_line_errors("fuzz_pictures.py"), tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        figures = fuzz(args.count, args.seed, folder, progress=True)
        other = {name: n for name, n in figures.results.items() if name not in ("read", "refused")}
        print(
            f"files      {args.count}, seeds {args.seed} to {args.seed + args.count - 1}, "
            f"made from {len(valid_files())} valid ones, in {time.monotonic() - begun:.0f} s\n"
            f"read       {figures.results['read']}\nrefused    {figures.results['refused']}\n"
            f"other      {sum(other.values())} {other or ''}\nslowest    {figures.slowest:.2f} s, "
            f"over {SLOW:g} s: {[outcome.seed for outcome in figures.slow] or 'none'}\n"
            f"memory     {figures.memory / 2**20:.0f} MiB at most\nfailures   {len(figures.failures)}"
        )
        for outcome in figures.failures:
            print(f"  --seed {outcome.seed} --count 1: {'; '.join(outcome.problems)[:300]}")
    raise SystemExit(1 if figures.failures else 0)


if __name__ == "__main__":
    run_command(main)
