"""The options of what could stand for a word that is not true, and what they ask for; the programs share them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from clip4dm.commands.cli import tell
from clip4dm.errors import InputError
from clip4dm.evaluation import options
from clip4dm.suggestion.result import CLIP, MIN_GAIN, TOP

if TYPE_CHECKING:
    from clip4dm.detector import CLIP4DM
    from clip4dm.suggestion.suggest import Asked
    from clip4dm.suggestion.vocabulary import Vocabulary


def add_suggestion_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """--suggest, --vocabulary, --min_gain and --near; returns their group.

    >>> parser = argparse.ArgumentParser()
    >>> group = add_suggestion_options(parser)
    >>> parser.parse_args(["--suggest"]).suggest, parser.parse_args(["--suggest", "3"]).suggest
    (5, 3)
    """
    group = parser.add_argument_group("suggestions")
    group.add_argument(
        "--suggest",
        nargs="?",
        type=options.AT_LEAST_ONE,
        const=TOP,
        metavar="N",
        help="other words for each misaligned one, up to N of those that raise the cosine most (N, where it is not "
        f"given: {TOP}); docs/suggestions.md says how they are found",
    )
    group.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="the words to choose from: a file of them, one a line, or in groups; clip: all whole words that CLIP's "
        "tokenizer knows (default: the list that comes along, some 2,000 words for what pictures show)",
    )
    group.add_argument(
        "--min_gain",
        type=options.GAIN,
        metavar="X",
        help="a word is suggested where it raises the cosine by X at least (default: the calibration's, else "
        f"{MIN_GAIN:g}, any gain)",
    )
    group.add_argument(
        "--near", action="store_true", help="suggest inflections of the word itself too, and words that mean the same"
    )
    return group


def words_of(args: argparse.Namespace) -> Vocabulary | str | None:
    """The words to choose from, read before the model is loaded; "clip" as it is; None without --suggest.

    Errors: VocabularyError for a file of no words; InputError for options that need --suggest.

    >>> words_of(argparse.Namespace(suggest=None, vocabulary="words.txt", min_gain=None, near=False))
    Traceback (most recent call last):
    clip4dm.errors.InputError: --vocabulary means nothing without --suggest
    """
    if args.suggest is None:
        for name, value in (("--vocabulary", args.vocabulary), ("--min_gain", args.min_gain), ("--near", args.near)):
            if value is not None and value is not False:
                raise InputError(f"{name} means nothing without --suggest")
        return None
    from clip4dm.suggestion.vocabulary import packaged_vocabulary, read_vocabulary

    if args.vocabulary is None:
        return packaged_vocabulary()
    return CLIP if args.vocabulary == CLIP else read_vocabulary(Path(args.vocabulary))


def asked_of(args: argparse.Namespace, words: Vocabulary | str | None, detector: CLIP4DM) -> Asked | None:
    """What the options ask `suggestion.suggest` for; None without --suggest. words: of `words_of`.

    Where the calibration is of other suggestions, that is said on standard error.
    Errors: InputError where the model's tokenizer has no whole words to choose from.

        asked_of(args, words_of(args), detector_of(args, "ViT-B-32"))
    """
    if args.suggest is None:
        return None
    from clip4dm.suggestion.calibrated import asked_by
    from clip4dm.suggestion.open_words import vocabulary_of

    vocabulary = vocabulary_of(words, detector.model.tokenizer, detector.model.tower)
    return asked_by(
        detector.gains,
        vocabulary,
        args.suggest,
        args.min_gain,
        distinct=not args.near,
        tell=lambda line: tell(f"note: {line}"),
    )
