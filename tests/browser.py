"""A real browser for pages: chromium by playwright, and axe's checks of accessibility in it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}  # pixels


@dataclass
class Watched:
    """A page, and what it asked for and complained of. dialogs: what scripts had the browser say."""

    page: object
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def asked_beyond(self, *origins: str) -> list[str]:
        """Requests that went elsewhere."""
        return [url for url in self.requests if not url.startswith(("data:", "blob:", *origins))]

    def violations(self) -> list[str]:
        """What axe finds serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['impact']} {one['id']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def overflows(self) -> bool:
        """Whether it is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


@pytest.fixture(scope="session")
def chromium():
    """The browser; skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pages are opened by playwright")
    if not CHROMIUM:
        pytest.skip("pages are opened in chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(chromium, url: str, size: str = "wide", scheme: str = "light") -> Iterator[Watched]:
    """A page in a context of its own. scheme: light or dark."""
    width, height = SIZES[size]
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    watched = Watched(context.new_page())
    watched.page.on("request", lambda request: watched.requests.append(request.url))
    watched.page.on("console", lambda said: watched.complaints.append(said.text) if said.type == "error" else None)
    watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))

    def dismiss(dialog):
        watched.dialogs.append(dialog.message)
        dialog.dismiss()

    watched.page.on("dialog", dismiss)
    try:
        watched.page.goto(url)
        yield watched
    finally:
        context.close()
