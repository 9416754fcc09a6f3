"""`clip4dm web` in a real browser, and what hostile visitors send it."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import signal
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from browser import opened
from html_reading import HOSTILE
from web_server import running

from clip4dm.benchmarks.shapes.drawing import draw
from clip4dm.benchmarks.shapes.examples import SEEDS, example
from clip4dm.report.web.suggesting import MOST_WORDS

pytest.importorskip("gradio", reason="the page is made with Gradio: pip install 'clip4dm[web]'")
httpx = pytest.importorskip("httpx")
pytestmark = pytest.mark.slow

SECONDS = 60_000  # milliseconds that a browser waits for an answer
FISHES = example(SEEDS[2])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("web")) as one:
        yield one


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "fishes.png"
    draw(FISHES.scene, 256).save(path)
    return path


def ready(page):
    """The first example's answer is there."""
    page.wait_for_selector("#highlights .word", timeout=SECONDS)


def ask(page, captions, picture=None):
    """Upload, type, press; the answer is waited for."""
    if picture is not None:
        page.get_by_label("Remove Image").click()
        page.set_input_files("input[type=file]", picture)
        page.wait_for_selector("[data-testid=image] img", timeout=SECONDS)
    page.get_by_label("captions, one a line").fill(captions)
    with page.expect_response(lambda answer: "queue/data" in answer.url, timeout=SECONDS):
        page.get_by_role("button", name="Check the captions").click()


def wrong_words(page):
    return [
        [word.evaluate("one => one.firstChild.data") for word in caption.locator(".misaligned").all()]
        for caption in page.locator("#highlights .caption").all()
    ]


def test_a_picture_two_captions_and_epsilon(chromium, server, scene):
    true, *foils = FISHES.texts
    with opened(chromium, server.url) as watched:
        page = watched.page
        ready(page)
        ask(page, f"{true}\n\n{foils[1]}", scene)
        page.wait_for_function("document.querySelectorAll('#highlights .caption').length == 2", timeout=SECONDS)
        assert wrong_words(page) == [[], [FISHES.foils[1].foil_word]]
        page.get_by_role("button", name="JSON, as").click()
        rows = [json.loads(line) for line in page.locator("#json textarea").input_value().splitlines()]
        assert [row["caption"] for row in rows] == [true, foils[1]] and rows[0]["image"] == "fishes.png"
        page.get_by_role("button", name="all words").click()
        page.wait_for_selector("#tables table >> nth=1", timeout=SECONDS)
        assert page.locator("#tables table").nth(1).locator("tbody tr").count() == 5

        lowest = min(word["attribution"] for word in rows[1]["words"])
        epsilon = page.locator("#epsilon input[type=range]")
        assert float(epsilon.get_attribute("min")) < lowest
        epsilon.press("Home")
        page.wait_for_function("!document.querySelector('#highlights .caption .misaligned')", timeout=SECONDS)
        assert f"words below {float(epsilon.get_attribute('min')):g} do" in page.locator(".settings").inner_text()
        page.locator("#layers input[type=range]").press("Home")
        page.wait_for_function("document.querySelector('.settings').innerText.includes('the last 1')", timeout=SECONDS)
        assert not watched.asked_beyond(server.url) and not watched.complaints


def test_epsilon_can_be_typed_anew(chromium, server):
    with opened(chromium, server.url) as watched:
        page = watched.page
        ready(page)
        number = page.locator("#epsilon input[type=number]")
        number.click()
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        page.wait_for_timeout(1000)  # time for an empty box to be complained of
        assert not page.get_by_text("Error", exact=True).count()
        number.fill("-0.001")
        number.press("Enter")
        page.wait_for_function(
            "document.querySelector('.settings').innerText.includes('below -0.001 do')", timeout=SECONDS
        )
        assert page.locator("#highlights .word").count() and not watched.complaints


def test_an_example_is_a_click(chromium, server):
    with opened(chromium, server.url) as watched:
        ready(watched.page)
        watched.page.get_by_role("button", name=FISHES.texts[0]).click()
        watched.page.wait_for_function(
            "word => document.querySelector('#highlights').innerText.includes(word)", arg="moons", timeout=SECONDS
        )
        assert wrong_words(watched.page) == [[], *([foil.foil_word] for foil in FISHES.foils)]
        assert not watched.asked_beyond(server.url) and not watched.complaints


@pytest.mark.parametrize("size", ["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_it(chromium, server, size, scheme):
    with opened(chromium, server.url, size, scheme) as watched:
        ready(watched.page)
        for name in ("all words", "JSON, as"):
            watched.page.get_by_role("button", name=name).click()
        watched.page.wait_for_selector("#tables table")
        assert not watched.violations() and not watched.overflows()
        assert not watched.asked_beyond(server.url) and not watched.complaints


def test_hostile_captions_and_names_stay_text(chromium, server, scene, tmp_path):
    name = HOSTILE.replace("/", "") + ".png"
    (tmp_path / name).write_bytes(scene.read_bytes())
    with opened(chromium, server.url) as watched:
        page = watched.page
        ready(page)
        ask(page, HOSTILE, tmp_path / name)
        page.wait_for_function("document.querySelectorAll('#highlights .caption').length == 1", timeout=SECONDS)
        own = "one => [...one.querySelectorAll('.heard')].map(x => x.remove()) && one.textContent"
        assert page.locator("#highlights .caption").evaluate(own) == HOSTILE
        assert page.locator("#highlights :is(script, img, style, b)").count() == 0
        page.locator("#epsilon input[type=range]").press("Home")
        page.wait_for_timeout(500)
        assert not watched.dialogs and not watched.asked_beyond(server.url)


def suggested_for(page):
    return [[line.inner_text() for line in one.locator(".suggestions li").all()] for one in cards(page)]


def cards(page):
    return page.locator("#highlights .detection").all()


def test_other_words_are_suggested_where_it_is_ticked(chromium, server):
    with opened(chromium, server.url) as watched:
        page = watched.page
        ready(page)
        assert page.get_by_label("suggest other words").is_checked()  # the demo model is fast
        page.get_by_role("button", name=FISHES.texts[0]).click()
        page.wait_for_function(
            "word => document.querySelector('#highlights').innerText.includes(word)", arg="moons", timeout=SECONDS
        )
        first, *shown = suggested_for(page)
        assert first == [] and len(shown) == len(FISHES.foils)
        for (line,), foil in zip(shown, FISHES.foils, strict=True):
            assert line.replace("\xa0", " ").startswith(f"{foil.foil_word} → {foil.original_word.removesuffix('es')}")
        page.get_by_role("button", name="all words").click()
        assert FISHES.texts[0] in page.locator("#tables table.new").first.inner_text()
        page.get_by_role("button", name="JSON, as").click()
        rows = [json.loads(line) for line in page.locator("#json textarea").input_value().splitlines()]
        assert [len(row["suggestions"]) for row in rows] == [0, *[1] * len(FISHES.foils)]
        assert rows[1]["suggestions"][0]["replacements"][0]["caption"] == FISHES.texts[0]

        page.locator("#epsilon input[type=range]").press("Home")
        page.get_by_text("check the captions again").wait_for(timeout=SECONDS)
        assert not page.locator("#highlights .suggestions").count()
        page.get_by_label("suggest other words").uncheck()
        page.wait_for_function("!document.querySelector('#highlights .note')", timeout=SECONDS)
        rows = [json.loads(line) for line in page.locator("#json textarea").input_value().splitlines()]
        assert all("suggestions" not in row for row in rows)
        assert not watched.violations() and not watched.overflows()
        assert not watched.asked_beyond(server.url) and not watched.complaints


def test_how_many_words_are_suggested_for_is_bounded_and_said(chromium, server, scene):
    picture = upload(server, scene.read_bytes()).json()[0]
    false = "a red dog eats a green house of yellow snow "
    many = "\n".join([false * 3] * 20)
    output = answer_of(server, picture, many, suggesting=True)["output"]["data"]
    rows = [json.loads(line) for line in output[3].splitlines()]
    wrong, found = (sum(len(row[name]) for row in rows) for name in ("misaligned", "suggestions"))
    assert wrong > 100 and 1 <= found <= MOST_WORDS
    assert f"No suggestion for {wrong - found} more" in output[1]
    with opened(chromium, server.url) as watched:
        ready(watched.page)
        ask(watched.page, "\n".join([false] * 20))  # short, so that words lie below the page's own epsilon
        watched.page.get_by_text("No suggestion for").wait_for(timeout=SECONDS)
        assert not watched.overflows() and not watched.complaints


def bomb():
    """A PNG of a few bytes that says it has 900 megapixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


HOSTILE_FILES = {
    "text.png": (b"no picture at all", "is not an image of a format that is read"),
    "bomb.png": (bomb(), "too many pixels to be decoded safely"),
    "cut.png": (b"\x89PNG\r\n\x1a\n", "is damaged or cut short"),
    "drawing.svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "is not an image of a format"),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_what_is_no_picture_is_said_on_the_page(chromium, server, tmp_path, name):
    data, said = HOSTILE_FILES[name]
    (tmp_path / name).write_bytes(data)
    with opened(chromium, server.url) as watched:
        page = watched.page
        ready(page)
        ask(page, "a red cup", tmp_path / name)
        page.wait_for_selector("#highlights .problem", timeout=SECONDS)
        problem = page.locator("#highlights .problem").inner_text()
        assert said in problem and name in problem and str(server.folder) not in problem
        ask(page, FISHES.texts[0])  # again, and the server is still there
        assert not watched.dialogs


@pytest.mark.parametrize(
    ("captions", "said"),
    [
        ("dog" * 3_334, "a caption of 10,002 characters; up to 1,000"),
        ("a dog\n" * 200, "200 captions; up to 20"),
        (" \n\n", "write a caption first"),
    ],
    ids=["long", "many", "none"],
)
def test_too_much_is_said_on_the_page(chromium, server, captions, said):
    with opened(chromium, server.url) as watched:
        ready(watched.page)
        ask(watched.page, captions)
        watched.page.wait_for_selector("#highlights .problem", timeout=SECONDS)
        assert said in watched.page.locator("#highlights .problem").inner_text()


def test_a_large_file_is_refused_on_the_page_and_by_the_server(chromium, server, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(11 << 20))
    with opened(chromium, server.url) as watched:
        page = watched.page
        ready(page)
        page.get_by_label("Remove Image").click()
        page.set_input_files("input[type=file]", tmp_path / "large.png")
        page.get_by_text(re.compile("maximum allowed|too large|size limit|exceeds", re.IGNORECASE)).first.wait_for(
            timeout=SECONDS
        )
    answer = upload(server, bytes(11 << 20))
    assert answer.status_code == 413 and upload(server, bytes(9 << 20)).status_code == 200


def upload(server, data, name="x.png"):
    return httpx.post(f"{server.url}gradio_api/upload", files={"files": (name, io.BytesIO(data))}, timeout=120)


@functools.cache
def function_of(url, outputs):
    """The number of the button's function, by how many outputs it has, among those that are clicked."""
    config = httpx.get(f"{url}config", timeout=120).json()
    (found,) = [
        one["id"]
        for one in config["dependencies"]
        if len(one["outputs"]) == outputs and any(event == "submit" for _, event in one["targets"])
    ]
    return found


def answer_of(server, picture, captions, suggesting=False):
    """What a program without a browser gets from the button: the last message of the queue."""
    session = uuid4().hex
    data = [picture and {"path": picture, "meta": {"_type": "gradio.FileData"}}, captions, -5e-5, 2, suggesting]
    body = {"data": data, "fn_index": function_of(server.url, 5), "session_hash": session}
    joined = httpx.post(f"{server.url}gradio_api/queue/join", json=body, timeout=120)
    if joined.status_code != 200:
        return {"msg": "refused", "output": joined.text}
    with httpx.stream("GET", f"{server.url}gradio_api/queue/data?session_hash={session}", timeout=120) as answer:
        for line in answer.iter_lines():
            message = json.loads(line[5:]) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                return message
    raise AssertionError("the server said nothing")


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:9/x.png", "https://example.com/x.png", "../x.png"])
def test_only_uploads_are_read(server, path):
    message = answer_of(server, path, "a red cup")
    assert not message["success"] and "root:" not in json.dumps(message)
    assert ("not fetched from an address" in (message["output"]["error"] or "")) == path.startswith("http")


def test_many_at_once_are_answered_or_refused_and_memory_comes_back(server, scene):
    picture = upload(server, scene.read_bytes()).json()[0]
    large = upload(server, scene.read_bytes() + bytes(9 << 20)).json()[0]

    def one(number):
        return answer_of(server, large if number % 2 else picture, "\n".join(FISHES.texts))

    def crowd(visitors):
        with ThreadPoolExecutor(visitors) as pool:
            return list(pool.map(one, range(visitors)))

    crowd(20)
    before = resident(server.process.pid)
    assert all(message["success"] for message in crowd(20))
    many = crowd(60)
    assert {message["msg"] for message in many} <= {"process_completed", "refused"}
    for data, _ in HOSTILE_FILES.values():
        answer_of(server, upload(server, data).json()[0], "a red cup")
    answer_of(server, picture, "a dog\n" * 200_000)
    assert one(0)["success"] and resident(server.process.pid) - before < 150 << 20


def resident(process):
    """Bytes of memory."""
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("memory is read from /proc")
    with open(f"/proc/{process}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_defaults_are_safe(server):
    config = httpx.get(f"{server.url}config").json()
    assert config["analytics_enabled"] is False and config["run_history"] is False
    assert config["max_file_size"] == 10 << 20 and config["footer_links"] == []
    assert {one["api_visibility"] for one in config["dependencies"]} == {"private"}
    for path in ("monitoring", "gradio_api/runs", "docs", "redoc", "openapi.json", "gradio_api/monitoring/summary"):
        assert httpx.get(server.url + path).status_code in (401, 403, 404, 405), path
    headers = httpx.get(server.url).headers
    assert headers["content-security-policy"].startswith("default-src 'self' ")
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    elsewhere = {"origin": "https://example.com"}
    assert "access-control-allow-origin" not in httpx.get(f"{server.url}config", headers=elsewhere).headers


def test_uploads_are_gone_with_the_server(tmp_path, scene):
    with running(tmp_path) as one:
        assert one.said == f"clip4dm web: open {one.url} in a browser; Ctrl-C ends it\n"
        assert one.url == f"http://127.0.0.1:{one.port}/"
        name = upload(one, scene.read_bytes()).json()[0]
        assert name.startswith(str(tmp_path)) and os.path.exists(name)
        with pytest.raises(AssertionError, match="error: --port .* cannot be listened on"):
            with running(tmp_path, "--port", str(one.port)):
                pass
        one.process.send_signal(signal.SIGINT)
        assert "interrupted" in one.process.communicate(timeout=30)[1] and one.process.returncode == 130
    assert not list(tmp_path.glob("clip4dm*")) and not os.path.exists(name)
