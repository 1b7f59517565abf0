"""Going on: runs that a command goes on with, and options that do not fit the run that is there."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mien.core import discover
from mien.core.errors import InputError
from mien.core.run import RunFolder, find_runs
from mien.training import packaged_start
from mien.training.options import AUTO, TrainOptions
from mien.training.plan import IDENTITY_OPTIONS, MODELS, Plan, with_preset
from mien.training.settings import resolve_config

_KEPT = IDENTITY_OPTIONS | {
    "direction",
    "real",
}  # two more that the images' hashes stand for
_OF_A_NEW_RUN = {"preset", "start", "out", "new"}  # say how a run begins


def resumed(data: str | None, options: TrainOptions) -> tuple[str, TrainOptions]:
    """With --resume, what makes up the run's identity comes from its config.

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
        return data or stored["dataset"]["source"], options.model_copy(update=update)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{options.resume}/config.json: not the config of a training run ({error})"
        ) from error


def _check_same(options: TrainOptions, stored: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    """That what was given beside --resume is what the run was begun with. Raises InputError naming it."""
    family = discover.load(MODELS, stored["family"])
    given = options.model_dump(mode="json", include=options.model_fields_set)
    wrong = [f"{_option(name)} (a new run's option)" for name in sorted(given.keys() & _OF_A_NEW_RUN)]
    if given.get("model", stored["family"]) != stored["family"]:
        wrong.append(f"--model {given['model']} (it is {stored['family']})")
    if options.set:
        asked = resolve_config(family, stored["family"], "default", options.set).model_dump()
        names = {change.partition("=")[0].strip().replace("-", "_") for change in options.set}
        wrong += [
            f"--set {n}={asked[n]} (it is {numbers[n]})" for n in sorted(names) if asked[n] != numbers[n]
        ]
    for name in sorted(given.keys() & _KEPT):
        theirs = stored["options"].get(name, TrainOptions.model_fields[name].default)
        if given[name] not in (theirs, "auto"):
            wrong.append(f"{_option(name)} {given[name]} (it is {theirs})")
    if wrong:
        raise InputError(
            f"--resume {options.resume}: a run goes on as it was begun; leave out {', '.join(wrong)},"
            " or begin another with --from in the place of --resume"
        )


def _option(name: str) -> str:
    return "--" + {"start": "from"}.get(name, name).replace("_", "-")


def same_run(plan: Plan) -> tuple[Plan, RunFolder] | None:
    """The run that this command began, and the plan as it was then; None where there is none.

    Left to mien, the preset and what a run begins with may have been others then: by another budget, or
    another mien.
    """
    runs = [(run, run.read_config()) for run in reversed(find_runs(plan.options.out))]
    for run, stored in runs:
        if stored.get("identity") == plan.identity():
            return replace(plan, note=""), run
    for run, stored in runs:
        for other in _as_then(plan, stored):
            if stored.get("identity") == other.identity():
                return other, run
    return None


def _as_then(plan: Plan, stored: Mapping[str, Any]) -> Iterable[Plan]:
    preset = (stored.get("options") or {}).get("preset")
    automatic = plan.options.preset == AUTO
    plans = [plan, *(with_preset(plan, name) for name in plan.family.PRESETS if automatic and preset == AUTO)]
    for one in plans:
        yield replace(one, note="")
        earlier = begun_earlier(one, stored)
        if earlier is not None:
            yield earlier


def begun_earlier(plan: Plan, stored: Mapping[str, Any]) -> Plan | None:
    """The plan with what an earlier run began with, if the same command did so with another mien."""
    if not packaged_start.is_same_beginning(plan.options, stored):
        return None
    start = stored.get("start") or {}
    what = f"with an earlier {start['packaged']}" if start.get("packaged") else "from nothing"
    note = f"this run began {what}, and goes on with what it has learnt; --new begins another"
    return replace(plan, start=None, start_digest=str(start.get("digest", "")), note=note)


def check_related(plan: Plan, announce: Callable[[str], None]) -> None:
    """Before a new run: name a run of the same command on nearly the same data, or with other options.

    Raises InputError for the former, since hours of training would begin from nothing without a word.
    """
    for run in reversed(find_runs(plan.options.out)):
        stored = run.read_config()
        dataset = stored.get("dataset") or {}
        if not _is_alike(plan, stored):
            continue
        if dataset.get("content_hash") == plan.dataset.content_hash:
            announce(f"{run.path} learnt from the same data with other options: {_differences(plan, stored)}")
            return
        if plan.options.start is None:
            raise InputError(
                f"{run.path} learnt from this data when it was another ({dataset.get('num_images', 0):,}"
                f" images, now {len(plan.dataset):,}); --from {run.path} goes on from what it learnt,"
                " --new begins anew"
            )
        return


def _is_alike(plan: Plan, stored: Mapping[str, Any]) -> bool:
    dataset = stored.get("dataset") or {}
    places = {wherever(plan.source), plan.dataset.name}
    spec = stored.get("spec") or {}
    return (
        stored.get("family") == plan.family_name
        and spec.get("resolution") == plan.spec.resolution
        and bool({dataset.get("source"), dataset.get("name")} & places)
    )


def _differences(plan: Plan, stored: Mapping[str, Any]) -> str:
    """In words, which numbers and options of a run are others than this command's."""
    ours = {**plan.config.model_dump(), **plan.options.model_dump(mode="json", include=_KEPT)}
    theirs = {**(stored.get("config") or {}), **(stored.get("options") or {})}
    parts = [
        f"{name} {theirs[name]} (now {value})"
        for name, value in ours.items()
        if name in theirs and theirs[name] != value
    ]
    return ", ".join(parts) or "what it began with"


def wherever(source: str | None) -> str | None:
    """A path that means the same in every working folder; "NAME:WHERE" as it is."""
    return source if source is None or ":" in source else str(Path(source).resolve())
