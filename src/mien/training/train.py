"""Training a model on a dataset, in a run folder: what `mien train` does."""

import shlex
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from mien import TOOL
from mien.core import launched, ranks, storage
from mien.core.errors import InputError, install
from mien.core.events import Events, Progress, Stopped, TrainingTick
from mien.core.family import GENERATOR, kind_of
from mien.core.run import RunFolder
from mien.core.stop import Stop
from mien.training import packaged_start
from mien.training.augment import Adaptive, Augmentation, Schedule, parse_pipe
from mien.training.command import DEFAULT_MINUTES, TrainOptions
from mien.training.kinds import kind
from mien.training.loop import Beginning, Budget, Step, Training
from mien.training.order import Stream
from mien.training.outputs import Outputs
from mien.training.plan import Built, Plan, doubts, make_plan
from mien.training.resume import absolute_source, check_related, image_sample, resumed, same_run
from mien.training.session import Event, Session
from mien.training.settings import NAMES, choose, probe
from mien.training.start import check_resumable

_FEW = 100  # pictures: a generator of fewer repeats them


def run_training(data: str | None, options: TrainOptions, events: Events) -> RunFolder:
    """Train as `mien train` says, alone or as one of several processes; the run's folder."""
    with ranks.joined(options.device):
        return _train(events if ranks.leads() else Events(), data, options)


def _train(events: Events, data: str | None, options: TrainOptions) -> RunFolder:
    plan = ranks.each(lambda: _plan(data, options, events))
    torch.manual_seed(plan.options.seed)  # nothing but the initial weights is drawn from the global source
    built = ranks.each(plan.build)  # refuses what cannot be built before there is a folder
    ranks.share_of(built.trainable.batch_size)
    versions = f"{TOOL}, torch {torch.__version__}"
    ranks.check_alike(
        plan.source, {"data or options": plan.identity(), "version": versions, "device": plan.device.type}
    )
    with ExitStack() as stack:

        def begin() -> tuple[str, dict[str, Any]]:
            nonlocal plan, built
            planned, (plan, run, is_new) = plan, _run_folder(plan, events)
            if plan.config != planned.config:
                built = plan.build()  # the run was begun with another preset
            stack.enter_context(run.lock())
            if plan.start_digest and plan.start is None:
                check_resumable(run)
            return str(run.path), _settings(plan, built, run, events) if is_new else run.read_config()

        path, settings = ranks.led(begin)
        if not ranks.leads():  # which takes its weights from the first rank
            config = type(plan.config).model_validate(settings["config"])
            plan = replace(plan, config=config, start=None, start_digest="")
            built = plan.build()
        run = RunFolder(Path(path))
        training = _training(plan, built, settings)
        session = _session(plan, run, training, events)
        goes_on = session.resume(events.warn)
        _describe(plan, run, settings, training, events, goes_on=goes_on)
        if _budget(options).fraction(training.nimg, training.seconds) >= 1:
            events.note("its budget is spent already; give more --minutes or --kimg, or --new")
            return run
        _run(session, run, events, tensorboard=options.tensorboard)
    minutes = training.seconds / 60
    events.note(f"trained {training.nimg / 1000:.1f} kimg (thousand images) in {minutes:.1f} min: {run.path}")
    events.hint(f"next: {_next_command(plan, run)}")
    return run


def _next_command(plan: Plan, run: RunFolder) -> str:
    where = shlex.quote(str(run.path))
    if kind_of(plan.family) == GENERATOR:  # not by the folder, which other hosts do not have
        return f"mien generate {where} --seeds 0-63 --grid --out faces\n      mien report {where}"
    return f"mien evaluate {where}\n      mien report {where}"


def _plan(data: str | None, options: TrainOptions, events: Events) -> Plan:
    if ranks.restarted():
        options = options.model_copy(update={"new": False})  # it goes on with what it began before the loss
    data, options = resumed(data, _here(options))
    if options.labels:
        options = options.model_copy(update={"cond": True})
    return make_plan(data, options, progress=events.progress("opening pictures"))


def _here(options: TrainOptions) -> TrainOptions:
    """The options with paths of this machine. Raises InputError for a run on shared storage."""
    paths: dict[str, Any] = {"out": storage.on_disk("--out", options.out)}
    if options.resume is not None:
        paths["resume"] = storage.on_disk("--resume", options.resume)
    if options.start is not None:
        paths["start"] = Path(storage.local(options.start))
    changed = {name: path for name, path in paths.items() if path != getattr(options, name)}
    return options.model_copy(update=changed)


def _describe(
    plan: Plan, run: RunFolder, settings: dict[str, Any], training: Training, events: Events, *, goes_on: bool
) -> None:
    """Send a line on model, data and precision, and the notes on them."""
    where = f"goes on at {training.nimg / 1000:.1f} kimg" if goes_on else "begins"
    data = f"{plan.dataset.name} ({len(plan.dataset):,} pictures, {plan.spec.resolution} px)"
    events.note(f"{run.path} {where}: {plan.family_name} on {data}, {settings['precision']}", "strong")
    if kind_of(plan.family) == GENERATOR and 1 < len(plan.dataset) < _FEW and not goes_on:
        events.warn(
            f"so few pictures ({len(plan.dataset)}) a generator repeats; some hundreds are the least,"
            " thousands are good"
        )
    notes = [*getattr(plan.dataset, "notes", ()), *(plan.lesson.notes if plan.lesson else ())]
    if not goes_on:
        notes += doubts(plan.training_data)
        notes += settings["start"]["told"] if plan.start is not None else ()
    for note in filter(None, [*notes, plan.note]):
        events.note(note)


def _run(session: Session, run: RunFolder, events: Events, *, tensorboard: bool) -> None:
    """Train to the end of the budget; stopped by a signal or a listener, leave a checkpoint."""
    writer: Any = None
    if tensorboard and ranks.leads():
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(f"--tensorboard needs TensorBoard; {install('track')}") from error
        writer = SummaryWriter(str(run.path / "tensorboard"))
    launched.begin()
    try:
        with Stop() as stop:
            for event in session.events():
                _send(event, events, writer)
                if ranks.any_of(stop.asked):
                    session.save()
                    raise KeyboardInterrupt
    except Stopped:
        session.save()
        raise
    finally:
        if writer is not None:
            writer.close()


def _send(event: Event, events: Events, writer: Any) -> None:
    if isinstance(event, Step):
        total = round(event.nimg / event.fraction) if event.fraction > 0 else event.nimg + 1
        events.send(Progress("training", event.nimg, total))
    elif isinstance(event, TrainingTick):
        events.send(event)
        if writer is not None:
            for name, value in event.values.items():
                writer.add_scalar(name, value, event.nimg)
    else:
        events.note(f"{event.nimg / 1000:.1f} kimg: {event.text}", "error" if event.fatal else "warning")


def _run_folder(plan: Plan, events: Events) -> tuple[Plan, RunFolder, bool]:
    """The plan with the run's initial weights, the folder to train in, and whether it is new."""
    identity = plan.identity()
    if plan.options.resume is not None:
        run = RunFolder.open(plan.options.resume)
        if run.read_config().get("identity") != identity:
            raise InputError(
                f"{run.path} learns from other data than {plan.source} holds now ({len(plan.dataset):,}"
                f" images); in the place of --resume, --from {run.path} goes on from what it learnt,"
                " --new begins anew"
            )
        return plan, run, False
    if not plan.options.new:
        if (same := same_run(plan)) is not None:
            return *same, False
        check_related(plan, events.warn)
    what = f"{Path(plan.dataset.name).stem}-{plan.family_name}-{plan.spec.resolution}"
    return plan, RunFolder.create(plan.options.out, what), True


def _settings(plan: Plan, built: Built, run: RunFolder, events: Events) -> dict[str, Any]:
    """Write a new run's config.json, and return its content."""
    settings = {
        "tool": TOOL,
        "family": plan.family_name,
        "config": plan.config.model_dump(),
        "spec": asdict(plan.spec),
        "dataset": {
            "name": plan.dataset.name,
            "source": absolute_source(plan.source),
            "content_hash": plan.dataset.content_hash,
            "num_images": len(plan.dataset),
            "sample": sorted(image_sample(plan.dataset)),
        },
        "options": plan.options.model_dump(mode="json") | {"real": absolute_source(plan.options.real)},
        "precision": _precision(plan, events),
        "identity": plan.identity(),
    }
    if plan.start is not None:
        settings["start"] = {
            "from": str(plan.start.path.resolve()),
            "digest": plan.start_digest,
            "told": built.initialisation.notes,
            "packaged": plan.start.packaged,
        }
    settings["beginning"] = asdict(packaged_start.beginning(plan.options, plan.start))
    run.write_config(settings)
    return settings


def _precision(plan: Plan, events: Events) -> str:
    if plan.options.precision != "auto":
        return plan.options.precision
    events.note("times a few steps in float32 and in bfloat16")
    with ranks.alone():
        speeds = probe(
            lambda: plan.build().trainable, _stream(plan), plan.device, micro_batch=plan.options.micro_batch
        )
    chosen = choose(speeds)
    if len(speeds) > 1:
        measured = ", ".join(f"{name} {speed:.0f} images/s" for name, speed in speeds.items())
        events.note(f"{measured}: takes {chosen}")
    return chosen


def _stream(plan: Plan) -> Stream:
    lesson = plan.lesson
    return Stream(
        plan.training_data,
        seed=plan.options.seed,
        mirror=plan.options.mirror is not False,
        labels=plan.options.cond or lesson is not None,
        device=plan.device,
        mirrored_labels=None if lesson is None else lesson.mirrored_labels,
        others=None if lesson is None else lesson.others,
        aligned=lesson is not None and lesson.aligned,
    )


def _training(plan: Plan, built: Built, settings: dict[str, Any]) -> Training:
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
    if built.initialisation.average is not None:
        training.averages.networks["g"].load_state_dict(built.initialisation.average)
    return training


def _session(plan: Plan, run: RunFolder, training: Training, events: Events) -> Session:
    return Session(
        run,
        training,
        _stream(plan),
        plan.training_data,
        _budget(plan.options),
        family=plan.family_name,
        conditional=plan.options.cond,
        tick_nimg=plan.options.tick_kimg * 1000,
        snapshot_nimg=plan.options.snapshot_kimg * 1000,
        outputs=_outputs(plan, run, training, events),
    )


def _augment(options: TrainOptions) -> Schedule | None:
    if options.augment == "none":
        return None
    augmentation = Augmentation(parse_pipe(options.augment_pipe))
    adaptive = None
    if options.augment == "ada":
        assert options.augment_kimg is not None  # see `plan`
        ramp = options.augment_kimg * 1000
        adaptive = Adaptive(augmentation, target=options.augment_target, ramp_nimg=ramp)
    return Schedule(augmentation, options.augment, options.augment_p, adaptive)


def _outputs(plan: Plan, run: RunFolder, training: Training, events: Events) -> Outputs | None:
    """The outputs of this kind of run; None for those of a generator."""
    if not ranks.leads():
        return Outputs()  # which writes nothing
    name = kind_of(plan.family)
    make = None if name == GENERATOR else kind(name).outputs
    if make is None:
        return None
    if plan.lesson is None:
        raise NotImplementedError(f"{plan.family_name} makes no lesson of its data, which a {name} needs")
    return make(run, training, plan.dataset, plan.lesson, family=plan.family_name, events=events)


def _budget(options: TrainOptions) -> Budget:
    minutes = options.minutes
    if minutes is None and options.kimg is None:
        minutes = DEFAULT_MINUTES
    nimg = None if options.kimg is None else max(1, round(options.kimg * 1000))
    return Budget(nimg, None if minutes is None else minutes * 60)
