"""Tables of a run's scores; only comparable scores share a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mien.core import discover
from mien.core.run import RunFolder
from mien.core.score import Score
from mien.reports.charts import number

_MOST_COLUMNS = 6  # of a history
_NETWORKS_BY_WEIGHT = ("lite0", "inception", "mesh", "vgg-random")  # which one to quote first
_QUOTED = ("kernel", "frechet")  # the better one first
_FIXED = "frechet"  # is reported at counts of its own
_NO_DIRECTION = {"ms_ssim_fake": "as among real", "lpips_fake": "as among real"}


@dataclass(frozen=True)
class Row:
    """One metric. better: "lower", "higher" or, without a direction, "". values: a text for each column."""

    metric: str
    better: str
    values: tuple[str, ...]
    floor: str
    noise: str


@dataclass(frozen=True)
class ScoreTable:
    """Scores of one provenance. columns: training images of the generators in thousands, newest first."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    provenance: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    has_floor: bool
    has_noise: bool


@dataclass(frozen=True)
class Quote:
    """The distance that the verdict quotes, with its baselines where they were measured.

    metric: "kernel", or "frechet" of runs that were measured before the former had an interval. low, high:
    its 95 % interval.
    """

    metric: str
    network: str
    dataset: str
    nimg: int | None
    value: float
    low: float | None
    high: float | None
    floor: float | None
    noise: float | None


Key = tuple[object, ...]


def read_scores(run: RunFolder) -> tuple[list[Score], int]:
    """The scores in `metric-*.jsonl`, oldest first, and the number of unreadable lines."""
    scores: list[Score] = []
    damaged = 0
    for path in sorted(run.path.glob("metric-*.jsonl")):
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError:
            lines = [b"unreadable"]
        for line in filter(bytes.strip, lines):
            try:
                scores.append(Score.model_validate_json(line))
            except ValueError:
                damaged += 1
    return scores, damaged


def by_provenance(scores: Sequence[Score]) -> list[list[Score]]:
    """Scores of generators in lists within which they may be compared, each with its baselines.

    Within a list and a metric, `core.score.comparable` has nothing against any two but the halves of
    the reals, which are of half as many pictures. A Fréchet distance, reported at a count of its own, stands
    with the scores of the pictures that it is of the first of. Baselines without a generator come last,
    alone.
    """
    groups: dict[Key, list[Score]] = {}
    of_generators = [score for score in scores if score.subject == "generator"]
    for score in (score for score in of_generators if score.metric != _FIXED):
        groups.setdefault((*_key(score), score.psi), []).append(score)
    for score in (score for score in of_generators if score.metric == _FIXED):
        matching = [group for group in groups.values() if _fits_group(score, group)]
        (matching[0] if matching else groups.setdefault((*_key(score), score.psi), [])).append(score)
    for score in scores:
        if score.subject != "generator":
            matching = [group for group in groups.values() if _is_baseline_of(score, group)]
            for group in matching or [groups.setdefault((*_key(score), score.subject), [])]:
                group.append(score)
    # The better of the quoted ones first, then all others.
    return [
        sorted(group, key=lambda score: [score.metric != name for name in _QUOTED])
        for group in groups.values()
    ]


def tables(scores: Sequence[Score], *, trained_on: str | None) -> list[ScoreTable]:
    """One table for each provenance, what is quoted first. trained_on: hash of the training pictures."""
    groups = sorted(by_provenance(scores), key=lambda group: _weight(group[0], trained_on))
    return [_table(group, trained_on) for group in groups]


def quote(scores: Sequence[Score], *, trained_on: str | None = None) -> Quote | None:
    """The newest kernel distance of the most informative measurement; None where there is none.

    Where no kernel distance has an interval, the newest Fréchet distance. Most informative: by the best
    feature network, then on the training data (a content hash), without truncation, of most images.
    """
    for metric in _QUOTED:
        quotable = [score for score in scores if score.metric == metric]
        if metric != "kernel" or any(score.low is not None for score in quotable):
            groups = by_provenance(quotable)
            candidates = [group for group in groups if any(score.subject == "generator" for score in group)]
            if candidates:
                break
    else:
        return None
    best = min(candidates, key=lambda group: _weight(group[0], trained_on))
    newest = _newest([score for score in best if score.subject == "generator"])
    values = {score.subject: score.value for score in best}
    return Quote(
        metric=newest.metric,
        low=newest.low,
        high=newest.high,
        network=newest.network or "pixels",
        dataset=newest.dataset_name,
        nimg=newest.nimg,
        value=newest.value,
        floor=values.get("real-halves"),
        noise=values.get("noise"),
    )


def _weight(score: Score, trained_on: str | None) -> tuple[int, bool, bool, int]:
    """A sort key, smaller for a more informative score."""
    networks = _NETWORKS_BY_WEIGHT
    rank = networks.index(score.network) if score.network in networks else len(networks)
    return rank, score.dataset_hash != trained_on, score.psi != 1, -score.num_real - score.num_fake


def _newest(scores: Sequence[Score]) -> Score:
    """The score of the generator that was trained longest; of several, the one measured last."""
    return max(enumerate(scores), key=lambda pair: (pair[1].nimg or 0, pair[0]))[1]


def _key(score: Score) -> Key:
    return (*_features(score), score.num_real, score.num_fake)


def _features(score: Score) -> Key:
    return score.network, score.network_hash, score.resize, score.dataset_hash


def _fits_group(score: Score, group: Sequence[Score]) -> bool:
    """Whether a generator's Fréchet distance fits a group: it is of a part of the same images."""
    first = group[0]
    fixed = [member for member in group if member.metric == _FIXED]
    if _features(score) != _features(first) or score.psi != first.psi:
        return False
    if fixed:
        return _key(fixed[0]) == _key(score)
    return score.num_real <= first.num_real and score.num_fake <= first.num_fake


def _is_baseline_of(score: Score, group: Sequence[Score]) -> bool:
    generators = [member for member in group if member.subject == "generator"]
    if score.metric == _FIXED:
        generators = [member for member in generators if member.metric == _FIXED]
    else:
        generators = [member for member in generators if member.metric != _FIXED] or generators
    if not generators:
        return False
    generator = generators[0]
    if score.subject == "noise":
        return _key(score) == _key(generator)
    # The halves are the even and the odd ones of the same reals, or as many of them as the metric takes at
    # most; the Fréchet distance has at most as many.
    halves = ((generator.num_real + 1) // 2, generator.num_real // 2)
    counts = (score.num_real, score.num_fake)
    fixed = score.metric == _FIXED and counts[0] == counts[1] <= generator.num_fake
    capped = _key(score) == _key(generator)
    return _features(score) == _features(generator) and (counts == halves or capped or fixed)


def _table(scores: Sequence[Score], trained_on: str | None) -> ScoreTable:
    of_generators = [score for score in scores if score.subject == "generator"]
    first = scores[0]
    nimgs = sorted({score.nimg or 0 for score in of_generators}, reverse=True)[:_MOST_COLUMNS]
    metrics = dict.fromkeys(score.metric for score in scores)
    rows = tuple(_row(metric, [s for s in scores if s.metric == metric], nimgs) for metric in metrics)
    warnings = dict.fromkeys(text for score in of_generators for text in score.warnings)
    return ScoreTable(
        title=f"Features: {first.network or 'pixels'}",
        columns=tuple(f"at {number(nimg / 1000)} kimg" if nimg else "value" for nimg in nimgs),
        rows=rows,
        provenance=tuple(_provenance(of_generators or scores, trained_on)),
        warnings=tuple(warnings),
        has_floor=any(row.floor for row in rows),
        has_noise=any(row.noise for row in rows),
    )


def _row(metric: str, scores: Sequence[Score], nimgs: Sequence[int]) -> Row:
    # Of several measurements of one thing the last counts.
    values = {(score.subject, score.nimg or 0): _text(score) for score in scores}
    name = title_of(scores[0])
    return Row(
        metric=f"{name} of {scores[0].num_fake:,}" if metric == _FIXED else name,
        better=scores[0].better or _NO_DIRECTION.get(metric, ""),
        values=tuple(values.get(("generator", nimg), "") for nimg in nimgs),
        floor=values.get(("real-halves", 0), ""),
        noise=values.get(("noise", 0), ""),
    )


def title_of(score: Score) -> str:
    """What a score's metric is called, by its module's TITLES; its name where that module is gone."""
    known = score.module in discover.names("mien.metrics")
    titles = getattr(discover.load("mien.metrics", score.module), "TITLES", {}) if known else {}
    return str(titles.get(score.metric, score.metric.replace("_", " ")))


def _text(score: Score) -> str:
    if score.low is None or score.high is None:
        return number(score.value)
    return f"{number(score.value)} ({score.low:.3g} to {score.high:.3g})"


def _provenance(scores: Sequence[Score], trained_on: str | None) -> Iterator[tuple[str, str]]:
    first, newest = scores[0], scores[-1]
    if first.network:
        yield "network", f"{first.network}, hash {(first.network_hash or 'unknown')[:16]}"
    if first.resize:
        yield "resize", first.resize
    yield "pictures", f"{first.num_fake:,} generated against {first.num_real:,} real"
    known = "what" if first.dataset_hash == trained_on else "not what"
    which = "" if trained_on is None else f" ({known} it was trained on)"
    yield "dataset", f"{first.dataset_name}{which}, hash {first.dataset_hash[:16]}"
    if models := dict.fromkeys(score.model_id for score in scores if score.model_id):
        yield "generator", ", ".join(models)
    if newest.seeds is not None:
        psi = "" if newest.psi is None else f", psi {newest.psi:g}"
        yield "seeds", f"{newest.seeds}{psi}"
    yield "tool", newest.tool
