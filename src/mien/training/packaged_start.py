"""Initial weights from the packaged generator: when a run begins with them, and which runs are the same."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import BaseModel

from mien.core.checkpoint import read_header
from mien.core.family import GENERATOR, kind_of
from mien.core.packaged import named, names, path_of
from mien.core.types import Spec
from mien.interop.described import numbers_of
from mien.training.command import AUTO, TrainOptions
from mien.training.loop import Beginning
from mien.training.start import Start, Weights, hint, read_start, shape_mismatch


class Offer(NamedTuple):
    """The packaged initial weights, if any, and the configuration of a run that begins with them.

    note: why there are none though a model is close, or "".
    """

    start: Start | None
    config: BaseModel | None = None
    note: str = ""


def is_automatic(options: TrainOptions) -> bool:
    """Whether the user left the choice of initial weights to mien."""
    return options.start is None and options.resume is None


def offer(
    family: ModuleType, options: TrainOptions, config_of: Callable[[Mapping[str, Any]], BaseModel], spec: Spec
) -> Offer:
    """The packaged model that a new run can begin with as it is, if there is one.

    Family, size, colours and shapes must be the same; labels are learnt anew. Where no preset was asked for,
    the shapes are the model's. config_of: the run's configuration with some numbers already decided.
    """
    note = ""
    for name in names() if kind_of(family) == GENERATOR else ():
        header = read_header(path_of(name))
        layout = (header.family, header.spec.resolution, header.spec.channels)
        if layout != (options.model, spec.resolution, spec.channels):
            continue
        start = read_start(path_of(name))
        config = config_of(numbers_of(header) if options.preset == AUTO else {})
        if (
            start.d is not None
            and shape_mismatch(Weights(start.g, start.d, start.header), family, config) is None
        ):
            return Offer(start, config)
        reason = hint(start, family, config) or ": its discriminator does not fit"
        note = f"begins from nothing; the packaged {name} has other shapes{reason}"
    return Offer(None, note=note)


def is_same_beginning(options: TrainOptions, stored: Mapping[str, Any]) -> bool:
    """Whether the run with the config `stored` had the same --from option.

    "With the packaged model" stays the same when a later mien packages another one.
    """
    stored_start = (stored.get("options") or {}).get("start")
    if options.start is None:
        return stored_start is None
    name = None if options.start.exists() else named(options.start)
    return name is not None and isinstance(stored_start, str) and named(Path(stored_start)) == name


def beginning(options: TrainOptions, start: Start | None) -> Beginning:
    """Learning-rate scale and warm-up of a run; by default a packaged model's weights ask for neither."""
    scale = 1.0 if options.lr_scale is None else options.lr_scale
    kimg = options.warmup_kimg or 0.0
    nimg = start.header.nimg if start is not None and start.packaged else 0
    return Beginning(lr_scale=scale, warmup_nimg=kimg * 1000, seen_nimg=nimg)
