"""The ways to attribute, by name: the method of the paper, and others to compare it with. Each has a page of its own.

    clip4dm          R at the end-of-text row, last layers    replay.py, plain.py   1 pass, and one token's way back
    gae              ReLU, product over layers                variants.py           a pass forward and back
    gradient_value   R summed over all rows, all layers       gradient_value.py     a pass forward and back
    gradient_input   gradient times what enters the tower     embeddings.py         a pass forward and back
    grad_eclip       softened similarity times gradient       grad_eclip.py         1 pass, and one token's way back
    integrated       integrated gradients over embeddings     embeddings.py         a pass a step, forward and back
    occlusion        the cosine without the word              occlusion.py          words + 1 passes
    replacement      the cosine with a neutral word for it    replacement.py        words + 1 passes
    masking          the cosine with and without, over masks  masking.py            100 passes
    shapley          what a word adds, over orders of words   shapley.py            8 times as many as words
    ensemble         shapley and gradient_value, a margin     ensemble.py           those two's

The last five have a margin, by which a word must speak for itself (coalitions.py): 0 but in the ensemble, unless said.
integrated has steps, 16 unless said.

A pass is one of the text tower, of a caption at its true length. The image is encoded once in all.
Attributions are in units of the cosine, and lowest for words that do not fit; their sizes differ between methods, so
that an epsilon fits one alone. Nothing here is imported before it is used: `--help` must not wait for torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from clip4dm.errors import InputError
from clip4dm.scores import CLIP4DM_METHOD, EPSILON, GRAD_ECLIP_START, last_layers, usual_start

if TYPE_CHECKING:
    from torch import Tensor

    from clip4dm.attribution.batch import Attribution
    from clip4dm.captions.words import EncodedCaption
    from clip4dm.towers.text import TextTower

Run = Callable[..., "Attribution"]  # of Method.run


@dataclass(frozen=True)
class Method:
    """A way to attribute. start_layer_text: its usual one, None for the tower's (`scores.usual_start`).

    one_layer: it gives one row for the whole tower.

    margin: of `attribution.coalitions`, None where the method has none. steps: of integrated gradients, likewise.
    linear: in the picture's feature, so that the mean over pictures is that of the mean feature.

    run(tower, captions, image_features, caption_of, start_layer_text): captions are the distinct ones (C),
    image_features (P, features) of unit length, caption_of the caption of each pair; gives R (P, layers, T). With
    margin= or steps=, where there is one: `attribute` gives it.

    >>> method = get_method("gae")
    >>> method.start(None, 12), method.rows(12), method.fixed_layers, get_method("occlusion").fixed_layers
    (-3, 1, False, True)
    """

    name: str
    run: Run
    start_layer_text: int | None = None
    one_layer: bool = False
    margin: float | None = None
    steps: int | None = None
    linear: bool = True

    def __reduce__(self) -> tuple[Callable[..., Method], tuple[Any, ...]]:
        return get_method, (self.name, self.margin, self.steps)  # pickled by its name: `run` may be a closure

    @property
    def fixed_layers(self) -> bool:
        """Whether start_layer_text means nothing to it."""
        return self.start_layer_text == -1

    def epsilon_note(self, epsilon: float) -> str | None:
        """What to say where the paper's epsilon is to judge attributions of another size; None where nothing is.

        >>> get_method("gradient_value").epsilon_note(-5e-5), get_method("shapley").epsilon_note(-1e-2)
        (None, None)
        """
        if epsilon != EPSILON or not self.one_layer:  # means over heads and layers, as the paper's, are of its size
            return None
        return (
            f"epsilon {epsilon:g} is the paper's, for its own attributions; those of {self.name} are of another size: "
            "`clip4dm calibrate` finds one for it"
        )

    def start(self, given: int | None, layers: int) -> int:
        """start_layer_text as given, or the usual one for a tower of so many layers. Errors: as `check_start`.

        >>> clip4dm = get_method("clip4dm")
        >>> clip4dm.start(None, 12), clip4dm.start(None, 4), clip4dm.start(-2, 4)
        (-3, 0, -2)
        """
        self.check_start(given)
        if given is not None:
            return given
        return usual_start(layers) if self.start_layer_text is None else self.start_layer_text

    def check_start(self, given: int | None) -> None:
        """Errors: InputError where start_layer_text would mean nothing.

        >>> get_method("occlusion").check_start(None)
        """
        if given is not None and self.fixed_layers and given != self.start_layer_text:
            raise InputError(
                f"start_layer_text {given} means nothing to the method {self.name}, which has one row for the whole "
                "text tower; leave it away"
            )

    def image_masks(self, given: int) -> int:
        """How many masked copies of a picture to take. Errors: InputError for what is no number, or none of a method's.

        >>> get_method("masking").image_masks(10)
        10
        """
        if not isinstance(given, int) or isinstance(given, bool) or given < 0:
            raise InputError(f"image_masks is {given!r}; it must be a whole number from 0 on, such as 10")
        if given and not self.linear:
            raise InputError(
                f"image_masks {given} cannot be had of the method {self.name}, which is not linear in the picture"
            )
        return given

    def attribute(
        self,
        tower: TextTower,
        captions: Sequence[EncodedCaption],
        image_features: Tensor,
        caption_of: Sequence[int],
        start: int,
    ) -> Attribution:
        """`run`, with the margin or steps if there are some. Errors: InputError where features do not fit the pairs.

        get_method("occlusion").attribute(tower, captions, image_features, range(len(captions)), -1).per_layer
        """
        own = {name: getattr(self, name) for name in ("margin", "steps") if getattr(self, name) is not None}
        return self.run(tower, captions, image_features, caption_of, start, **own)

    def identity(self, start: int, rows: int) -> dict[str, Any]:
        """What tells its attributions from others (`calibration.stored.AttributedBy`). rows: that start counts."""
        layers = (
            "all" if self.fixed_layers else f"from {start}" if self.one_layer else f"last {last_layers(start, rows)}"
        )
        return {"method": self.name, "margin": self.margin, "steps": self.steps, "layers": layers}

    def rows(self, layers: int) -> int:
        """How many rows of attributions a caption gets from a tower of so many layers, all layers explained."""
        return 1 if self.one_layer else layers


def get_method(name: str, margin: float | None = None, steps: int | None = None) -> Method:
    """A method by name, with another margin or number of steps if one is given.

    Errors: InputError with the nearest names; for a margin or steps where there are none, or that cannot be.

    >>> get_method("gradient_value").start_layer_text, get_method("shapley").margin, get_method("shapley", 0.2).margin
    (0, 0.0, 0.2)
    """
    if not isinstance(name, str) or name not in METHODS:
        near = difflib.get_close_matches(str(name), METHODS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"unknown method {name!r}; there are: {', '.join(METHODS)}.{hint}")
    method = METHODS[name]
    for option, value in (("margin", margin), ("steps", steps)):
        if value is not None and getattr(method, option) is None:
            having = ", ".join(other.name for other in METHODS.values() if getattr(other, option) is not None)
            raise InputError(f"{option} {value} means nothing to the method {name}; these have one: {having}")
    if margin is not None:
        if not (isinstance(margin, (int, float)) and 0 <= margin <= 1):
            raise InputError(f"margin is {margin!r}; it must be a number from 0 to 1, the cosine asked of a word")
        method = replace(method, margin=float(margin))
    if steps is not None:
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise InputError(f"steps is {steps!r}; it must be a whole number from 1 on, such as {method.steps}")
        method = replace(method, steps=steps)
    return method


def _clip4dm(
    tower: TextTower, captions: Sequence[EncodedCaption], features: Tensor, caption_of: Sequence[int], start: int
) -> Attribution:
    from clip4dm.attribution.attribute import attribute

    return attribute(tower, captions, features, start, caption_of=caption_of)


def _gae(
    tower: TextTower, captions: Sequence[EncodedCaption], features: Tensor, caption_of: Sequence[int], start: int
) -> Attribution:
    from clip4dm.attribution.batch import Attribution, Batch
    from clip4dm.attribution.plain import attention_gradients
    from clip4dm.attribution.variants import Variant, token_attributions

    last = last_layers(start, tower.layers)
    batch = Batch.of(tower, captions, features, caption_of)
    maps = attention_gradients(tower, batch, tower.layers - last)
    rows = token_attributions(maps.attention, maps.gradients, batch.row, Variant("positive", "rollout", last))
    return Attribution(rows[:, None, : batch.ids.shape[1]], maps.text_features, maps.cosine)


def _gradient_input(
    tower: TextTower, captions: Sequence[EncodedCaption], features: Tensor, caption_of: Sequence[int], start: int
) -> Attribution:
    from clip4dm.attribution.batch import Batch
    from clip4dm.attribution.embeddings import attribute_gradient_input

    return attribute_gradient_input(tower, Batch.of(tower, captions, features, caption_of))


def _integrated(
    tower: TextTower,
    captions: Sequence[EncodedCaption],
    features: Tensor,
    caption_of: Sequence[int],
    start: int,
    steps: int,
) -> Attribution:
    from clip4dm.attribution.batch import Batch
    from clip4dm.attribution.embeddings import attribute_integrated

    return attribute_integrated(tower, captions, Batch.of(tower, captions, features, caption_of), steps)


def _by_layer(page_and_function: str) -> Run:
    """The method of a page that explains each layer from some one on: "page.function"."""

    def run(
        tower: TextTower, captions: Sequence[EncodedCaption], features: Tensor, caption_of: Sequence[int], start: int
    ) -> Attribution:
        from clip4dm.attribution.batch import Batch

        first = tower.layers - last_layers(start, tower.layers)
        batch = Batch.of(tower, captions, features, caption_of)
        found: Attribution = _of_page(page_and_function)(tower, batch, first, tower.shared_tokens(captions))
        return found

    return run


def _in_coalitions(plan: str) -> Run:
    """The method of a plan of `attribution.coalitions`: "page.function"."""

    def run(
        tower: TextTower,
        captions: Sequence[EncodedCaption],
        features: Tensor,
        caption_of: Sequence[int],
        start: int,
        margin: float = 0.0,
    ) -> Attribution:
        from clip4dm.attribution.batch import Batch
        from clip4dm.attribution.coalitions import attribute_coalitions

        batch = Batch.of(tower, captions, features, caption_of)
        return attribute_coalitions(tower, captions, batch, _of_page(plan), margin)

    return run


def _of_page(page_and_function: str) -> Callable[..., Any]:
    """A function of this room by "page.function", imported when it is used."""
    page, function = page_and_function.split(".")
    found: Callable[..., Any] = getattr(import_module(f"clip4dm.attribution.{page}"), function)
    return found


def _ensemble(
    tower: TextTower,
    captions: Sequence[EncodedCaption],
    features: Tensor,
    caption_of: Sequence[int],
    start: int,
    margin: float,
) -> Attribution:
    from clip4dm.attribution.batch import Batch
    from clip4dm.attribution.ensemble import attribute_ensemble

    return attribute_ensemble(tower, captions, Batch.of(tower, captions, features, caption_of), margin)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(CLIP4DM_METHOD, _clip4dm),
        Method("gae", _gae, one_layer=True, linear=False),
        Method("gradient_value", _by_layer("gradient_value.attribute_gradient_value"), start_layer_text=0),
        Method("gradient_input", _gradient_input, start_layer_text=-1, one_layer=True),
        Method("grad_eclip", _by_layer("grad_eclip.attribute_grad_eclip"), start_layer_text=GRAD_ECLIP_START),
        Method("integrated", _integrated, start_layer_text=-1, one_layer=True, steps=16),
        Method("occlusion", _in_coalitions("occlusion.left_out"), start_layer_text=-1, one_layer=True, margin=0.0),
        Method("replacement", _in_coalitions("replacement.replaced"), start_layer_text=-1, one_layer=True, margin=0.0),
        Method("masking", _in_coalitions("masking.random_masks"), start_layer_text=-1, one_layer=True, margin=0.0),
        Method("shapley", _in_coalitions("shapley.random_orders"), start_layer_text=-1, one_layer=True, margin=0.0),
        Method("ensemble", _ensemble, start_layer_text=-1, one_layer=True, margin=0.3),
    )
}
