"""What scores are made by: the method's settings and the model, of a detector, or of one that is only asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from clip4dm.attribution.methods import Method, get_method
from clip4dm.calibration.curve import Curve
from clip4dm.calibration.stored import AttributedBy, Suggestions
from clip4dm.captions.sentences import CUT, check_long
from clip4dm.detection import check_settings
from clip4dm.errors import ModelError
from clip4dm.files.provenance import fingerprint
from clip4dm.files.reading import file_sha256
from clip4dm.models.hub import weights_at_hand
from clip4dm.models.sources import resolve_source, text_layers
from clip4dm.scores import CLIP4DM_METHOD, last_layers

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.scoring.suggestions import SuggestionSettings

# A detector's settings beside its method and `long`.
OWN = ("image_masks", "template", "start_layer_text", "sorted_by", "epsilon", "score", "score_weight")


class NotAtHand(ModelError):
    """Weights that are not on this machine, where nothing is to be fetched."""


@dataclass(frozen=True)
class Maker:
    """settings: the detector's. model: backbone, precision, activation. pretrained: the weights as they are called.

    gains: a calibration's, of suggestions.

    Maker.of(detector).weights_sha256
    """

    settings: Mapping[str, Any]
    model: Mapping[str, Any]
    weights_sha256: str
    pretrained: str
    attributed_by: AttributedBy
    gains: Suggestions | None = None

    def calibrated(self, curve: Curve | None, epsilon: float, gains: Suggestions | None = None) -> Maker:
        """The same with a calibration's epsilon; without a curve it is unsaid, and scores from before are the same."""
        own = {} if curve is None else {"calibration": fingerprint(asdict(curve))}
        return replace(self, settings={**self.settings, "epsilon": epsilon, **own}, gains=gains)

    def suggesting(self, wanted: SuggestionSettings | None) -> Maker:
        """The same with suggestions beside the scores; without, they are unsaid, as in scores from before."""
        return self if wanted is None else replace(self, settings={**self.settings, **wanted.identity(self.gains)})

    @staticmethod
    def of(detector: CLIP4DM) -> Maker:
        """What a setting is, the detector says: an option may have meant "the usual one"."""
        model = detector.model
        settings = _settings(detector.method, {name: getattr(detector, name) for name in OWN}, detector.long)
        about = {"backbone": model.backbone, "precision": model.precision, "quick_gelu": model.quick_gelu}
        by = detector.attributed_by()
        maker = Maker(settings, about, by.weights_sha256, model.pretrained, by)
        return maker.calibrated(detector.curve, detector.epsilon, detector.gains)

    @staticmethod
    def asked(recipe: Mapping[str, Any]) -> Maker:
        """The same of the detector that `CLIP4DM.from_pretrained(**recipe)` would be, without loading its weights.

        They are read for their hash, never fetched. Errors: NotAtHand, ModelError, InputError.

        >>> from clip4dm import CLIP4DM
        >>> recipe = {"backbone": "demo", "precision": "fp32", "template": "", "sorted_by": "threshold",
        ...           "epsilon": -1e-3, "score": "f_clip_score"}
        >>> Maker.asked(recipe) == Maker.of(CLIP4DM.from_pretrained(device="cpu", **recipe))
        True
        """
        names = recipe.get("backbone"), recipe.get("pretrained")
        if not weights_at_hand(*names):
            called = " ".join(name for name in names if name)
            raise NotAtHand(f"the weights of {called} are not on this machine (whether there are such, a run will say)")
        source = resolve_source(*names)
        layers = text_layers(source)
        method = get_method(recipe.get("method", CLIP4DM_METHOD), recipe.get("margin"), recipe.get("steps"))
        own = {
            **recipe,
            "image_masks": method.image_masks(recipe.get("image_masks", 0)),
            "start_layer_text": method.start(recipe.get("start_layer_text"), layers),
            "score_weight": recipe.get("score_weight"),
        }
        settings = _settings(method, own, recipe.get("long", CUT))
        last_layers(settings["start_layer_text"], layers)
        check_settings(settings["sorted_by"], settings["epsilon"], settings["score"], settings["score_weight"])
        about = {"backbone": source.backbone, "precision": recipe["precision"], "quick_gelu": source.quick_gelu}
        by = AttributedBy(
            pretrained=source.pretrained,
            weights_sha256=file_sha256(source.weights_path),
            **about,
            image_masks=settings["image_masks"],
            template=settings["template"],
            **method.identity(settings["start_layer_text"], method.rows(layers)),
        )
        return Maker(settings, about, by.weights_sha256, source.pretrained, by)


def _settings(method: Method, own: Mapping[str, Any], long: str) -> dict[str, Any]:
    """own: with the values of OWN, as the detector has them. Errors: InputError."""
    of_method = {"method": method.name, "margin": method.margin, "steps": method.steps}
    return {**of_method, **{name: own[name] for name in OWN}, **said_of_long(long)}


def said_of_long(long: str) -> dict[str, str]:
    """The setting, unsaid where captions are cut: scores from before there was another way are the same scores.

    Errors: InputError for one that cannot be.

    >>> said_of_long("cut"), said_of_long("split")
    ({}, {'long': 'split'})
    """
    check_long(long)
    return {} if long == CUT else {"long": long}
