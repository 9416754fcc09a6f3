"""A real HTTP server on the loopback that misbehaves as asked: the path says how."""

from __future__ import annotations

import io
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image


def jpeg(seed: int = 0, side: int = 96) -> bytes:
    """A JPEG of noise: its bytes tell it from any other."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


class Server(ThreadingHTTPServer):
    """counts: requests per path. ranges: the Range header of every request, in order. body: per path's last part."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.counts, self.ranges, self.bodies, self.log_lock = Counter(), [], {}, threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.release = threading.Event()  # set: "hang" answers
        self.gone = 0  # endless answers whose client went away

    def handle_error(self, request, client_address) -> None:
        pass  # a client that goes away is what the tests are about

    def body(self, name: str) -> bytes:
        with self.log_lock:
            if name not in self.bodies:
                self.bodies[name] = jpeg(len(self.bodies))
            return self.bodies[name]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        kind, _, name = self.path.strip("/").partition("/")
        with self.server.log_lock:
            self.server.counts[self.path] += 1
            self.server.ranges.append(self.headers.get("Range"))
            turn = self.server.counts[self.path]
        getattr(self, f"serve_{kind}", self.serve_missing)(self.server.body(name), turn)

    def answer(self, body: bytes, status: int = 200, kind: str = "image/jpeg", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def cut(self) -> None:
        """Close the connection in the middle of what was promised."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def promise(self, body: bytes, sent: int, status: int = 200, **headers: str) -> None:
        """Headers of the whole body, but only so much of it, then the connection ends."""
        self.send_response(status)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:sent])
        self.cut()

    def serve_ok(self, body: bytes, turn: int) -> None:
        self.answer(body)

    def serve_missing(self, body: bytes, turn: int) -> None:
        self.answer(b"no", 404, "text/plain")

    def serve_twice500(self, body: bytes, turn: int) -> None:
        self.answer(body) if turn > 2 else self.answer(b"oh", 500, "text/plain")

    def serve_always500(self, body: bytes, turn: int) -> None:
        self.answer(b"oh", 500, "text/plain")

    def serve_busy(self, body: bytes, turn: int) -> None:
        self.answer(body) if turn > 1 else self.answer(b"later", 429, "text/plain", Retry_After="1")

    def serve_cut(self, body: bytes, turn: int) -> None:
        """Cut at half; goes on by range, honestly."""
        if self.headers.get("Range"):
            self.serve_etag(body, turn)
        else:
            self.promise(body, len(body) // 2, ETag='"v1"')

    def serve_etag(self, body: bytes, turn: int) -> None:
        """Ranges, as a good server gives them."""
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range") == '"v1"':
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.answer(body[start:], 206, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}", ETag='"v1"')
        else:
            self.answer(body, ETag='"v1"')

    def serve_changed(self, body: bytes, turn: int) -> None:
        """Cut at half; by then the file is another, so If-Range does not fit and the whole new one comes."""
        if turn == 1:
            self.promise(jpeg(999), len(jpeg(999)) // 2, ETag='"old"')
        else:
            self.answer(body, ETag='"new"')

    def serve_noranges(self, body: bytes, turn: int) -> None:
        if turn == 1:
            self.promise(body, len(body) // 2, ETag='"v1"')
        else:
            self.answer(body, ETag='"v1"')

    def serve_alwayscut(self, body: bytes, turn: int) -> None:
        self.promise(body, len(body) // 2, ETag='"v1"')

    def serve_liar(self, body: bytes, turn: int) -> None:
        """Answers a range with other bytes than were asked for."""
        if turn == 1:
            self.promise(body, len(body) // 2, ETag='"v1"')
        elif turn == 2:
            self.answer(body, 206, Content_Range=f"bytes 0-{len(body) - 1}/{len(body)}", ETag='"v1"')
        else:
            self.answer(body)

    def serve_html(self, body: bytes, turn: int) -> None:
        self.answer(b"<!DOCTYPE html><p>Not here any more</p>", kind="text/html")

    def serve_disguised(self, body: bytes, turn: int) -> None:
        self.answer(b"<!DOCTYPE html><p>Not here any more</p>", kind="image/jpeg")

    def serve_truncated(self, body: bytes, turn: int) -> None:
        self.answer(body[: len(body) * 2 // 3])

    def serve_empty(self, body: bytes, turn: int) -> None:
        self.answer(b"")

    def serve_loop(self, body: bytes, turn: int) -> None:
        self.answer(b"", 302, Location=self.path)

    def serve_tofile(self, body: bytes, turn: int) -> None:
        self.answer(b"", 302, Location="file:///etc/passwd")

    def serve_moved(self, body: bytes, turn: int) -> None:
        self.answer(b"", 301, Location=self.path.replace("/moved/", "/ok/"))

    def serve_hang(self, body: bytes, turn: int) -> None:
        self.server.release.wait(20)
        self.answer(body)

    def serve_drip(self, body: bytes, turn: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for i in range(len(body)):
            if self.server.release.wait(0.05):
                break
            self.wfile.write(body[i : i + 1])
        self.cut()

    def serve_slow(self, body: bytes, turn: int) -> None:
        """Whole in the end, a piece at a time: for interrupting."""
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for start in range(0, len(body), 2048):
            time.sleep(0.01)
            self.wfile.write(body[start : start + 2048])

    def serve_huge(self, body: bytes, turn: int) -> None:
        """Says nothing of its length and goes on for ever."""
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Connection", "close")
        self.end_headers()
        while not self.server.release.is_set():
            self.wfile.write(b"\xff" * 65536)

    def serve_gzip(self, body: bytes, turn: int) -> None:
        self.answer(body, Content_Encoding="gzip")

    # What a server can promise and not keep. "half" is what came before the transfer was cut.

    def serve_lie(self, body: bytes, turn: int) -> None:
        """/lie/HOW.NAME: cut at half, then a 206 that lies as HOW says; without a Range, half again."""
        half, size = len(body) // 2, len(body)
        if not self.headers.get("Range"):
            self.promise(body, half, ETag='"v1"')
            return
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        how = self.path.split("/")[2].split(".")[0]
        says = {
            "short": f"bytes {start}-{start + 99}/{start + 100}",  # the whole were shorter than promised
            "long": f"bytes {start}-{size + 99}/{size + 100}",
            "nothing": None,
            "words": "bytes all of it",
            "backwards": f"bytes {start}-{start - 1}/{size}",
            "beyond": f"bytes {start}-{size}/{size}",
            "elsewhere": f"bytes {start + 1}-{size - 1}/{size}",
            "huge": f"bytes {start}-{'9' * 40}/{'9' * 5000}",
        }
        sent = {"short": body[start : start + 100], "long": body[start:] + b"x" * 100}.get(how, body[start:])
        said = says.get(how, f"bytes {start}-{size - 1}/{size}")
        headers = {"ETag": '"v2"' if how == "version" else '"v1"'} | ({"Content_Range": said} if said else {})
        if how in ("fewer", "more"):  # than the range says, in chunks, which say no length
            self.chunked(body[start : start + 100] if how == "fewer" else body[start:] + b"x" * 100, 206, **headers)
        else:
            self.answer(sent, 206, **headers)

    def chunked(self, body: bytes, status: int = 200, ends: bool = True, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n" + (b"0\r\n\r\n" if ends else b""))
        if not ends:
            self.cut()

    def serve_chunked(self, body: bytes, turn: int) -> None:
        self.chunked(body)

    def serve_chunkedcut(self, body: bytes, turn: int) -> None:
        """No length, and the chunk that says "this was all" never comes."""
        self.chunked(body[:-100], ends=False)

    def serve_pieces(self, body: bytes, turn: int) -> None:
        """Cut at half, then an honest part of the rest, then the rest, its total left open: allowed, if rare."""
        half, size = len(body) // 2, len(body)
        wanted = self.headers.get("Range")
        if not wanted:
            self.promise(body, half, ETag='"v1"')
        elif wanted == f"bytes={half}-":
            self.answer(body[half : half + 500], 206, Content_Range=f"bytes {half}-{half + 499}/{size}", ETag='"v1"')
        else:
            self.answer(body[half + 500 :], 206, Content_Range=f"bytes {half + 500}-{size - 1}/*", ETag='"v1"')

    def serve_oddtag(self, body: bytes, turn: int) -> None:
        """A validator that no request can carry."""
        self.promise(body, len(body) // 2, ETag='"\xe9"') if turn == 1 else self.answer(body)

    def serve_oddwait(self, body: bytes, turn: int) -> None:
        says = ("\xb2", "Mon, 99 Foo 99999999999999999999 25:61:61", "-1", "9" * 400)
        self.answer(body) if turn > len(says) else self.answer(b"", 503, Retry_After=says[turn - 1])

    def serve_to(self, body: bytes, turn: int) -> None:
        """/to/NUMBER: a redirect to what is no URL."""
        places = (
            "http://[::1",
            "http://h:99999/",
            "//",
            "http://\xff\xfe/",
            "https://ex ample/",
            "http://xn--0.\x80/",
            "http://" + "a" * 3000,
            "http://a..b/",
            "http:///x",
            "h\x01ttp://a",
            "http://\u00b2:8/",
            "mailto:a@b",
        )
        self.answer(b"", 302, Location=places[int(self.path.split("/")[2])])

    # What never ends, a byte at a time or as fast as it goes.

    def drip(self, *pieces: bytes) -> None:
        """The first piece at once; the others again and again, a byte at a time, far below any time-out of a read."""
        try:
            self.wfile.write(pieces[0])
            while not self.server.release.wait(0.05):
                for piece in pieces[1:]:
                    self.wfile.write(piece)
        except OSError:
            self.server.gone += 1
        self.close_connection = True

    def serve_slowheaders(self, body: bytes, turn: int) -> None:
        self.drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x")

    def serve_slowstatus(self, body: bytes, turn: int) -> None:
        self.drip(b"HTTP/1.1 200 ", b"O")

    def serve_continue(self, body: bytes, turn: int) -> None:
        self.drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n")

    def serve_hints(self, body: bytes, turn: int) -> None:
        self.drip(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 50)

    def serve_slowchunk(self, body: bytes, turn: int) -> None:
        """The size of a chunk, and its extension without end."""
        self.drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=", b"x")

    def serve_slowtrailer(self, body: bytes, turn: int) -> None:
        self.drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX-Trailer: ", b"x")

    def serve_manyheaders(self, body: bytes, turn: int) -> None:
        self.drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 10000)


@contextmanager
def started(command: list[str], **options):
    """A process that does not outlive the test, however that ends."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def serving():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
