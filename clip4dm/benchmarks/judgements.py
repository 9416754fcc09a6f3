"""Flickr8k-Expert and Flickr8k-CF (Hodosh et al. 2013): captions of photographs with ratings that people gave them.

Both ask whether a score orders captions as people do, and say so by Kendall's tau. The protocol is CLIPScore's (Hessel
et al. 2021, appendix A, and flickr8k_example/ of github.com/jmhessel/clipscore), SPICE's before (Anderson et al. 2016):

- Expert: tau-c. Each of a pair's three ratings, 1 (unrelated) to 4 (no errors), is a row of its own: 5,664 pairs and
  16,992 rows. (With the mean of the three as one row all correlations are higher.) A pair whose caption is one of the
  picture's own five is left out: 158 of 5,822. The references are the five.
- CF, from a crowd: tau-b. A pair's one rating is its share of yes. All pairs count; a caption that is judged with a
  picture is no reference of that picture, in any of its pairs.

Read from lists of rows that data/README.md makes of the published text files, references from {picture: captions}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clip4dm.benchmarks.base import Benchmark, BenchmarkError, Reading, Sample
from clip4dm.benchmarks.fields import field, has_columns, inside, numbers, read_annotations, texts, unique_id
from clip4dm.benchmarks.rules import judge_phrases
from clip4dm.scores import EPSILON

RatingsOf = Callable[[Mapping[str, Any], str], tuple[float, ...]]  # of a row; where it stands, for errors


def recognises_expert(content: Any) -> bool:
    """Whether parsed JSON is rows with a list of ratings.

    >>> recognises_expert([{"image": "7.jpg", "caption": "a cup", "caption_id": "9.jpg#0", "ratings": [1, 1, 2]}])
    True
    """
    return has_columns(content, "image", "caption", "caption_id", "ratings")


def recognises_crowd(content: Any) -> bool:
    """Whether parsed JSON is rows with counts of yes and no.

    >>> recognises_crowd([{"image": "7.jpg", "caption": "a cup", "caption_id": "9.jpg#0", "yes": 1, "no": 2}])
    True
    """
    return has_columns(content, "image", "caption", "caption_id", "yes", "no")


def read_expert(path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None) -> Reading:
    """The pairs in file order, without those whose caption is the picture's own, by its id or by its text.

    reference_path: JSON of {picture: captions}. The pictures of img_dir are not looked at. Errors: BenchmarkError.

    >>> rows = [{"image": "7.jpg", "caption": "a cup", "caption_id": "9.jpg#0", "ratings": [1, 1, 2]},
    ...         {"image": "7.jpg", "caption": "a dog", "caption_id": "7.jpg#2", "ratings": [4, 4, 4]}]
    >>> reading = read_expert(Path("expert.json"), rows)
    >>> [(sample.id, sample.ratings) for sample in reading.samples], dict(reading.left_out)
    ([('7.jpg:9.jpg#0', (1.0, 1.0, 2.0))], {"the caption is the picture's own": 1})
    """
    references = _references(reference_path)
    return _read(path, content, references, lambda row, where: numbers(row, "ratings", where), without_own=True)


def read_crowd(path: Path, content: Any, img_dir: Path | None = None, reference_path: Path | None = None) -> Reading:
    """The pairs in file order, judged captions not among their picture's references.

    reference_path: JSON of {picture: captions}. The pictures of img_dir are not looked at. Errors: BenchmarkError.

    >>> row = {"image": "7.jpg", "caption": "a cup", "caption_id": "9.jpg#0", "yes": 1, "no": 3}
    >>> read_crowd(Path("crowd.json"), [row]).samples[0].ratings
    (0.25,)
    """
    references = _references(reference_path)
    if references is not None:
        judged: dict[str, set[str]] = {}
        for row in content:
            if isinstance(row, Mapping) and isinstance(row.get("caption"), str):
                judged.setdefault(str(row.get("image")), set()).add(_spaced(row["caption"]))
        references = {
            image: tuple(text for text in captions if _spaced(text) not in judged.get(image, ()))
            for image, captions in references.items()
        }
    return _read(path, content, references, _share_of_yes, without_own=False)


def _read(
    path: Path, rows: Any, references: Mapping[str, tuple[str, ...]] | None, ratings_of: RatingsOf, *, without_own: bool
) -> Reading:
    samples: list[Sample] = []
    seen: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    for number, row in enumerate(rows):
        where = f"{path}, row {number}"
        image = inside(field(row, "image", str, where), where)
        caption_id = field(row, "caption_id", str, where)
        name = unique_id(f"{image}:{caption_id}", seen, where)
        caption = field(row, "caption", (str, type(None)), where) or ""
        ratings = ratings_of(row, where)
        mine = () if references is None else references.get(image, ())
        if not caption.strip():
            left_out["there is no caption"] += 1
        elif not ratings:
            left_out["nobody rated it"] += 1
        elif references is not None and image not in references:
            left_out["the references have no captions of its picture"] += 1
        elif without_own and (caption_id.startswith(f"{image}#") or _spaced(caption) in map(_spaced, mine)):
            left_out["the caption is the picture's own"] += 1
        else:
            samples.append(_sample(name, image, caption, ratings, mine))
    return Reading(samples, dict(left_out))


def _sample(name: str, image: str, caption: str, ratings: tuple[float, ...], references: tuple[str, ...]) -> Sample:
    """No word is labelled."""
    return Sample(
        id=name,
        image=image,
        image_id=Path(image).stem,
        caption=caption,
        misaligned=False,
        spans=(),
        label="",
        references=references,
        gt_score=sum(ratings) / len(ratings),
        ratings=ratings,
    )


def _share_of_yes(row: Mapping[str, Any], where: str) -> tuple[float, ...]:
    yes, no = field(row, "yes", int, where), field(row, "no", int, where)
    for name, count in (("yes", yes), ("no", no)):
        if count < 0:
            raise BenchmarkError(f"{where}: field {name!r} is {count}; a count is 0 or more")
    return (yes / (yes + no),) if yes + no else ()


def _references(path: Path | None) -> dict[str, tuple[str, ...]] | None:
    """Picture -> captions, of a JSON file."""
    if path is None:
        return None
    content = read_annotations(path)
    if not isinstance(content, dict):
        raise BenchmarkError(f"{path} is a {type(content).__name__}, not Flickr8k's {{picture: [caption, ...]}}")
    return {image: texts(content, image, f"{path}, which should be {{picture: [caption, ...]}}") for image in content}


def _spaced(text: str) -> str:
    """One blank between words, as CLIPScore compares captions."""
    return " ".join(text.split())


EXPERT = Benchmark(
    name="expert",
    title="Flickr8k-Expert",
    rule="no words are labelled: Kendall's tau-c of each score with the three experts' ratings, each a row",
    structure="a list of {image, caption, caption_id, ratings: [1 to 4, ...]}",
    positive=None,
    sorted_by="threshold",
    epsilon=EPSILON,
    recognises=recognises_expert,
    reader=read_expert,
    judge=judge_phrases,
    kendall="c",
)
CROWD = Benchmark(
    name="crowd",
    title="Flickr8k-CF",
    rule="no words are labelled: Kendall's tau-b of each score with the share of yes",
    structure="a list of {image, caption, caption_id, yes, no}, counts of votes",
    positive=None,
    sorted_by="threshold",
    epsilon=EPSILON,
    recognises=recognises_crowd,
    reader=read_crowd,
    judge=judge_phrases,
    kendall="b",
)
