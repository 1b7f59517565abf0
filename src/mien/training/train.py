"""`mien train`: joins a dataset, a model and the loop in a run folder, and shows how it goes."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel
from rich.console import Console

from mien import TOOL
from mien.bars import bar
from mien.core import discover
from mien.core.errors import InputError
from mien.core.family import GENERATOR, augmentation_of, build, identity_of, kind_of, lesson_of, sides_of
from mien.core.kinds import outputs_for
from mien.core.run import RunFolder, find_runs
from mien.core.stop import Stop
from mien.core.types import Dataset, Lesson, Spec, Trainable
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.labels import conditions
from mien.training import packaged_start
from mien.training.augment import Adaptive, Augmentation, Schedule, parse_pipe
from mien.training.live import LiveView
from mien.training.loop import Beginning, Budget, Training
from mien.training.options import DEFAULT_MINUTES, TrainOptions
from mien.training.order import Stream
from mien.training.outputs import Outputs
from mien.training.precision import NAMES, choose, probe
from mien.training.session import Session
from mien.training.settings import pick_device, resolve_config
from mien.training.sides import learn_from
from mien.training.start import Start, begin, check_frozen, check_resumable, start_of
from mien.training.transfer import first_layers

_MODELS = "mien.models"
_AUGMENT = {"augment", "augment_pipe", "augment_p", "augment_target", "augment_kimg"}
_IDENTITY = {
    "seed",
    "mirror",
    "cond",
    "labels",
    "freeze_d",
    "lr_scale",
    "warmup_kimg",
    "precision",
    "micro_batch",
    *_AUGMENT,
}  # options that make another run
_KEPT = _IDENTITY | {"direction", "real"}  # what these mean for a run's identity, the pictures' hashes say
_BOTH_WAYS = {"front", "profile"}  # mirrored, a front would have two profiles


class Built(NamedTuple):
    """A new model. frozen: its parameters that will not learn. told: what it began with, in lines."""

    trainable: Trainable
    frozen: tuple[torch.nn.Parameter, ...]
    told: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything resolved: what is trained, on what, and how.

    lesson: what is made of the data before it is learnt from. start: the weights to begin with; a resumed run
    no longer needs them, and start_digest alone says which they were ("" without). note: a line about that.
    """

    family: ModuleType
    family_name: str
    config: BaseModel
    dataset: Dataset
    source: str
    spec: Spec
    options: TrainOptions
    device: torch.device
    lesson: Lesson | None = None
    start: Start | None = None
    start_digest: str = ""
    note: str = ""

    @property
    def learnt_from(self) -> Dataset:
        return self.dataset if self.lesson is None else self.lesson.train

    def build(self) -> Built:
        """A new model. Raises InputError where the family cannot be built like that."""
        trainable = build(self.family, self.config, self.spec, self.lesson)
        told = () if self.start is None else begin(trainable, self.start, self.family, self.spec)
        held = self.options.freeze_d
        frozen = first_layers(trainable.networks["d"], held) if held else ()
        return Built(trainable, frozen, told)

    def identity(self) -> str:
        """What makes two commands the same run: all but budget, place, intervals and looks."""
        parts = {
            "family": self.family_name,
            "config": identity_of(self.config),
            "spec": asdict(self.spec),
            "dataset": self.dataset.content_hash,
            "options": self.options.model_dump(include=_IDENTITY, exclude_none=True),
        }
        if self.lesson is not None:
            # Labels may come from the manifest, which the dataset's hash does not cover.
            parts["labels"] = _digest(self.lesson.train)
            if self.lesson.others is not None:
                parts["others"] = self.lesson.others.content_hash
        if self.start_digest:
            parts["start"] = self.start_digest
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def train(data: str | None, options: TrainOptions, *, console: Console) -> RunFolder:
    """Train until the budget is spent; the same command again goes on where it stopped.

    data: a dataset as `open_dataset` takes it; None with `options.resume` takes the run's own.
    Raises InputError for unusable input, MienError when the run fails.
    """
    data, options = _resumed(data, options)
    if options.labels:
        options = options.model_copy(update={"cond": True})
    with bar(console, "opening pictures") as progress:
        plan = make_plan(data, options, progress=progress)
    plan, run, is_new = _run_folder(plan)
    with run.lock():
        if plan.start_digest and plan.start is None:
            check_resumable(run)
        settings = _settings(plan, run, is_new=is_new, console=console)
        training, session = _session(plan, run, settings, console)
        resumed = session.resume(lambda line: console.print(f"[yellow]{line}[/]"))
        budget = _budget(options)
        where = f"goes on at {training.nimg / 1000:.1f} kimg" if resumed else "begins"
        console.print(
            f"[bold]{run.path}[/] {where}: {plan.family_name} on {plan.dataset.name}"
            f" ({len(plan.dataset):,} pictures, {plan.spec.resolution} px), {settings['precision']}"
        )
        begun_with = () if resumed or plan.start is None else settings["start"]["told"]
        known = (*getattr(plan.dataset, "notes", ()), *(plan.lesson.notes if plan.lesson is not None else ()))
        for note in (*known, *begun_with, *([plan.note] if plan.note else [])):
            console.print(note, highlight=False)
        if budget.fraction(training.nimg, training.seconds) >= 1:
            console.print("its budget is spent already; give more --minutes or --kimg, or --new")
            return run
        with Stop() as stop, LiveView(console, run, tensorboard=options.tensorboard) as view:
            for event in session.events():
                view.show(event)
                if stop.asked:
                    session.save()
                    raise KeyboardInterrupt
    console.print(f"trained {training.nimg / 1000:.1f} kimg in {training.seconds / 60:.1f} min: {run.path}")
    return run


def make_plan(
    data: str, options: TrainOptions, *, progress: Callable[[int, int], None] | None = None
) -> Plan:
    """Open the dataset and resolve the family's configuration. Raises InputError."""
    family = discover.load(_MODELS, options.model)
    config = resolve_config(family, options.model, options.preset, options.set)
    start, start_digest = start_of(family, options)
    dataset, lesson = _opened(family, config, data, options, progress)
    if options.mirror is None:
        both = lesson is not None and set(lesson.roles) == _BOTH_WAYS
        options = options.model_copy(update={"mirror": not both})
    if lesson is not None:
        spec = lesson.train.spec
    else:
        spec = dataset.spec if options.cond else dataset.spec.unlabelled()
    note = ""
    if packaged_start.is_automatic(options):
        start, note = packaged_start.offer(family, options, config, spec)
        start_digest = "" if start is None else start.digest
    check_frozen(start, options)
    device = pick_device(options.device)
    if options.augment == "auto":
        options = options.model_copy(update={"augment": augmentation_of(family)})
    return Plan(
        *(family, options.model, config, dataset, data, spec, options, device),
        lesson=lesson,
        start=start,
        start_digest=start_digest,
        note=note,
    )


def _opened(
    family: ModuleType,
    config: BaseModel,
    data: str,
    options: TrainOptions,
    progress: Callable[[int, int], None] | None,
) -> tuple[Dataset, Lesson | None]:
    sides = sides_of(family, config)
    if sides != "one":
        return learn_from(sides, data, options, config, progress=progress)
    if options.real is not None or options.direction:
        raise InputError(
            f"--real and --direction are for models that turn pictures into others, not {options.model}"
        )
    dataset = open_dataset(data, progress=progress)
    return dataset, _lesson(family, config, dataset, options)


def _lesson(family: ModuleType, config: BaseModel, dataset: Dataset, options: TrainOptions) -> Lesson | None:
    """What the family makes of the data, or --labels; None for the pictures as they are."""
    lesson = lesson_of(family, config, dataset)
    if options.labels:
        if lesson is not None:
            raise InputError(f"--labels is for generators; {options.model} is told with --set labels=...")
        return conditions.conditions(dataset, options.labels, mirror=options.mirror is not False)
    if options.cond and not dataset.spec.label_dim:
        raise InputError(
            f"{dataset.name}: --cond needs label columns, and this dataset has none; name labels of its"
            " manifest with --labels"
        )
    return lesson


def _resumed(data: str | None, options: TrainOptions) -> tuple[str, TrainOptions]:
    """With --resume, take from the run's config what makes up its identity."""
    if options.resume is None:
        if data is None:
            raise InputError("say which DATA to train on (a zip, a folder or rendered:2000), or --resume RUN")
        return data, options
    stored = RunFolder.open(options.resume).read_config()
    try:
        # What the stored config lacks was added later; its default is what the run did.
        defaults = discover.load(_MODELS, stored["family"]).Config().model_dump()
        changes = tuple(f"{name}={value}" for name, value in {**defaults, **stored["config"]}.items())
        taken = {name: stored["options"][name] for name in _KEPT if name in stored["options"]}
        update = {"model": stored["family"], "preset": "default", "set": changes, **taken}
        if options.kimg is None and options.minutes is None:
            update |= {name: stored["options"][name] for name in ("kimg", "minutes")}
        return data or stored["dataset"]["source"], options.model_copy(update=update)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{options.resume}/config.json: not the config of a training run ({error})"
        ) from error


def _run_folder(plan: Plan) -> tuple[Plan, RunFolder, bool]:
    """The folder to train in, whether it is new, and the plan with what that run began with."""
    identity = plan.identity()
    if plan.options.resume is not None:
        run = RunFolder.open(plan.options.resume)
        if run.read_config().get("identity") != identity:
            raise InputError(
                f"{run.path}: its dataset is not {plan.source} any more; resume needs the same one"
            )
        return plan, run, False
    if not plan.options.new:
        runs = [(run, run.read_config()) for run in reversed(find_runs(plan.options.out))]
        for run, stored in runs:
            if stored.get("identity") == identity:
                return replace(plan, note=""), run, False
        for run, stored in runs:
            earlier = _begun_earlier(plan, stored)
            if earlier is not None and stored.get("identity") == earlier.identity():
                return earlier, run, False
    plan.build()  # refuse what cannot be built before making a folder
    what = f"{Path(plan.dataset.name).stem}-{plan.family_name}-{plan.spec.resolution}"
    return plan, RunFolder.create(plan.options.out, what), True


def _begun_earlier(plan: Plan, stored: Mapping[str, Any]) -> Plan | None:
    """The plan with what an earlier run began with, if the same command did so with another mien."""
    if not packaged_start.is_same_beginning(plan.options, stored):
        return None
    start = stored.get("start") or {}
    what = f"with an earlier {start['packaged']}" if start.get("packaged") else "from nothing"
    note = f"this run began {what}, and goes on with what it has learnt; --new begins another"
    return replace(plan, start=None, start_digest=str(start.get("digest", "")), note=note)


def _digest(dataset: Dataset) -> str:
    """Of which pictures these are, and of their labels."""
    digest = hashlib.sha256(b"" if dataset.labels is None else dataset.labels.tobytes())
    digest.update(dataset.indexes.tobytes() if isinstance(dataset, View) else b"")
    return digest.hexdigest()


def _settings(plan: Plan, run: RunFolder, *, is_new: bool, console: Console) -> dict[str, Any]:
    if not is_new:
        return run.read_config()
    settings = {
        "tool": TOOL,
        "family": plan.family_name,
        "config": plan.config.model_dump(),
        "spec": asdict(plan.spec),
        "dataset": {
            "name": plan.dataset.name,
            "source": _wherever(plan.source),
            "content_hash": plan.dataset.content_hash,
            "num_images": len(plan.dataset),
        },
        "options": plan.options.model_copy(update={"real": _wherever(plan.options.real)}).model_dump(
            mode="json"
        ),
        "precision": _precision(plan, console),
        "identity": plan.identity(),
    }
    if plan.start is not None:
        told = plan.build().told
        settings["start"] = {
            "from": str(plan.start.path.resolve()),
            "digest": plan.start_digest,
            "told": told,
            "packaged": plan.start.packaged,
        }
    settings["beginning"] = asdict(packaged_start.beginning(plan.options, plan.start))
    run.write_config(settings)
    return settings


def _wherever(source: str | None) -> str | None:
    """A path that means the same in every working folder; "NAME:WHERE" as it is."""
    return source if source is None or ":" in source else str(Path(source).resolve())


def _precision(plan: Plan, console: Console) -> str:
    if plan.options.precision != "auto":
        return plan.options.precision
    speeds = probe(
        lambda: plan.build().trainable, _stream(plan), plan.device, micro_batch=plan.options.micro_batch
    )
    chosen = choose(speeds)
    told = ", ".join(f"{name} {speed:.0f} img/s" for name, speed in speeds.items())
    console.print(f"probed arithmetic: {told}; takes {chosen}")
    return chosen


def _stream(plan: Plan) -> Stream:
    lesson = plan.lesson
    return Stream(
        plan.learnt_from,
        seed=plan.options.seed,
        mirror=plan.options.mirror is not False,
        labels=plan.options.cond or lesson is not None,
        device=plan.device,
        mirrored_labels=None if lesson is None else lesson.mirrored_labels,
        others=None if lesson is None else lesson.others,
        aligned=lesson is not None and lesson.aligned,
    )


def _session(
    plan: Plan, run: RunFolder, settings: dict[str, Any], console: Console
) -> tuple[Training, Session]:
    torch.manual_seed(
        plan.options.seed
    )  # the initial weights are the only thing drawn from the global source
    built = plan.build()
    training = Training(
        built.trainable,
        plan.options.seed,
        plan.device,
        NAMES[settings["precision"]],
        augment=_augment(plan.options),
        micro_batch=plan.options.micro_batch,
        frozen=built.frozen,
        beginning=Beginning(**settings.get("beginning", {})),
    )
    session = Session(
        run,
        training,
        _stream(plan),
        plan.learnt_from,
        _budget(plan.options),
        family=plan.family_name,
        conditional=plan.options.cond,
        tick_nimg=plan.options.tick_kimg * 1000,
        snapshot_nimg=plan.options.snapshot_kimg * 1000,
        outputs=_outputs(plan, run, training, console),
    )
    return training, session


def _augment(options: TrainOptions) -> Schedule | None:
    if options.augment == "none":
        return None
    augmentation = Augmentation(parse_pipe(options.augment_pipe))
    ada = Adaptive(augmentation, target=options.augment_target, ramp_nimg=options.augment_kimg * 1000)
    adaptive = ada if options.augment == "ada" else None
    return Schedule(augmentation, options.augment, options.augment_p, adaptive)


def _outputs(plan: Plan, run: RunFolder, training: Training, console: Console) -> Outputs | None:
    """What this kind of run leaves behind; None for a generator's usual outputs."""
    kind = kind_of(plan.family)
    if kind == GENERATOR:
        return None
    if plan.lesson is None:
        raise NotImplementedError(f"{plan.family_name} makes no lesson of its data, which a {kind} needs")
    make = outputs_for(kind)
    outputs: Outputs = make(
        run, training, plan.dataset, plan.lesson, family=plan.family_name, console=console
    )
    return outputs


def _budget(options: TrainOptions) -> Budget:
    minutes = options.minutes
    if minutes is None and options.kimg is None:
        minutes = DEFAULT_MINUTES
    nimg = None if options.kimg is None else max(1, round(options.kimg * 1000))
    return Budget(nimg, None if minutes is None else minutes * 60)
