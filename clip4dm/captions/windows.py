"""A caption longer than the context, read whole: sentence by sentence, a sentence too long in windows of words.

    caption -> tokens -> sentences -> windows      each behind the template, attributed as any caption is
    a word       its attribution in the one window that it counts in
    the pair     s = mean over the caption's tokens of the cosine of the window that the token counts in

Windows of one sentence overlap by a quarter of the room that the template leaves; a word counts in the one in which the
nearer cut is farther away, so that its neighbours are there on both sides. One window, not the mean of both: so it is
an attribution of one cosine, as any other word's is. A word longer than a window is read in runs of its tokens, and
its attribution is, as any word's, the mean over all of them. Captions that fit are encoded as ever: without windows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clip4dm.captions.sentences import sentence_starts
from clip4dm.captions.tokens import Tokenizer, Tokens, tokenize
from clip4dm.captions.words import EncodedCaption, Window, encode_caption, encode_tokens
from clip4dm.scores import mean_over_tokens

OVERLAP = 4  # a window shares this part of its tokens with the next one of its sentence


class Reach(NamedTuple):
    """A window of a text: [start, end) is read, [first, last) counts here. In tokens.

    >>> Reach(6, 14, first=8, last=11).last
    11
    """

    start: int
    end: int
    first: int
    last: int


def encode_long_caption(
    tokenizer: Tokenizer, caption: str, template: str = "", neutral: tuple[int, ...] = ()
) -> EncodedCaption:
    """`encode_caption`, with windows for a caption that does not fit: then nothing lies beyond the context.

    Errors: as there.

    >>> from open_clip import get_tokenizer
    >>> encoded = encode_long_caption(get_tokenizer("ViT-B-32"), "a red cup on a table. " * 20 + "a cat", "A photo of ")
    >>> encoded.truncated, len(encoded.units), len(encoded.windows), encoded.windows[-1].first
    (False, 142, 21, 140)
    """
    cut = encode_caption(tokenizer, caption, template, neutral)
    if not cut.truncated or not cut.units:
        return cut
    tokens = tokenize(tokenizer, template + caption, whole=True)
    whole = encode_tokens(tokens, caption, template, neutral)
    head, tail = _around(tokens, len(template))
    room = max(len(cut.ids) - len(head) - len(tail), 1)
    padding = tokenize(tokenizer, "").ids[-1:] if cut.padded else ()
    owners = whole.unit_of[len(head) : len(whole.ids) - len(tail)]
    windows = []
    for reach in _reaches(whole, owners, room):
        ids = (*head, *whole.ids[len(head) + reach.start : len(head) + reach.end], *tail)
        ids += padding * (len(cut.ids) - len(ids))
        windows.append(_window(whole, ids, len(head), owners, reach))
    return replace(whole, windows=tuple(windows))


def parts(encoded: EncodedCaption) -> list[EncodedCaption]:
    """What a tower reads of a caption: its windows, or the caption itself.

    >>> parts(encoded := EncodedCaption("cup", (49406, 1937, 49407), (-1, 0, -1), (), False, False)) == [encoded]
    True
    """
    return [window.encoded for window in encoded.windows] or [encoded]


def merge(
    encoded: EncodedCaption, attributions: Sequence[NDArray[np.float32]], cosines: Sequence[float]
) -> tuple[NDArray[np.float32], float]:
    """What its parts gave -> (layers, units) and the cosine of the caption. See this module's text.

    attributions: of each of `parts`, (layers, its units). cosines: of each.

        per_layer, cosine = merge(encoded, [first, second], [0.25, 0.21])
    """
    if not encoded.windows:
        return attributions[0], cosines[0]
    found: dict[int, list[tuple[NDArray[np.float32], int]]] = {}
    for window, values in zip(encoded.windows, attributions, strict=True):
        for unit, count in enumerate(window.counted):
            if count:
                found.setdefault(window.first + unit, []).append((values[:, unit], count))
    merged = np.zeros((len(attributions[0]), len(encoded.units)), dtype=np.float32)
    for unit, of_windows in found.items():
        merged[:, unit] = _over_tokens(*zip(*of_windows, strict=True))
    return merged, float(_over_tokens(cosines, [window.tokens for window in encoded.windows]))


def weights(encoded: EncodedCaption) -> list[float]:
    """How much each of `parts` adds to the cosine: its share of the caption's tokens.

    >>> weights(EncodedCaption("cup", (49406, 1937, 49407), (-1, 0, -1), (), truncated=False, padded=False))
    [1.0]
    """
    total = sum(window.tokens for window in encoded.windows)
    return [window.tokens / total for window in encoded.windows] or [1.0]


def reaches(cuts: Sequence[int], room: int) -> list[Reach]:
    """The windows of a text too long for one: each as long as fits, overlapping, the last one at the text's end.

    cuts: where it may be cut, in tokens, its start and end among them; no two neighbours are farther apart than room.

    >>> reaches(range(13), 8)
    [Reach(start=0, end=8, first=0, last=6), Reach(start=4, end=12, first=6, last=12)]
    """
    spans: list[tuple[int, int]] = []  # as indices of cuts
    start, end = 0, 0
    while end < len(cuts) - 1:
        end = bisect_right(cuts, cuts[start] + room) - 1
        spans.append((start, end))
        if end < len(cuts) - 1:
            shared = bisect_right(cuts, cuts[end] - room // OVERLAP) - 1
            start = max(shared, bisect_left(cuts, cuts[end + 1] - room))  # the next word has to fit too
    if len(spans) > 1:  # the last one is as long as fits too
        spans[-1] = max(spans[-2][0] + 1, bisect_left(cuts, cuts[-1] - room)), end
    bounds = [0]
    for (_, end), (start, _) in pairwise(spans):
        nearer = (at for at in range(start, end) if cuts[end] - cuts[at + 1] < cuts[at] - cuts[start])
        bounds.append(max(bounds[-1], next(nearer, end)))
    bounds.append(len(cuts) - 1)
    return [
        Reach(cuts[start], cuts[end], cuts[first], cuts[last])
        for (start, end), (first, last) in zip(spans, pairwise(bounds), strict=True)
        if first < last
    ]


def _around(tokens: Tokens, template_length: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids before the caption, start and template, and those after it."""
    ends = [0 if span is None else tokens.base.span(*span)[1] for span in tokens.spans]
    mine = [i for i, end in enumerate(ends) if end > template_length]
    return tokens.ids[: mine[0]], tokens.ids[mine[-1] + 1 :]


def _reaches(whole: EncodedCaption, owners: Sequence[int], room: int) -> list[Reach]:
    """The windows of all sentences, in order. owners: of each of the caption's tokens the unit, or -1."""
    found: list[Reach] = []
    for sentence in _sentences(whole, owners):
        cuts = [sentence[0]]
        for start, end in pairwise(sentence):
            cuts += [*range(start + room, end, room), end]  # a word longer than a window is cut itself
        if cuts[-1] - cuts[0] <= room:
            found.append(Reach(cuts[0], cuts[-1], cuts[0], cuts[-1]))
        else:
            found += reaches(cuts, room)
    return found


def _sentences(whole: EncodedCaption, owners: Sequence[int]) -> list[list[int]]:
    """For each sentence where its words begin, and where it ends, in tokens. Punctuation alone is no sentence."""
    starts = sentence_starts(whole.caption)
    begins = [0]  # of words, in tokens; a token of no word goes with the word before
    for token in range(1, len(owners)):
        if owners[token] > max(owners[begins[-1]], -1):
            begins.append(token)
    sentences: list[list[int]] = []
    before, has_word = -1, True
    for begin in begins:
        unit = whole.units[max(owners[begin], 0)]
        number = bisect_right(starts, unit.start)
        if not sentences or (number != before and has_word):
            sentences.append([])
            has_word = False
        sentences[-1].append(begin)
        before, has_word = number, has_word or unit.candidate
    if not has_word and len(sentences) > 1:
        last = sentences.pop()
        sentences[-1] += last
    ends = [*(sentence[0] for sentence in sentences[1:]), len(owners)]
    return [[*sentence, end] for sentence, end in zip(sentences, ends, strict=True)]


def _window(whole: EncodedCaption, ids: tuple[int, ...], before: int, owners: Sequence[int], reach: Reach) -> Window:
    """before: how many ids stand before the caption's. owners: of each of the caption's tokens."""
    mine = [owner for owner in owners[reach.start : reach.end] if owner >= 0]
    first, last = (mine[0], mine[-1] + 1) if mine else (0, 0)
    counted = [owner for owner in owners[reach.first : reach.last] if owner >= 0]
    of_ids = [-1] * before + [max(owner - first, -1) for owner in owners[reach.start : reach.end]]
    encoded = replace(
        whole, ids=ids, unit_of=(*of_ids, *[-1] * (len(ids) - len(of_ids))), units=whole.units[first:last]
    )
    counts = tuple(counted.count(unit) for unit in range(first, last))
    return Window(encoded, first, counts, reach.last - reach.first)


def _over_tokens(values: Sequence[Any], counts: Sequence[int]) -> Any:
    """The mean over tokens, where values[i] is that of counts[i] tokens."""
    of_tokens = np.repeat(np.stack([np.asarray(value, dtype=np.float64) for value in values], -1), counts, axis=-1)
    return mean_over_tokens(of_tokens, range(of_tokens.shape[-1]))
