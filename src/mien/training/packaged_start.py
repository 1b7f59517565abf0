"""Training that begins with the generator that comes with mien: when it does, and which runs are the same."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import BaseModel

from mien.core.checkpoint import read_header
from mien.core.family import GENERATOR, kind_of
from mien.core.packaged import named, names, path_of
from mien.core.types import Spec
from mien.training.loop import Beginning
from mien.training.options import TrainOptions
from mien.training.start import Start, Weights, fits, hint, read_start, read_weights

# How a run that begins with a packaged model differs from one from nothing, unless told.
LR_SCALE = 1.0  # of the family's learning rate
WARMUP_KIMG = 0.0  # over which it rises to that: Adam knows nothing yet of gradients at these weights


class Offer(NamedTuple):
    """What a run can begin with. note: why it begins from nothing though a packaged model is close, or ""."""

    start: Start | None
    note: str = ""


def is_automatic(options: TrainOptions) -> bool:
    """Whether the user left open what to begin with."""
    return options.start is None and options.resume is None


def offer(family: ModuleType, options: TrainOptions, config: BaseModel, spec: Spec) -> Offer:
    """The packaged model that a new run can begin with as it is, if there is one.

    Family, size, colours and shapes must be the same; labels are learnt anew.
    """
    note = ""
    for name in names() if kind_of(family) == GENERATOR else ():
        header = read_header(path_of(name))
        theirs = (header.family, header.spec.resolution, header.spec.channels)
        if theirs != (options.model, spec.resolution, spec.channels):
            continue
        start = read_start(path_of(name))
        if start.d is not None and fits(Weights(start.g, start.d, start.header), family, config) is None:
            return Offer(start)
        why = hint(start, family, config) or ": its discriminator does not fit"
        note = f"begins from nothing; the packaged {name} has other shapes{why}"
    return Offer(None, note)


def fitting_preset(family: ModuleType, name: str, preferred: str) -> str:
    """The preset of `family` that can begin with the packaged `name`; `preferred` if it can, or none can."""
    if name not in names():
        return preferred
    weights = read_weights(path_of(name), lambda line: None)
    order = sorted(family.PRESETS, key=lambda preset: preset != preferred)
    fitting = (preset for preset in order if fits(weights, family, family.PRESETS[preset]) is None)
    return next(fitting, preferred)


def is_same_beginning(options: TrainOptions, stored: Mapping[str, Any]) -> bool:
    """Whether the run with the config `stored` was told the same about its beginning.

    "With the packaged model" stays the same when a later mien packages another one.
    """
    told = (stored.get("options") or {}).get("start")
    if options.start is None:
        return told is None
    name = None if options.start.exists() else named(options.start)
    return name is not None and isinstance(told, str) and named(Path(told)) == name


def beginning(options: TrainOptions, start: Start | None) -> Beginning:
    """How the run is to begin, from the options and, where they leave it open, the weights."""
    packaged = start is not None and start.packaged != ""
    scale, kimg = (LR_SCALE, WARMUP_KIMG) if packaged else (1.0, 0.0)
    scale = scale if options.lr_scale is None else options.lr_scale
    kimg = kimg if options.warmup_kimg is None else options.warmup_kimg
    seen = start.header.nimg if start is not None and packaged else 0
    return Beginning(lr_scale=scale, warmup_nimg=kimg * 1000, seen_nimg=seen)
