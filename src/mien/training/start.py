"""`mien train --from`: the initial weights of a run, and whether they fit it."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import BaseModel
from torch import Tensor

from mien.core.checkpoint import NetworkHeader, is_ours, load_generator, load_state, newest_state, read_header
from mien.core.errors import InputError
from mien.core.family import GENERATOR, kind_of, shapes_of, weightless
from mien.core.network import checked, products_of
from mien.core.packaged import name_of, source_of
from mien.core.run import RunFolder
from mien.core.types import Spec, Trainable
from mien.interop.described import numbers_of
from mien.interop.import_ import read_pair
from mien.training.command import TrainOptions
from mien.training.kinds import kind_at
from mien.training.transfer import Columns, Transfer, copy_weights, mismatch

NOTHING = Path("none")  # --from none: begin from nothing, packaged model or not
_BEGIN = (GENERATOR, "translator")  # kinds that train "g" against "d"
_NUMBER = re.compile("[0-9]{6,}")


@dataclass(frozen=True)
class Start:
    """Initial weights of a run. d: of the discriminator, None where only a generator is known.

    digest: of all weights; part of a run's identity. average: where the file has the averaged generator apart
    from g, its weights. numbers: those of the family that the file decides, sizes above all. notes: lines for
    the user. packaged: the name of the generator that comes with mien, where it is one, else "".
    """

    path: Path
    header: NetworkHeader
    g: Mapping[str, Tensor]
    d: Mapping[str, Tensor] | None
    digest: str
    average: Mapping[str, Tensor] | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    packaged: str = ""


def start_of(options: TrainOptions) -> tuple[Start | None, str]:
    """The weights named by --from and their digest; of a resumed run only the digest.

    None and "" without --from, or for a run from scratch. Raises InputError.
    """
    if options.resume is not None:
        return None, str((RunFolder.open(options.resume).read_config().get("start") or {}).get("digest", ""))
    if options.start in (None, NOTHING):
        return None, ""
    assert options.start is not None
    start = read_start(options.start)
    if not start.numbers:
        start = replace(start, numbers=numbers_of(start.header))
    return start, start.digest


def check_family(start: Start, family: ModuleType, name: str) -> None:
    """Raise InputError unless this family can begin with the weights."""
    kind, header = kind_of(family), start.header
    if kind not in _BEGIN:
        raise InputError(f"--from: {name} cannot begin with another's weights")
    if header.kind != kind:
        raise InputError(f"--from {start.path}: it holds '{header.kind}', and here a '{kind}' is needed")
    if header.family != name:
        raise InputError(
            f"--from {start.path}: it is of the family {header.family}, not {name}; leave --model out"
        )


def check_frozen(start: Start | None, options: TrainOptions) -> None:
    """Raise InputError where --freeze-d has no discriminator to freeze."""
    if not options.freeze_d or options.resume is not None:
        return
    if start is None:
        raise InputError("--freeze-d holds what a discriminator has learnt; say from whom with --from")
    if start.d is None:
        raise InputError(
            f"--freeze-d: {start.path} comes without a discriminator; give a run folder to --from"
        )


def check_resumable(run: RunFolder) -> None:
    """Raise InputError where a run cannot be resumed without the weights that it began with."""
    if newest_state(run.path, report=lambda line: None) is None:
        raise InputError(
            f"{run.path}: none of its training states can be read; begin anew with --new, or --from"
        )


class Weights(NamedTuple):
    """Tensors of a generator, of its discriminator if known, and the file's header."""

    g: Mapping[str, Tensor]
    d: Mapping[str, Tensor] | None
    header: NetworkHeader


def read_start(source: Path) -> Start:
    """Read the weights of a run folder (its newest network that is whole) or of a file. Raises InputError."""
    source = source_of(source)
    if not source.is_dir():
        return _read_file(source)
    errors: list[InputError] = []
    for path in products_of(source, kind_at(source)):
        try:
            start = _read_file(path)
        except InputError as error:
            errors.append(error)
            continue
        passed = (f"{error}; falling back to {path.name}" for error in errors)
        return replace(start, notes=(*passed, *start.notes))
    raise errors[0]


def _read_file(path: Path) -> Start:
    if path.name.startswith("state-"):
        raise InputError(f"--from {path}: a training state; give the folder of its run")
    if path.is_file() and not is_ours(path):
        pair = read_pair(path)
        average = None if pair.average is pair.g else pair.average
        found = (path, pair.header, pair.g, pair.d, _digest(path, pair.d))
        return Start(*found, average=average, numbers=pair.numbers, notes=pair.notes)
    notes: list[str] = []
    g, d, header = read_weights(path, notes.append)
    if d is None:
        notes.append(
            f"{path.name} comes without a discriminator, which begins anew: --from a run folder has both"
        )
    return Start(path, header, g, d, _digest(path, d), notes=tuple(notes), packaged=name_of(path) or "")


def read_weights(path: Path, report: Callable[[str], None]) -> Weights:
    """The weights in a file of ours.

    The discriminator is taken from a file beside it, `NAME.discriminator.safetensors` for
    `NAME.safetensors`, else from the run's training state of the same moment.
    report: gets the reason why a discriminator cannot be used. Raises InputError.
    """
    checked(path, read_header(path))  # before any memory is taken
    tensors, header = load_generator(path)
    return Weights(tensors, _discriminator(path, header, report), header)


class Initialisation(NamedTuple):
    """How a model was initialised. notes: in lines. average: of the averaged generator, if that is known."""

    notes: tuple[str, ...]
    average: Mapping[str, Tensor] | None


def initialise(trainable: Trainable, start: Start, family: ModuleType, spec: Spec) -> Initialisation:
    """Copy the weights into a new model. Raises InputError where they do not fit."""
    channels, header = start.header.spec.channels, start.header
    if channels != spec.channels:
        raise InputError(
            f"--from {start.path}: it draws {channels} channels, and the data has {spec.channels}"
        )
    # The same model for the labels of the file: its weights must fit that one exactly, and what differs
    # between the two is what has to do with labels.
    like = family.build(trainable.config, start.header.spec)
    notes = list(start.notes)
    network_names = {"g": "generator", "d": "discriminator"}
    for name, weights in (("g", start.g), ("d", start.d)):
        if weights is not None and name in trainable.networks:
            if problem := mismatch(weights, like.networks[name]):
                suggestion = hint(start, family, trainable.config)
                raise InputError(
                    f"--from {start.path}: its {network_names[name]} does not fit ({problem}){suggestion}"
                )
            transfer = _transfer(trainable, name, weights, start, family, spec)
            notes.append(f"{network_names[name]} from {start.path.name}: {transfer.summary()}")
    average = None
    if start.average is not None:
        own_weights = {name: tensor.clone() for name, tensor in trainable.networks["g"].state_dict().items()}
        _transfer(trainable, "g", start.average, start, family, spec)
        average = {name: tensor.clone() for name, tensor in trainable.networks["g"].state_dict().items()}
        trainable.networks["g"].load_state_dict(own_weights)
    if start.packaged:
        notes = [
            f"begins with the packaged {start.packaged} ({header.family}), which saves the"
            f" {header.nimg / 1000:,.0f} kimg that it was trained for; --from none begins from nothing"
        ]
    return Initialisation((*notes, *_changes(start, spec)), average)


def _transfer(
    trainable: Trainable,
    name: str,
    weights: Mapping[str, Tensor],
    start: Start,
    family: ModuleType,
    spec: Spec,
) -> Transfer:
    source = start.header.spec
    columns = _columns(source, spec, family, trainable.config, name)
    return copy_weights(
        trainable.networks[name], weights, columns=columns, parts=source.resolution == spec.resolution
    )


def shape_mismatch(weights: Weights, family: ModuleType, config: BaseModel) -> str | None:
    """The first mismatch between `weights` and the family with this config, in words; None where all fit."""
    with weightless():
        networks = family.build(config, weights.header.spec).networks
    problems = (
        (name, mismatch(tensors, networks[name]))
        for name, tensors in (("g", weights.g), ("d", weights.d))
        if tensors is not None
    )
    return next((f"{name}.{problem}" for name, problem in problems if problem), None)


def _plain_names(spec: Spec) -> tuple[str, ...]:
    """The label columns by name; --labels calls a column "class=calm" that --cond calls "calm"."""
    return tuple(name.removeprefix("class=") for name in spec.class_names)


def _columns(
    source: Spec, target: Spec, family: ModuleType, config: BaseModel, network: str
) -> Columns | None:
    """The label columns that both have, by name; None where they are the same, or either has none."""
    theirs, ours = _plain_names(source), _plain_names(target)
    if theirs == ours or not (source.label_dim and target.label_dim):
        return None
    pairs = [(column, theirs.index(name)) for column, name in enumerate(ours) if name in theirs]
    wider = replace(target, label_dim=target.label_dim + 1, class_names=())
    shapes, wider_shapes = (shapes_of(family, config, spec) for spec in (target, wider))
    prefix = f"{network}."
    tensors = (
        name for name, shape in shapes.items() if name.startswith(prefix) and shape != wider_shapes[name]
    )
    return Columns(frozenset(name.removeprefix(prefix) for name in tensors), tuple(pairs))


def hint(start: Start, family: ModuleType, config: BaseModel) -> str:
    """The --set options that would give the network the file's shapes, as far as they can be derived."""
    stored = {name: value for name, value in start.header.config.items() if name in type(config).model_fields}
    shapes = shapes_of(family, config, start.header.spec)
    needed = [
        f"--set {name}={value}"
        for name, value in stored.items()
        if value != getattr(config, name)
        and shapes_of(family, config.model_copy(update={name: value}), start.header.spec) != shapes
    ]
    return f"; it was made with {' '.join(needed)}" if needed else ""


def _changes(start: Start, spec: Spec) -> tuple[str, ...]:
    """The differences between the images and labels of the file and those of this run, in lines."""
    source = start.header.spec
    notes = []
    if source.resolution != spec.resolution:
        notes.append(f"it drew {source.resolution} px, this run draws {spec.resolution} px")
    theirs, ours = _plain_names(source), _plain_names(spec)
    if theirs != ours and source.label_dim and spec.label_dim:
        common = [name for name in ours if name in theirs]
        new = [name for name in ours if name not in theirs]
        words = f"labels taken by name: {', '.join(common) or 'none'}; new: {', '.join(new) or 'none'}"
        notes.append(words if ours else "the labels of this run have no names, so all are learnt anew")
    elif source.label_dim != spec.label_dim:
        labels = f"{spec.label_dim} label columns" if spec.label_dim else "no labels"
        notes.append(f"it took {source.label_dim or 'no'} label columns, this run takes {labels}")
    return tuple(notes)


def _discriminator(
    path: Path, header: NetworkHeader, report: Callable[[str], None]
) -> Mapping[str, Tensor] | None:
    own_file = path.with_name(path.stem + ".discriminator.safetensors")
    if own_file.is_file():
        checked(own_file, read_header(own_file))
        tensors, own_header = load_generator(own_file)
        if own_header.origin == header.origin:
            return tensors
        report(f"{own_file.name}: came from another file than {path.name}, and is not used")
    number = _NUMBER.search(path.name)
    state_path = path.with_name(f"state-{number[0]}.pt") if number else None
    if state_path is None or not state_path.is_file():
        return None
    try:
        state: dict[str, Any] = load_state(state_path)
        weights: Mapping[str, Tensor] | None = state["networks"].get("d")
    except (InputError, KeyError, AttributeError) as error:
        report(f"{state_path}: cannot be used for the discriminator ({error})")
        return None
    return weights


def _digest(path: Path, d: Mapping[str, Tensor] | None) -> str:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    for name, tensor in sorted((d or {}).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().float().numpy().tobytes())
    return digest.hexdigest()
