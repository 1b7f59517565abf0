"""`mien train --from`: the weights that a run begins with, and whether they fit it."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel
from torch import Tensor

from mien.core.checkpoint import NetworkHeader, is_ours, load_generator, load_state, newest_state
from mien.core.errors import InputError
from mien.core.family import GENERATOR, kind_of
from mien.core.packaged import name_of, source_of
from mien.core.run import RunFolder
from mien.core.types import Spec, Trainable
from mien.interop.described import numbers_of
from mien.interop.import_ import read_pair
from mien.training.kinds import kind_at
from mien.training.options import TrainOptions
from mien.training.transfer import Columns, Taken, check, take

NOTHING = Path("none")  # --from none: begin from nothing, packaged model or not
_BEGIN = (GENERATOR, "translator")  # kinds that train "g" against "d"
_NUMBER = re.compile("[0-9]{6,}")


@dataclass(frozen=True)
class Start:
    """Weights to begin with. d: of the discriminator, None where only a generator is known.

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
    """The weights asked for with --from and their digest; of a resumed run only the digest.

    None and "" where nothing was asked for, or nothing is to be begun with. Raises InputError.
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
    """That this family can begin with the weights. Raises InputError."""
    kind, theirs = kind_of(family), start.header
    if kind not in _BEGIN:
        raise InputError(f"--from: {name} cannot begin with another's weights")
    if theirs.kind != kind:
        raise InputError(f"--from {start.path}: it holds '{theirs.kind}', and here a '{kind}' is needed")
    if theirs.family != name:
        raise InputError(
            f"--from {start.path}: it is of the family {theirs.family}, not {name}; leave --model out"
        )


def check_frozen(start: Start | None, options: TrainOptions) -> None:
    """That --freeze-d has a discriminator to hold. Raises InputError."""
    if not options.freeze_d or options.resume is not None:
        return
    if start is None:
        raise InputError("--freeze-d holds what a discriminator has learnt; say from whom with --from")
    if start.d is None:
        raise InputError(
            f"--freeze-d: {start.path} comes without a discriminator; give a run folder to --from"
        )


def check_resumable(run: RunFolder) -> None:
    """That a run can go on without the weights that it began with. Raises InputError."""
    if newest_state(run.path, report=lambda line: None) is None:
        raise InputError(
            f"{run.path}: none of its training states can be read; begin anew with --new, or --from"
        )


class Weights(NamedTuple):
    """Tensors of a generator, of its discriminator if known, and what the file says of itself."""

    g: Mapping[str, Tensor]
    d: Mapping[str, Tensor] | None
    header: NetworkHeader


def read_start(source: Path) -> Start:
    """Weights out of a run folder (its newest network) or a file of one. Raises InputError."""
    source = source_of(source)
    path = RunFolder.open(source).newest_product(kind_at(source)) if source.is_dir() else source
    if path.name.startswith("state-"):
        raise InputError(f"--from {path}: a training state; give the folder of its run")
    if path.is_file() and not is_ours(path):
        return _foreign(path)
    notes: list[str] = []
    g, d, header = read_weights(path, notes.append)
    if d is None:
        notes.append(
            f"{path.name} comes without a discriminator, which begins anew: --from a run folder has both"
        )
    return Start(
        *(path, header, g, d, _digest(path, d)),
        notes=tuple(notes),
        packaged=name_of(path) or "",
    )


def _foreign(path: Path) -> Start:
    pair = read_pair(path)
    average = None if pair.average is pair.g else pair.average
    return Start(
        *(path, pair.header, pair.g, pair.d, _digest(path, pair.d)),
        average=average,
        numbers=pair.numbers,
        notes=pair.notes,
    )


def read_weights(path: Path, report: Callable[[str], None]) -> Weights:
    """What `path`, a file of ours, holds.

    The discriminator is taken from a file beside it, `NAME.discriminator.safetensors` for
    `NAME.safetensors`, else from the run's training state of the same moment.
    report: told why a discriminator cannot be used. Raises InputError.
    """
    tensors, header = load_generator(path)
    return Weights(tensors, _discriminator(path, header, report), header)


class Begun(NamedTuple):
    """told: what was taken, in lines. average: what the averaged generator begins with, if that is known."""

    told: tuple[str, ...]
    average: Mapping[str, Tensor] | None


def begin(trainable: Trainable, start: Start, family: ModuleType, spec: Spec) -> Begun:
    """Put the weights into a new model. Raises InputError where they do not fit."""
    _check_spec(start, spec)
    # The same model for the labels of the file: its weights must fit that one exactly, and what differs
    # between the two is what has to do with labels.
    like = family.build(trainable.config, start.header.spec)
    lines = list(start.notes)
    words = {"g": "generator", "d": "discriminator"}
    for name, weights in (("g", start.g), ("d", start.d)):
        if weights is not None and name in trainable.networks:
            if problem := check(weights, like.networks[name]):
                made = hint(start, family, trainable.config)
                raise InputError(f"--from {start.path}: its {words[name]} does not fit ({problem}){made}")
            taken = _take(trainable, name, weights, start, family, spec)
            lines.append(f"{words[name]} from {start.path.name}: {taken.told()}")
    average = None
    if start.average is not None:
        trained = {name: tensor.clone() for name, tensor in trainable.networks["g"].state_dict().items()}
        _take(trainable, "g", start.average, start, family, spec)
        average = {name: tensor.clone() for name, tensor in trainable.networks["g"].state_dict().items()}
        trainable.networks["g"].load_state_dict(trained)
    if start.packaged:
        lines = [_what_it_saves(start)]
    return Begun((*lines, *_changes(start, spec)), average)


def _take(
    trainable: Trainable,
    name: str,
    weights: Mapping[str, Tensor],
    start: Start,
    family: ModuleType,
    spec: Spec,
) -> Taken:
    theirs = start.header.spec
    columns = _columns(theirs, spec, family, trainable.config, name)
    return take(
        trainable.networks[name], weights, columns=columns, parts=theirs.resolution == spec.resolution
    )


def fits(weights: Weights, family: ModuleType, config: BaseModel) -> str | None:
    """Why the family with these numbers does not have the shapes of `weights`; None where it does."""
    with torch.device("meta"):  # nothing is computed
        networks = family.build(config, weights.header.spec).networks
    problems = (
        (name, check(tensors, networks[name]))
        for name, tensors in (("g", weights.g), ("d", weights.d))
        if tensors is not None
    )
    return next((f"{name}.{problem}" for name, problem in problems if problem), None)


def _what_it_saves(start: Start) -> str:
    header = start.header
    return (
        f"begins with the packaged {start.packaged} ({header.family}), which saves the"
        f" {header.nimg / 1000:,.0f} kimg that it was trained for; --from none begins from nothing"
    )


def _check_spec(start: Start, spec: Spec) -> None:
    theirs = start.header.spec
    if theirs.channels != spec.channels:
        raise InputError(
            f"--from {start.path}: it draws {theirs.channels} channels, and the data has {spec.channels}"
        )


def _columns(theirs: Spec, ours: Spec, family: ModuleType, config: BaseModel, network: str) -> Columns | None:
    """The label columns that both take, by name; None where they are the same, or either takes none."""
    if theirs.class_names == ours.class_names or not (theirs.label_dim and ours.label_dim):
        return None
    pairs = [
        (here, theirs.class_names.index(name))
        for here, name in enumerate(ours.class_names)
        if name in theirs.class_names
    ]
    wider = replace(ours, label_dim=ours.label_dim + 1, class_names=())
    shapes, others = (_shapes(family, config, spec) for spec in (ours, wider))
    prefix = f"{network}."
    tensors = (name for name, shape in shapes.items() if name.startswith(prefix) and shape != others[name])
    return Columns(frozenset(name.removeprefix(prefix) for name in tensors), tuple(pairs))


def hint(start: Start, family: ModuleType, config: BaseModel) -> str:
    """Which numbers of the family would make a network of the file's shapes, as far as can be told."""
    theirs = {name: value for name, value in start.header.config.items() if name in type(config).model_fields}
    plain = _shapes(family, config, start.header.spec)
    needed = [
        f"--set {name}={value}"
        for name, value in theirs.items()
        if value != getattr(config, name)
        and _shapes(family, config.model_copy(update={name: value}), start.header.spec) != plain
    ]
    return f"; it was made with {' '.join(needed)}" if needed else ""


def _shapes(family: ModuleType, config: BaseModel, spec: Spec) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):  # nothing is computed
        networks = family.build(config, spec).networks
    return {
        f"{network}.{name}": tuple(tensor.shape)
        for network, module in networks.items()
        for name, tensor in module.state_dict().items()
    }


def _changes(start: Start, spec: Spec) -> tuple[str, ...]:
    """What differs between what the file draws and what this run will, in lines."""
    theirs = start.header.spec
    lines = []
    if theirs.resolution != spec.resolution:
        lines.append(f"it drew {theirs.resolution} px, this run draws {spec.resolution} px")
    if theirs.class_names != spec.class_names and theirs.label_dim and spec.label_dim:
        both = [name for name in spec.class_names if name in theirs.class_names]
        new = [name for name in spec.class_names if name not in theirs.class_names]
        lines.append(f"labels taken by name: {', '.join(both) or 'none'}; new: {', '.join(new) or 'none'}")
    elif theirs.label_dim != spec.label_dim:
        ours = f"{spec.label_dim} label columns" if spec.label_dim else "no labels"
        lines.append(f"it took {theirs.label_dim or 'no'} label columns, this run takes {ours}")
    return tuple(lines)


def _discriminator(
    path: Path, header: NetworkHeader, report: Callable[[str], None]
) -> Mapping[str, Tensor] | None:
    beside = path.with_name(path.stem + ".discriminator.safetensors")
    if beside.is_file():
        tensors, found = load_generator(beside)
        if found.origin == header.origin:
            return tensors
        report(f"{beside.name}: came from another file than {path.name}, and is not used")
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
