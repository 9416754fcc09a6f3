"""Serves the page: on this machine alone unless asked otherwise, with nothing sent to, or fetched from, anyone else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from clip4dm.models.names import DEMO

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.suggestion.suggest import Asked

LARGEST_FILE = "10mb"
SESSIONS = 64  # whose detections are kept
THREADS = 8
# Gradio's page runs scripts of its own making; none may come from, or speak to, another host.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; form-action 'self'"


class Guarded:
    """An ASGI application's answers with headers that keep the browser at home. app: the application.

    Guarded(app)
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request.

        await Guarded(app)(scope, receive, send)
        """

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self.app(scope, receive, guarded)


@contextmanager
def served(detector: CLIP4DM, host: str, port: int | None = None, asked: Asked | None = None) -> Iterator[str]:
    """The page, at the address given, as long as the context is open; uploads are deleted with it.

    port: None for the first free one from 7860 on. asked: of suggestions, which are made from the first then; None for
    the usual, made where a visitor asks, by the demo model always. Errors: OSError where the port is taken.

    with served(CLIP4DM.from_pretrained("demo"), "127.0.0.1") as address: ...
    """
    with TemporaryDirectory(prefix="clip4dm-web-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # read when Gradio is imported, as is the next
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        from clip4dm.report.web.answers import Checker
        from clip4dm.report.web.app import STYLE, Page
        from clip4dm.report.web.examples import offered

        demo = detector.model.backbone == DEMO
        examples = offered(Path(folder), drawn_first=demo)
        app = Page(Checker(detector, asked), examples, suggesting=asked is not None or demo).app
        _, address, _ = app.launch(server_name=host, server_port=port, css=STYLE, theme=_theme(), **_at_home())
        try:
            yield address
        finally:
            app.close(verbose=False)


def _at_home() -> dict[str, Any]:
    """Gradio's options under which nothing is shared, kept, told or downloaded, each said though some are its own."""
    from starlette.middleware import Middleware

    no_pages_of_fastapi = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    return dict(
        share=False,
        inbrowser=False,
        prevent_thread_lock=True,
        quiet=True,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        max_file_size=LARGEST_FILE,
        max_threads=THREADS,
        state_session_capacity=SESSIONS,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        strict_cors=True,
        app_kwargs={"middleware": [Middleware(Guarded)], **no_pages_of_fastapi},
    )


def _theme() -> Any:
    """Fonts of the reader's own; contrasts of 4.5 : 1, which Gradio's usual buttons and small print do not have."""
    import gradio

    return gradio.themes.Default(
        primary_hue="blue",  # orange is what does not fit
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        body_text_color_subdued="*neutral_500",
    )
