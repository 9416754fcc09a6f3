"""The page: a picture, captions, two sliders, and the answer."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip4dm.detection import Detection
from clip4dm.errors import CLIP4DMError, InputError
from clip4dm.models.names import DEMO
from clip4dm.report.style import style_of
from clip4dm.report.web.answers import (
    ASK_AGAIN,
    Answer,
    Checker,
    as_json,
    captions_html,
    lowest_epsilon,
    problem_html,
    tables_html,
)
from clip4dm.report.web.examples import Offered
from clip4dm.report.web.suggesting import MOST_WORDS

if TYPE_CHECKING:
    import gradio as gr

CACHE = (600, 3600)  # seconds: how often uploads are looked through, and how old they may be
KEPT = 3600  # seconds that a session's detections are kept
WAITING = 32  # events in the queue
TITLE = "CLIP4DM: which words are not true of the picture?"
INTRODUCTION = """# Which words of a caption are not true of the picture?
Take an example (its first caption is true, each of the others has one word exchanged), or a picture of your own with
one caption a line. Underlined words on orange do not fit; those on blue do."""
DRAWN_ONLY = """The model that comes along has seen **drawn shapes alone**. For photographs start it with
another, such as `clip4dm web --backbone ViT-B-32`."""
STYLE = (
    style_of(":root", ".dark")
    + """
.gradio-container{max-width:76rem!important;width:100%;min-width:0;margin:0 auto!important}
#examples{gap:.6rem;align-items:stretch;flex-wrap:nowrap;overflow-x:auto;padding:3px}
#examples button{flex:1 0 8.5rem;flex-direction:column;justify-content:flex-start;gap:.4rem;padding:.6rem;
white-space:normal;font-weight:normal;line-height:1.3}
#examples img{width:4.5rem;height:4.5rem;object-fit:cover;border-radius:.4rem;margin:0}
#highlights>*,#tables>*{padding:0}
.detection{background:var(--block-background-fill);border:1px solid var(--line);border-radius:.6rem;
padding:.6rem 1rem .8rem;margin-bottom:.8rem}
.numbers{margin-bottom:1.4rem}
.numbers h3{font-size:1rem;margin:0 0 .3rem;color:var(--text);overflow-wrap:anywhere}
.words{width:100%;max-width:32rem}
.problem{border:2px solid var(--fits-not);border-radius:.6rem;padding:.8rem 1rem;margin:0;
color:var(--text);background:var(--block-background-fill);overflow-wrap:anywhere}
"""
)


def unopened(picture: gr.Image) -> gr.Image:
    """Gradio's component as one that hands on an upload's path: `files.images` opens it, with all its checks.

    Gradio would let Pillow open any format, and fetch a picture whose address a visitor sends. The methods are replaced
    on the object, since for a subclass Gradio writes a file beside its module.

        unopened(gr.Image(type="filepath")).preprocess(None)  # None, where there is no picture
    """
    import gradio as gr

    to_cache = picture.async_move_resource_to_block_cache

    async def of_files_alone(url_or_file_path: str | Path | None) -> str | None:
        if str(url_or_file_path).lower().startswith(("http:", "https:")):
            raise gr.Error("a picture is uploaded, not fetched from an address")
        return await to_cache(url_or_file_path)

    picture.async_move_resource_to_block_cache = of_files_alone  # type: ignore[method-assign]
    picture.preprocess = lambda payload: payload.path if payload else None  # type: ignore[method-assign]
    return picture


@cache
def _slider() -> type[gr.Slider]:
    """Gradio's slider, which lets its number be emptied before another is typed: None until then."""
    import gradio as gr

    def preprocess(self: gr.Slider, payload: float | None) -> float | None:
        return None if payload is None else gr.Slider.preprocess(self, payload)

    # Not by a class statement: Gradio's metaclass would write a stub beside this file. is_template: drawn as its own.
    names = {"preprocess": preprocess, "is_template": True, "__module__": __name__}
    return ABCMeta.__new__(type(gr.Slider), "Slider", (gr.Slider,), names)


class Page:
    """The blocks and what they do. suggesting: whether it is ticked at first. app: to launch.

    Page(checker, offered(folder, drawn_first=True)).app.launch()
    """

    def __init__(self, checker: Checker, examples: Sequence[Offered], suggesting: bool = False) -> None:
        import gradio as gr

        self.checker = checker
        self.epsilon = checker.detector.epsilon
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=CACHE) as self.app:
            gr.Markdown(INTRODUCTION)
            if checker.detector.model.backbone == DEMO:
                gr.Markdown(DRAWN_ONLY)
            self._offer(examples)
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    self._asked(examples[0], suggesting)
                with gr.Column(scale=3, min_width=300):
                    self._answered()
            self._connect()
        self.app.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)

    def _asked(self, first: Offered, suggesting: bool) -> None:
        import gradio as gr

        self.picture = unopened(
            gr.Image(
                str(first.picture),
                type="filepath",
                sources=["upload", "clipboard"],
                label="picture",
                height=300,
                buttons=[],
                alt_text="the picture that the captions are checked against",
            )
        )
        self.captions = gr.Textbox("\n".join(first.captions), label="captions, one a line", lines=5, max_lines=20)
        self.suggesting = gr.Checkbox(
            suggesting,
            label="suggest other words",
            info=f"for up to {MOST_WORDS} words that do not fit, those that fit least; each takes a moment",
            elem_id="suggesting",
        )
        self.button = gr.Button("Check the captions", variant="primary")

    def _offer(self, examples: Sequence[Offered]) -> None:
        import gradio as gr

        self.examples = []
        with gr.Row(elem_id="examples"):
            for one in examples:
                self.examples.append((gr.Button(one.name, icon=str(one.picture), min_width=120, size="sm"), one))

    def _answered(self) -> None:
        import gradio as gr

        self.found = gr.State([], time_to_live=KEPT)
        self.highlights = gr.HTML(elem_id="highlights", apply_default_css=False)
        self.slider = _slider()(
            min(-0.01, 2 * self.epsilon),
            max(0, self.epsilon),
            self.epsilon,
            label="epsilon: words below it do not fit",
            info="Move it left where words that fit are marked.",
            elem_id="epsilon",
            buttons=[],
        )
        self.layers = _slider()(
            1,
            max(self.checker.layers, 2),
            self.checker.usual,
            step=1,
            label="text layers, counted from the last",
            visible=self.checker.layers > 1,
            elem_id="layers",
            buttons=[],
        )
        with gr.Accordion("all words and numbers", open=False):
            self.tables = gr.HTML(elem_id="tables", apply_default_css=False)
        with gr.Accordion("JSON, as infer.py --json prints it", open=False):
            self.json = gr.Textbox(
                label="JSON", lines=8, max_lines=16, interactive=False, buttons=["copy"], elem_id="json"
            )

    def _connect(self) -> None:
        settings = [self.slider, self.layers]
        chosen = [*settings, self.suggesting]
        shown = [self.found, self.highlights, self.tables, self.json]
        asked = [self.picture, self.captions, *chosen]
        for event in (self.button.click, self.captions.submit, self.suggesting.input, self.app.load):
            event(self._check, asked, [*shown, self.slider], api_visibility="private", concurrency_id="model")
        for button, one in self.examples:
            button.click(
                partial(self._take, one),
                chosen,
                [self.picture, self.captions, *shown, self.slider],
                api_visibility="private",
                concurrency_id="model",
            )
        for slider in settings:
            slider.input(
                self._again,
                [self.picture, self.found, *chosen],
                shown,
                api_visibility="private",
                show_progress="hidden",
                trigger_mode="always_last",
                concurrency_limit=4,
            )

    def _take(
        self, example: Offered, epsilon: float | None, layers: int | None, suggesting: bool = False
    ) -> tuple[Any, ...]:
        picture, text = str(example.picture), "\n".join(example.captions)
        return picture, text, *self._check(picture, text, epsilon, layers, suggesting)

    def _check(
        self, picture: str | None, text: str, epsilon: float | None, layers: int | None, suggesting: bool = False
    ) -> tuple[Any, ...]:
        import gradio as gr

        epsilon = self.epsilon if epsilon is None else epsilon
        layers = self.checker.usual if layers is None else layers
        try:
            answer = self.checker.answer(picture, text, epsilon, layers, suggesting)
        except (CLIP4DMError, OSError) as error:
            return *_problem(error, picture), gr.skip()
        low = lowest_epsilon(answer.detections, epsilon)
        return *_shown(picture, answer), _slider()(minimum=low, step=-low / 100)

    def _again(
        self,
        picture: str | None,
        found: list[Detection],
        epsilon: float | None,
        layers: int | None,
        suggesting: bool = False,
    ) -> tuple[Any, ...]:
        """found stays as the model made it: of other layers a calibration's probabilities are gone."""
        import gradio as gr

        if epsilon is None or layers is None:
            return (gr.skip(),) * 4
        try:
            answer = Answer(self.checker.again(found, epsilon, layers))
        except InputError as error:
            return found, *_problem(error, picture)[1:]
        return found, *_shown(picture, answer, ASK_AGAIN if suggesting else "")[1:]


def _shown(picture: str | None, answer: Answer, note: str = "") -> tuple[Any, ...]:
    """State, highlights, tables, JSON."""
    name, found, suggested = Path(picture).name if picture else "", answer.detections, answer.suggested
    return (
        found,
        captions_html(found, suggested, note),
        tables_html(found, suggested),
        as_json(name, found, suggested),
    )


def _problem(error: Exception, picture: str | None) -> tuple[Any, ...]:
    message = str(error)
    if picture:  # a visitor knows the name, not where the server keeps it
        message = message.replace(str(picture), Path(picture).name)
    return [], problem_html(message), "", ""
