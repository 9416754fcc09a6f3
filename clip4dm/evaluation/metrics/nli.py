"""Entailment of a hypothesis by a premise, from any sequence-classification model of transformers.

    entailment = exp(e) / (exp(c) + exp(e))

with c, e the logits of contradiction and entailment; neutral is left out. For SeeTRUE-Feedback (Gordon et al.
2023) the premise is the annotated misalignment in lower case, the hypothesis the words that were found, and
finding nothing scores 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from clip4dm.errors import CLIP4DMError, InputError, short_reason
from clip4dm.files.reading import kind_of
from clip4dm.files.streams import batches
from clip4dm.models.hub import check_hub_reachable
from clip4dm.models.load import pick_device

if TYPE_CHECKING:
    import torch

DEFAULT_NLI_MODEL = "facebook/bart-large-mnli"
_HELP = (
    "give a folder holding a Hugging Face sequence-classification model, or a name such as "
    f"{DEFAULT_NLI_MODEL} that is in the Hugging Face cache (HF_HOME) or can be fetched"
)

# transformers' PreTrainedModel, PreTrainedTokenizerBase, PretrainedConfig and BatchEncoding: what it says of their
# types changes from version to version.
Model: TypeAlias = Any
NLITokenizer: TypeAlias = Any
Config: TypeAlias = Any
Encoding: TypeAlias = Any

Pair = tuple[str, str]
Entailment = Callable[[Sequence[str], Sequence[str]], Sequence[float | None]]  # premises, hypotheses -> 0..1


class NLIUnavailable(CLIP4DMError, RuntimeError):
    """No entailment can be computed: why, and how to go on, in one line."""


@dataclass(frozen=True)
class EntailmentModel:
    """A sequence-classification model in eval mode, in float32; make one with `EntailmentModel.load`.

    contradiction, entailment: the places of these labels among the logits. name: as given. commit: the hub's
    revision, None for a folder. max_tokens: longer pairs lose the end of their longer half.

        model = EntailmentModel.load("facebook/bart-large-mnli", device="cuda")
        model.entailment(["the dog is not red"], ["red dog"])  # a list of one number, 0..1
    """

    model: Model
    tokenizer: NLITokenizer
    contradiction: int
    entailment_label: int
    device: torch.device
    batch_size: int
    max_tokens: int
    name: str
    commit: str | None

    @classmethod
    def load(
        cls, name_or_folder: str | Path = DEFAULT_NLI_MODEL, device: str = "auto", batch_size: int = 32
    ) -> EntailmentModel:
        """Load by hub name or folder; of a cached model the hub is not asked. Errors: NLIUnavailable, InputError.

        EntailmentModel.load("folder/of/a/model", device="cpu", batch_size=8)
        """
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1")
        name, target = str(name_or_folder), pick_device(device)
        model, tokenizer = _load(name)
        contradiction, entailment = _labels(name, model.config)
        return cls(
            model.to(target).eval(),
            tokenizer,
            contradiction,
            entailment,
            target,
            batch_size,
            _max_tokens(model.config, tokenizer),
            name,
            _commit(name),
        )

    def entailment(
        self, premises: Sequence[str], hypotheses: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> list[float]:
        """Probability, 0..1, that each premise entails its hypothesis; 0.0 for an empty or blank one.

        Each distinct pair is run once. progress: called after every batch with the number of pairs it held.
        Errors: InputError when the two are not as many; NLIUnavailable where the weights give no finite numbers.

            EntailmentModel.load().entailment(["the dog is not red"], ["red dog"])
        """
        for what, texts in (("premises", premises), ("hypotheses", hypotheses)):
            if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
                raise InputError(f"{what} must be a list of strings; got {repr(texts)[:80]}")
        if len(premises) != len(hypotheses):
            raise InputError(f"{len(premises)} premises and {len(hypotheses)} hypotheses; expected as many")
        pairs = list(zip(premises, hypotheses, strict=True))
        distinct = dict.fromkeys(pair for pair in pairs if pair[1].strip())
        known: dict[Pair, float] = {}
        for batch, inputs in self._batches(list(distinct)):
            known.update(zip(batch, self._probabilities(inputs), strict=True))
            if progress:
                progress(len(batch))
        return [known.get(pair, 0.0) for pair in pairs]

    def _batches(self, pairs: list[Pair]) -> Iterator[tuple[list[Pair], Encoding]]:
        """The pairs by length, longest first, so that little is padded and the first batch needs the most."""
        if not pairs:
            return
        # split_special_tokens: a caption that spells </s> is text, and must not end the sequence.
        encoded = self.tokenizer(
            [p for p, _ in pairs],
            [h for _, h in pairs],
            truncation=True,
            max_length=self.max_tokens,
            split_special_tokens=True,
        )
        lengths = [len(ids) for ids in encoded["input_ids"]]
        order = sorted(range(len(pairs)), key=lambda i: (-lengths[i], i))
        for rows in batches(order, self.batch_size):
            columns = {name: [values[i] for i in rows] for name, values in encoded.items()}
            yield [pairs[i] for i in rows], self.tokenizer.pad(columns, return_tensors="pt")

    def _probabilities(self, inputs: Encoding) -> list[float]:
        import torch

        with torch.inference_mode():
            logits = self.model(**inputs.to(self.device)).logits.double()  # (pairs, labels)
        margin = logits[:, self.entailment_label] - logits[:, self.contradiction]  # (pairs,)
        if not torch.isfinite(margin).all():
            raise NLIUnavailable(
                f"the entailment model {self.name} gives logits that are not finite; are its weights damaged? {_HELP}"
            )
        return torch.sigmoid(margin).tolist()


def entailment_or_reason(name: str, device: str, say: Callable[[str], None]) -> tuple[Entailment | None, str | None]:
    """(the model's entailment, None), or (None, why there is none): a run goes on without its NLI.

    name, device: as for `EntailmentModel.load`. say: takes a line where there is none. Errors: InputError for a name
    that is a file or a pipe.

        entailment, reason = entailment_or_reason("facebook/bart-large-mnli", "auto", print)
    """
    kind = kind_of(Path(name))
    if kind not in (None, "a folder"):
        raise InputError(f"--nli_model {name} is {kind}; give a folder holding a model, or a hub's name")
    try:
        model = EntailmentModel.load(name, device)
    except NLIUnavailable as error:
        say(f"NLI: not computed: {error}")
        return None, str(error)

    def entailment(premises: Sequence[str], hypotheses: Sequence[str]) -> Sequence[float | None]:
        try:
            return model.entailment(premises, hypotheses)
        except NLIUnavailable as error:  # these pairs go without
            say(f"NLI: not computed for {len(premises)} samples: {error}")
            return [None] * len(premises)

    return entailment, None


def _load(name: str) -> tuple[Model, NLITokenizer]:
    """(model, tokenizer), from the folder or the cache alone where possible, else from the hub."""
    try:
        import transformers
    except ImportError as error:
        raise NLIUnavailable(
            f"entailment needs the package transformers: pip install transformers ({short_reason(error)})"
        ) from error
    try:
        return _pretrained(transformers, name, offline=True)
    except NLIUnavailable:
        raise
    except Exception as error:  # the loaders of config, tokenizer and weights each raise their own kinds
        local = error
    if Path(name).is_dir():
        raise NLIUnavailable(
            f"no entailment model could be loaded from the folder {name} ({short_reason(local)}); {_HELP}"
        ) from local
    # Of a model that is not here transformers says so at length; of damaged files it says what is wrong.
    here = "is not in the cache" if isinstance(local, OSError) else f"cannot be read ({short_reason(local)})"
    try:
        _check_hub_reachable()
        return _pretrained(transformers, name, offline=False)
    except NLIUnavailable:
        raise
    except Exception as error:  # as above
        raise NLIUnavailable(
            f"the entailment model {name!r} is no folder, {here} and could not be "
            f"fetched ({short_reason(error)}); {_HELP}"
        ) from error


def _pretrained(transformers: ModuleType, name: str, offline: bool) -> tuple[Model, NLITokenizer]:
    import torch

    tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=offline)
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        name, local_files_only=offline, dtype=torch.float32, output_loading_info=True
    )
    absent = sorted(info["missing_keys"])
    if absent:  # transformers fills them at random and only warns: the scores would be noise
        raise NLIUnavailable(
            f"{name} lacks {len(absent)} weights of a sequence classifier ({', '.join(absent[:3])}...); {_HELP}"
        )
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):  # transformers 5 makes one up if need be
        raise NLIUnavailable(f"{name} has no tokenizer of its own: its vocabulary is empty; {_HELP}")
    if tokenizer.pad_token is None:
        raise NLIUnavailable(f"the tokenizer of {name} has no padding token, which batches need; {_HELP}")
    return model, tokenizer


def _check_hub_reachable() -> None:
    """OSError at once where the hub is barred or its name unknown; its client would retry for a while."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    check_hub_reachable()


def _commit(name: str) -> str | None:
    """The hub's revision that was loaded: the cache keeps each in a folder of its name."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return None
    config = try_to_load_from_cache(name, "config.json")
    return Path(config).parent.name if isinstance(config, str) else None


def _labels(name: str, config: Config) -> tuple[int, int]:
    """Places of contradiction and entailment among the logits, by the configuration's own names."""
    places = {str(label).strip().lower(): int(place) for place, label in config.id2label.items()}
    if "contradiction" not in places or "entailment" not in places:
        raise NLIUnavailable(
            f"{name} is no entailment model: its labels (id2label) are "
            f"{dict(config.id2label)}, expected contradiction and entailment; {_HELP}"
        )
    return places["contradiction"], places["entailment"]


def _max_tokens(config: Config, tokenizer: NLITokenizer) -> int:
    """The longest input: the tokenizer's limit (may be 1e30) or the table of positions, whichever is less."""
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    if "roberta" in config.model_type:  # its positions start after the padding's
        positions -= config.pad_token_id + 1
    return int(min(positions, tokenizer.model_max_length))
