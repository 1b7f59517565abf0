"""Sentences of a run's report: lead, verdict and facts."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mien.reports.charts import number
from mien.reports.log import Log, groups
from mien.reports.score_tables import Quote

if TYPE_CHECKING:  # pages without a network (curate, study) do not wait for torch
    from mien.core.network import LoadedNetwork


def lead(config: Mapping[str, Any], loaded: "LoadedNetwork[Any] | None", log: Log) -> str:
    """The family, dataset and duration of a run, in one sentence."""
    family = dig(config, "family") or (loaded.header.family if loaded else None)
    size = dig(config, "spec", "resolution")
    pictures, name = dig(config, "dataset", "num_images"), dig(config, "dataset", "name")
    sentence = f"A generator of the family {family}" if family else "A generator of an unknown family"
    sentence += f" for faces of {size} pixels" if size else ""
    if name:
        count = f"{pictures:,}" if isinstance(pictures, int) else pictures
        sentence += f", trained on {count} pictures ({name})" if pictures else f", trained on {name}"
    if log.seconds:
        sentence += f" for {_duration(log.seconds)}"
    if packaged := dig(config, "start", "packaged"):
        sentence += f", beginning with {packaged}, the model that comes with mien"
    return sentence + "."


def verdict(
    log: Log, quoted: Quote | None, memorisation: tuple[str, str] | None
) -> Iterator[tuple[str, str]]:
    """Sentences with a tone: "good", "doubt" or "plain". memorisation: likewise, or None."""
    yield _health(log)
    if quoted is None:
        yield "plain", "Its quality has not been measured yet: mien evaluate RUN does."
    else:
        tone, sentence = _quality(quoted)
        untrained = quoted.network == "vgg-random"
        yield "plain" if untrained and tone == "good" else tone, sentence
        if untrained:
            yield (
                "doubt",
                "That network was never trained and hardly sees faces, so a small distance proves little:"
                " mien artefacts fetch brings networks that do, then mien evaluate measures again.",
            )
    if memorisation is not None:
        yield memorisation


def facts(config: Mapping[str, Any], log: Log, nimg: float = 0) -> list[tuple[str, str]]:
    """The main facts of a run as (name, value), but for the unknown. nimg: of its newest network."""
    loops = [one for group in groups(log.ticks) for one in group.series if one.name == "whole loop"]
    speeds = sorted(y for loop in loops for _, y in loop.points if math.isfinite(y))
    nimg = max(log.nimg, nimg)  # the log has lines for whole thousands
    known = [
        ("Training images", f"{number(nimg / 1000)} thousand" if nimg else ""),
        ("Training time", _duration(log.seconds) if log.seconds else ""),
        ("Speed", f"{number(round(speeds[len(speeds) // 2]))} images/s" if speeds else ""),
        ("Arithmetic", str(dig(config, "precision") or "")),
        ("Seed", str(dig(config, "options", "seed") or 0) if dig(config, "options") else ""),
    ]
    return [(name, value) for name, value in known if value]


def _health(log: Log) -> tuple[str, str]:
    rescues, warnings = log.count("rescue"), log.count("warning")
    if not log.ticks and not log.incidents:
        return "plain", "The log holds no figures yet."
    if log.diverged:
        return "doubt", f"Training ended in divergence after {times(rescues, 'rescue')}; see the warnings."
    if rescues:
        return "doubt", f"Training diverged, went back and recovered ({times(rescues, 'rescue')})."
    if warnings:
        return "doubt", f"Training ran to where it stands with {times(warnings, 'warning')}, see below."
    return "good", "Training went without a warning."


def _quality(quoted: Quote) -> tuple[str, str]:
    """The distance beside its baselines, and its interpretation."""
    value, floor, noise = quoted.value, quoted.floor, quoted.noise
    name = "kernel" if quoted.metric == "kernel" else "Fréchet"
    sentence = f"Its {name} distance to {quoted.dataset} (through {quoted.network}) is {number(value)}"
    if quoted.low is not None and quoted.high is not None:
        sentence += f" (95 % interval {quoted.low:.3g} to {quoted.high:.3g})"
    known = [f"two halves of the real pictures differ by {number(floor)}"] if floor is not None else []
    known += [f"pure noise by {number(noise)}"] if noise is not None else []
    sentence += f", where {' and '.join(known)}" if known else ""
    if noise is not None and value > noise / 2:
        return "doubt", f"{sentence}: little better than noise."
    if quoted.metric == "kernel":
        if quoted.low is not None and quoted.low <= 0:
            return "good", f"{sentence}: no difference from real pictures that could not be chance."
        return "plain", f"{sentence}: apart from real pictures, for which it would be around 0."
    if not floor:
        return "plain", f"{sentence}."
    for limit, tone, words in (
        (1.5, "good", "about as near as real pictures are to each other"),
        (5.0, "good", "near, but not indistinguishable"),
        (25.0, "plain", "recognisably apart from real pictures"),
    ):
        if value < limit * floor:
            return tone, f"{sentence}: {words}."
    return "doubt", f"{sentence}: still far from real pictures."


def times(count: int, what: str) -> str:
    """A count with its noun: "1 rescue", "3 rescues"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def at_kimg(value: float) -> str:
    """Thousands of images as text: "69.6 kimg"."""
    return f"{value:,.1f}".removesuffix(".0") + " kimg"


def dig(config: Mapping[str, Any], *keys: str) -> Any:
    """The nested value under `keys`, or None: a config may be damaged or another tool's."""
    value: Any = config
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
