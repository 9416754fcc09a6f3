"""The equations, in the paper's order (arXiv 2412.18404), each written here once: pure functions of arrays and numbers.

s is the cosine of the image and the text feature, without the logit scale; A[l] the attention map of text layer l after
its softmax, one for each head; G[l] = ds/dA[l] the cosine's gradient by it; r the row where the text feature is read.

    R[l]         = mean over heads of G[l] * A[l]                        relevance
    token t      = mean over the last K layers of R[l][r, t]             mean_over_layers
    word         = mean over the word's tokens                           mean_over_tokens
    misaligned   : words below epsilon; or the lowest word alone         misaligned
    F-CLIPScore  = (1 - s) * sum of the attributions below epsilon       f_clip_score
    CLIPScore    = 2.5 * max(s, 0)                                       clip_score       (Hessel et al. 2021)
    RefCLIPScore = harmonic mean of CLIPScore and the best reference's   ref_clip_score   (the same)
    additive     = s + weight * the lowest attribution                   additive_score   (ours)
    additive_sum = s + weight * F-CLIPScore's sum                        additive_sum_score   (ours)

No ReLU anywhere: negative attributions are the signal. Arrays: numpy's or PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, overload

from clip4dm.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Array = TypeVar("Array", Tensor, NDArray[np.floating[Any]])

CLIPSCORE_SCALE = 2.5
EPSILON = -5e-5
START_LAYER_TEXT = -3  # the paper's
PUBLISHED_LAYERS = 12  # text layers of the paper's smallest backbone; for smaller towers see docs/methods.md
GRAD_ECLIP_START = -8  # the usual one of that method (`attribution.grad_eclip`)
TEMPLATE = "A photo depicts "
CLIP4DM_METHOD = "clip4dm"  # the paper's among `attribution.methods`, and the one where none is given

SortedBy = Literal["threshold", "most_negative"]
SORTED_BY: tuple[SortedBy, ...] = get_args(SortedBy)

ScoreName = Literal["f_clip_score", "additive", "additive_sum"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
F_CLIP_SCORE: ScoreName = "f_clip_score"  # the paper's among SCORES, and the one without a weight


def relevance(attention: Array, gradient: Array) -> Array:
    """R of a layer: (..., heads, rows, tokens) twice -> (..., rows, tokens). Unit: of the cosine. Eq. of GAE, no ReLU.

    >>> import numpy as np
    >>> relevance(np.array([[[0.5, 0.5]], [[1.0, 0.0]]]), np.array([[[2.0, -1.0]], [[1.0, 4.0]]]))
    array([[ 1.  , -0.25]])
    """
    r: Array = (gradient * attention).mean(-3)
    return r


def mean_over_layers(layers: Array, last: int) -> Array:
    """R of the layers, first to last: (layers, ...) -> (...), the mean of the `last` last ones.

    Errors: InputError for more layers than there are.

    >>> import numpy as np
    >>> mean_over_layers(np.array([[9.0, 9.0], [1.0, 0.0], [3.0, -1.0]]), 2)
    array([ 2. , -0.5])
    """
    if not 1 <= last <= len(layers):
        raise InputError(f"the mean of {last} layers was asked for, but there are attributions of {len(layers)}")
    mean: Array = layers[len(layers) - last :].mean(0)
    return mean


def mean_over_tokens(per_token: Array, tokens: Sequence[int]) -> Array:
    """A word's attribution: (..., tokens) -> (...), the mean over the tokens of the word, given by their positions.

    >>> import numpy as np
    >>> float(mean_over_tokens(np.array([0.0, 1.0, 3.0, 0.0]), [1, 2]))
    2.0
    """
    mean: Array = per_token[..., list(tokens)].mean(-1)
    return mean


def misaligned(
    attributions: Sequence[float | None], sorted_by: SortedBy = "threshold", epsilon: float = EPSILON
) -> list[int]:
    """The words that are not true of the image: their indices, in order. The rule, for words and captions alike.

    threshold: those below epsilon. most_negative: the lowest alone, whatever epsilon. None: a word that was not scored.

    >>> misaligned([3e-4, -2e-4, None, -6e-5]), misaligned([3e-4, -2e-4, None, -6e-5], "most_negative")
    ([1, 3], [1])
    """
    if sorted_by == "most_negative":
        first = lowest(attributions)
        return [] if first is None else [first]
    return [i for i, value in enumerate(attributions) if value is not None and below(value, epsilon)]


@overload
def below(attribution: float, epsilon: float) -> bool: ...
@overload
def below(attribution: NDArray[np.floating[Any]], epsilon: float) -> NDArray[np.bool_]: ...
def below(attribution: Any, epsilon: float) -> Any:
    """Whether attributions lie below epsilon: strictly, as in the published code.

    >>> below(-2e-4, -5e-5), below(-5e-5, -5e-5)
    (True, False)
    """
    return attribution < epsilon


def lowest(attributions: Sequence[float | None]) -> int | None:
    """The index of the lowest attribution, the first of equal ones; None where nothing was scored.

    >>> lowest([3e-4, None, -2e-4]), lowest([])
    (2, None)
    """
    scored = [(value, i) for i, value in enumerate(attributions) if value is not None]
    return min(scored)[1] if scored else None


def misaligned_sum(
    attributions: Sequence[float | None], epsilon: float = EPSILON, sorted_by: SortedBy = "threshold"
) -> float:
    """The sum of the misaligned words' attributions, most negative first as the published code adds; 0.0 if none.

    >>> misaligned_sum([3e-4, -2e-4, None, -1e-4])
    -0.00030000000000000003
    """
    values = (attributions[i] for i in misaligned(attributions, sorted_by, epsilon))
    return float(sum(sorted(value for value in values if value is not None)))


def f_clip_score(cosine: float, attributions: Sequence[float | None], epsilon: float = EPSILON) -> float:
    """F-CLIPScore by the paper's equation, <= 0: nearer 0 is better aligned. cosine: -1..1.

    >>> f_clip_score(0.25, [3e-4, -2e-4])
    -0.00015000000000000001
    """
    total = misaligned_sum(attributions, epsilon)
    return (1.0 - cosine) * total if total else 0.0


def additive_score(cosine: float, attributions: Sequence[float | None], weight: float) -> float:
    """s + weight * the lowest attribution: the cosine, lowered by its worst word. Not of the paper.

    weight: in cosines per attribution, fitted on pairs of its own (`evaluation.metrics.weights`). Where nothing was
    scored, the cosine.

    >>> additive_score(0.25, [3e-4, -2e-4], 100.0)
    0.23
    """
    first = lowest(attributions)
    return cosine if first is None else cosine + weight * (attributions[first] or 0.0)


def additive_sum_score(
    cosine: float, attributions: Sequence[float | None], weight: float, epsilon: float = EPSILON
) -> float:
    """s + weight * F-CLIPScore's sum: the cosine, lowered by all words below epsilon. Not of the paper.

    weight: as for `additive_score`, of one epsilon. Where no word lies below epsilon, the cosine.

    >>> round(additive_sum_score(0.25, [3e-4, -2e-4, -1e-4], 100.0), 12)
    0.22
    """
    return cosine + weight * misaligned_sum(attributions, epsilon)


def pair_score(
    cosine: float,
    attributions: Sequence[float | None],
    epsilon: float = EPSILON,
    score: ScoreName = F_CLIP_SCORE,
    weight: float | None = None,
) -> float:
    """The score of a pair by its name, one of SCORES; the higher, the better the caption fits the picture.

    weight: None for F-CLIPScore, which has none. Errors: InputError, as `check_score`.

    >>> pair_score(0.25, [3e-4, -2e-4]), pair_score(0.25, [3e-4, -2e-4], score="additive", weight=100.0)
    (-0.00015000000000000001, 0.23)
    """
    check_score(score, weight)
    if weight is None:
        return f_clip_score(cosine, attributions, epsilon)
    if score == "additive":
        return additive_score(cosine, attributions, weight)
    return additive_sum_score(cosine, attributions, weight, epsilon)


def check_score(score: str, weight: float | None) -> None:
    """Whether it is a score, and has the weight it needs and no other. Errors: InputError, saying how to get one.

    >>> check_score("f_clip_score", 2.0)
    Traceback (most recent call last):
    clip4dm.errors.InputError: score_weight 2.0 means nothing to f_clip_score, which has no weight; leave it away
    """
    if score not in SCORES:
        raise InputError(f"unknown score {score!r}; allowed: {', '.join(SCORES)}")
    if score == F_CLIP_SCORE:
        if weight is not None:
            raise InputError(
                f"score_weight {weight!r:.60} means nothing to {score}, which has no weight; leave it away"
            )
        return
    if weight is None:
        raise InputError(
            f"the score {score} needs a score_weight, and none is usual: it is fitted for a model and a method. Run "
            "main.py with f_clip_score; misc/epsilon_study.py RUN_FOLDER then prints the weight"
        )
    if not isinstance(weight, Real) or isinstance(weight, bool) or not math.isfinite(weight) or weight < 0:
        raise InputError(f"score_weight is {weight!r:.60}; it must be a finite number from 0 on, such as 12.5")


def weight_kept(
    was: tuple[ScoreName, float | None], score: ScoreName | None, weight: float | None
) -> tuple[ScoreName, float | None]:
    """(score, weight) under other settings, where None stays as it was; a weight does not go from score to score.

    >>> weight_kept(("additive", 2.0), None, 3.0), weight_kept(("additive", 2.0), "f_clip_score", None)
    (('additive', 3.0), ('f_clip_score', None))
    """
    score = was[0] if score is None else score
    return score, was[1] if weight is None and score == was[0] else weight


def clip_score(cosine: float) -> float:
    """CLIPScore, 2.5 * max(cosine, 0), in 0..2.5.

    >>> clip_score(0.25), clip_score(-0.1)
    (0.625, 0.0)
    """
    return CLIPSCORE_SCALE * max(cosine, 0.0)


def ref_clip_score(cosine: float, reference_cosines: Iterable[float]) -> float | None:
    """RefCLIPScore: the harmonic mean of CLIPScore and the best reference's cosine with the caption, at least 0.

    The reference term is not scaled by 2.5. References carry the same template as the caption. None without references.

    >>> ref_clip_score(0.2, [0.5, 0.1]), ref_clip_score(0.2, [])
    (0.5, None)
    """
    best = max((max(c, 0.0) for c in reference_cosines), default=None)
    if best is None:
        return None
    image = clip_score(cosine)
    return 0.0 if image + best == 0 else 2 * image * best / (image + best)


def usual_start(layers: int) -> int:
    """start_layer_text where none is given: the paper's for towers as deep as its own; all layers of smaller ones.

    >>> usual_start(24), usual_start(12), usual_start(4)
    (-3, -3, 0)
    """
    return START_LAYER_TEXT if layers >= PUBLISHED_LAYERS else 0


def last_layers(start_layer_text: int, layers: int) -> int:
    """K: how many layers, counted from the last, a Python index into `layers` text layers means.

    A usual one, -3 or -8, means the last three or eight or as many as there are: smaller towers are explained whole.
    Errors: InputError for an index that is out of range.

    >>> last_layers(-3, 12), last_layers(0, 12), last_layers(-3, 2), last_layers(-8, 4)
    (3, 12, 2, 4)
    """
    if not hasattr(start_layer_text, "__index__") or isinstance(start_layer_text, bool):
        raise InputError(f"start_layer_text is a whole number such as {START_LAYER_TEXT}, got {start_layer_text!r}")
    if start_layer_text in (START_LAYER_TEXT, GRAD_ECLIP_START) and layers < -start_layer_text:
        return layers
    if layers == 1 and start_layer_text not in (-1, 0):
        raise InputError(
            f"start_layer_text {start_layer_text} is out of range: there is one row of attributions, of a tower of one "
            "layer or of the whole tower at once, so it may be -1 or 0; or leave it away"
        )
    if not -layers <= start_layer_text < layers:
        raise InputError(
            f"start_layer_text {start_layer_text} is out of range: this text tower has {layers} layers, "
            f"so it may be {-layers} to {layers - 1} (-3 explains the last three)"
        )
    return layers - start_layer_text % layers
