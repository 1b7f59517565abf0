"""Resuming: the run that a command continues, and checks of its options against that run."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from mien.core import discover
from mien.core.errors import InputError
from mien.core.run import RunFolder, find_runs
from mien.core.types import Dataset
from mien.training import packaged_start
from mien.training.command import AUTO, TrainOptions
from mien.training.plan import IDENTITY_OPTIONS, MODELS, Plan, with_preset
from mien.training.settings import resolve_config

_KEPT = IDENTITY_OPTIONS | {"direction", "real"}  # two more that the images' hashes stand for
Sample = Callable[[], frozenset[str]]
_SAMPLE, _CHUNK = 128, 256  # images of a sample; images that are read at once
_MOSTLY = 0.5  # of the images of two datasets, that they have in common
_OF_A_NEW_RUN = {"preset", "start", "out", "new"}  # say how a run begins


def resumed(data: str | None, options: TrainOptions) -> tuple[str, TrainOptions]:
    """The data and options of a run given by --resume, from its config.

    Raises InputError where there is no DATA, or an option was given that the run was not begun with.
    """
    if options.resume is None:
        if data is None:
            raise InputError("say which DATA to train on (a zip, a folder or rendered:2000), or --resume RUN")
        return data, options
    stored = RunFolder.open(options.resume).read_config()
    try:
        # What the stored config lacks was added later; its default is what the run did.
        defaults = discover.load(MODELS, stored["family"]).Config().model_dump()
        numbers = {**defaults, **stored["config"]}
        _check_same(options, stored, numbers)
        changes = tuple(f"{name}={value}" for name, value in numbers.items())
        taken = {name: stored["options"][name] for name in _KEPT if name in stored["options"]}
        update = {"model": stored["family"], "preset": "default", "set": changes, **taken}
        if options.kimg is None and options.minutes is None:
            update |= {name: stored["options"][name] for name in ("kimg", "minutes")}
        source = data or _still_there(stored["dataset"]["source"], options.resume)
        return source, options.model_copy(update=update)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{options.resume}/config.json: not the config of a training run ({error})"
        ) from error


def _still_there(source: str, run: Path) -> str:
    """The recorded `source`. InputError that says how to name its new place if it was moved."""
    path = Path(source)
    if path.is_absolute() and not path.exists():
        raise InputError(
            f"{source}: the data that {run} learns from is not there any more; if it was moved, name its new"
            f" place: mien train NEW/{path.name} --resume {run}"
        )
    return source


def _check_same(options: TrainOptions, stored: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    """Raise InputError naming each option beside --resume that differs from the run's."""
    family = discover.load(MODELS, stored["family"])
    given = options.model_dump(mode="json", include=options.model_fields_set)
    differing = [f"{_option(name)} (a new run's option)" for name in sorted(given.keys() & _OF_A_NEW_RUN)]
    if given.get("model", stored["family"]) != stored["family"]:
        differing.append(f"--model {given['model']} (it is {stored['family']})")
    if options.set:
        requested = resolve_config(family, stored["family"], "default", options.set).model_dump()
        names = {change.partition("=")[0].strip().replace("-", "_") for change in options.set}
        differing += [
            f"--set {n}={requested[n]} (it is {numbers[n]})"
            for n in sorted(names)
            if requested[n] != numbers[n]
        ]
    for name in sorted(given.keys() & _KEPT):
        stored_value = stored["options"].get(name, TrainOptions.model_fields[name].default)
        if given[name] not in (stored_value, "auto"):
            was = "none" if stored_value in ("", None) else stored_value
            differing.append(f"{_option(name)} {given[name]} (it is {was})")
    if differing:
        raise InputError(
            f"--resume {options.resume}: a run goes on as it was begun; leave out {', '.join(differing)},"
            " or begin another with --from in the place of --resume"
        )


def _option(name: str) -> str:
    return "--" + {"start": "from"}.get(name, name).replace("_", "-")


def same_run(plan: Plan) -> tuple[Plan, RunFolder] | None:
    """The run that the same command started before, and its plan; None where there is none.

    Left to mien, the preset and what a run begins with may have been others then: by another budget, or
    another mien.
    """
    runs = [(run, run.read_config()) for run in reversed(find_runs(plan.options.out))]
    for run, stored in runs:
        if stored.get("identity") == plan.identity():
            return replace(plan, note=""), run
    for run, stored in runs:
        for other in _possible_plans(plan, stored):
            if stored.get("identity") == other.identity():
                return other, run
    return None


def _possible_plans(plan: Plan, stored: Mapping[str, Any]) -> Iterable[Plan]:
    preset = (stored.get("options") or {}).get("preset")
    automatic = plan.options.preset == AUTO
    plans = [plan, *(with_preset(plan, name) for name in plan.family.PRESETS if automatic and preset == AUTO)]
    for candidate in plans:
        yield replace(candidate, note="")
        earlier = with_earlier_start(candidate, stored)
        if earlier is not None:
            yield earlier


def with_earlier_start(plan: Plan, stored: Mapping[str, Any]) -> Plan | None:
    """The plan with the initial weights of an earlier run, if the same command took others then."""
    if not packaged_start.is_same_beginning(plan.options, stored):
        return None
    start = stored.get("start") or {}
    what = f"with an earlier {start['packaged']}" if start.get("packaged") else "from nothing"
    note = f"this run began {what}, and goes on with what it has learnt; --new begins another"
    return replace(plan, start=None, start_digest=str(start.get("digest", "")), note=note)


def check_related(plan: Plan, announce: Callable[[str], None]) -> None:
    """Before a new run, check for a run of the same command on slightly other data or with other options.

    Raises InputError for the former, since hours of training would begin from nothing without a word.
    """
    runs = [(run, run.read_config()) for run in reversed(find_runs(plan.options.out))]
    sample = cache(partial(image_sample, plan.dataset))
    related = [(run, stored) for run, stored in runs if _is_related(plan, stored, sample)]
    for run, stored in related:
        if stored["dataset"].get("content_hash") == plan.dataset.content_hash:
            announce(f"{run.path} learnt from the same data with other options: {_differences(plan, stored)}")
            return
    if related and plan.options.start is None:
        run, stored = max(related, key=lambda one: overlap(_sample_of(one[1]["dataset"]), sample()))
        raise InputError(
            f"{run.path} learnt from {_before(plan, stored['dataset'])};"
            f" --from {run.path} goes on from what it learnt, --new begins anew"
        )


def _before(plan: Plan, before: Mapping[str, Any]) -> str:
    """The data of an earlier run as compared with this command's, in words."""
    count, count_now = before.get("num_images", 0), len(plan.dataset)
    if not _is_named_alike(plan, before):
        return (
            f"{before.get('source')}, most of whose images are these ({count:,} images, here {count_now:,})"
        )
    now = f"{count_now:,}" + (", others or with other labels" if count == count_now else "")
    return f"this data when it was another ({count:,} images, now {now})"


def _is_related(plan: Plan, stored: Mapping[str, Any], sample: Sample) -> bool:
    """Whether a run trains the same model on data of the same name, place or content."""
    dataset, spec = stored.get("dataset") or {}, stored.get("spec") or {}
    same_model = stored.get("family") == plan.family_name and spec.get("resolution") == plan.spec.resolution
    return same_model and (_is_named_alike(plan, dataset) or _is_alike(plan, dataset, sample))


def _is_named_alike(plan: Plan, dataset: Mapping[str, Any]) -> bool:
    names = {absolute_source(plan.source), plan.dataset.name}
    return not names.isdisjoint({dataset.get("source"), dataset.get("name")})


def _is_alike(plan: Plan, dataset: Mapping[str, Any], sample: Sample) -> bool:
    """Whether most images are the same; not where one place was given with other options (a fold, say)."""
    before, now = (
        str(source).partition("?")[0] for source in (dataset.get("source"), absolute_source(plan.source))
    )
    earlier = _sample_of(dataset)
    return before != now and bool(earlier) and overlap(earlier, sample()) >= _MOSTLY


def _sample_of(dataset: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(dataset.get("sample") or ())  # runs of earlier versions have none


def image_sample(dataset: Dataset) -> frozenset[str]:
    """The smallest hashes of a dataset's images, by which two datasets can be compared (MinHash).

    Broder (1997), On the resemblance and containment of documents.
    """
    parts = (np.arange(at, min(at + _CHUNK, len(dataset))) for at in range(0, len(dataset), _CHUNK))
    images = (image for part in parts for image in dataset.images(part))
    hashes = {hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest() for image in images}
    return frozenset(sorted(hashes)[:_SAMPLE])


def overlap(first: frozenset[str], second: frozenset[str]) -> float:
    """The share of images that two datasets have in common, of all that either has, by their samples."""
    joined = sorted(first | second)[:_SAMPLE]
    return sum(hash_ in first and hash_ in second for hash_ in joined) / len(joined)


def _differences(plan: Plan, stored: Mapping[str, Any]) -> str:
    """The differences between the numbers and options of a run and this command's, in words."""
    current = {**plan.config.model_dump(), **plan.options.model_dump(mode="json", include=_KEPT)}
    previous = {**(stored.get("config") or {}), **(stored.get("options") or {})}
    parts = [
        f"{name} {previous[name]} (now {value})"
        for name, value in current.items()
        if name in previous and previous[name] != value
    ]
    return ", ".join(parts) or "what it began with"


def absolute_source(source: str | None) -> str | None:
    """The source as an absolute path; "NAME:WHERE" as it is."""
    return source if source is None or ":" in source else str(Path(source).resolve())
