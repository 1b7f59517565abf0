"""Optional attributes of a model family's module, beyond `Config`, `PRESETS` and `build`.

KIND: what the product is for ("attributes"); it names the run's network files. Default "generator".
PRODUCT: the key of the product among the trainable's averaged networks. Default "g".
build_product(config, spec): the product untrained, with a `spec`. For a generator it is `build_generator`.
AUGMENT: the default mode of discriminator augmentation ("ramp", "ada"...). Default "none".
AUGMENT_UNDER: with as many training images or more the default is "none" all the same.
ADA_KIMG: thousand images that "ada" takes from p = 0 to 1. Default 500.
preset_for(core_minutes) -> str: which of PRESETS suits a run from nothing with so much time of CPU cores.
better_from_nothing(core_minutes) -> bool: whether a run of so much time of CPU cores is known to draw
nearer faces from nothing than from the packaged model. Default: never.
lesson(config, dataset) -> Lesson: the training and held-out images and labels.
sides(config): "one" dataset (the default); aligned "pairs" of input and target; or unpaired images of two
"domains".
A trainable's `meet(train)`: called once before training with the training images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal, Protocol, cast, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mien.core.types import Dataset, Lesson, Spec, Trainable

GENERATOR = "generator"
ADA_KIMG = 500.0
_FILLS = {Tensor.normal_, Tensor.uniform_}
_SCALES = {Tensor.__mul__, Tensor.__rmul__, Tensor.mul, Tensor.__truediv__, Tensor.div}
Sides = Literal["one", "pairs", "domains"]


class FamilyConfig(BaseModel):
    """Every number of a family: flat and frozen, each field with a description and bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@runtime_checkable
class Meets(Protocol):
    """A trainable that takes statistics (base rates, scales) from the training data."""

    def meet(self, dataset: Dataset) -> None: ...


def kind_of(family: ModuleType) -> str:
    """The kind of network that the family trains: "generator", "attributes", ..."""
    return str(getattr(family, "KIND", GENERATOR))


def augmentation_of(family: ModuleType, count: int) -> str:
    """The family's default mode of discriminator augmentation for so many training images."""
    wanted = count < getattr(family, "AUGMENT_UNDER", float("inf"))
    return str(getattr(family, "AUGMENT", "none")) if wanted else "none"


def ada_kimg_of(family: ModuleType, mode: str) -> float:
    """Thousand images in which the strength of that mode rises from 0 to 1 at the fastest."""
    return float(getattr(family, "ADA_KIMG", ADA_KIMG)) if mode == "ada" else ADA_KIMG


def sides_of(family: ModuleType, config: BaseModel) -> Sides:
    """The form of the family's training data: one dataset, pairs, or two domains."""
    return cast(Sides, family.sides(config) if hasattr(family, "sides") else "one")


def build_product(family: ModuleType, config: BaseModel, spec: Spec) -> nn.Module:
    """The untrained network that is saved and used after training."""
    build = family.build_generator if kind_of(family) == GENERATOR else family.build_product
    return cast(nn.Module, build(config, spec))


def preset_for(family: ModuleType, core_minutes: float) -> str:
    """The preset for a run from scratch with a budget of so many CPU core minutes."""
    return str(family.preset_for(core_minutes)) if hasattr(family, "preset_for") else "default"


def better_from_nothing(family: ModuleType, core_minutes: float) -> bool:
    """Whether the packaged model is known to be no help to a run of so many CPU core minutes."""
    return bool(getattr(family, "better_from_nothing", lambda _: False)(core_minutes))


def lesson_of(family: ModuleType, config: BaseModel, dataset: Dataset) -> Lesson | None:
    """The dataset as the family prepares it; None if it takes it as it is. Raises InputError."""
    return cast(Lesson, family.lesson(config, dataset)) if hasattr(family, "lesson") else None


def build(family: ModuleType, config: BaseModel, spec: Spec, lesson: Lesson | None) -> Trainable:
    """The trainable, with statistics of the training data where it takes any."""
    trainable: Trainable = family.build(config, spec)
    if lesson is not None and isinstance(trainable, Meets):
        trainable.meet(lesson.train)
    return trainable


def identity_of(config: BaseModel) -> dict[str, Any]:
    """The numbers that make two runs the same: all of them but later fields that are at their default.

    A field that was added after runs existed says so (`json_schema_extra={"since": VERSION}`); its default is
    what those runs did, so that they are recognised and resumed.
    """
    fields = type(config).model_fields
    extras = {name: field.json_schema_extra for name, field in fields.items()}
    later = {name for name, extra in extras.items() if isinstance(extra, dict) and "since" in extra}
    return {
        name: value
        for name, value in config.model_dump().items()
        if name not in later or value != fields[name].default
    }


class _ShapesOnly(TorchFunctionMode):
    """Leaves out what changes values alone: on the meta device torch loads its compiler for it (1.3 s)."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLS or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if func in _SCALES and isinstance(args[1], int | float):
            return args[0]
        return func(*args, **kwargs)


@contextmanager
def weightless() -> Iterator[None]:
    """Modules built inside have shapes and no values: on the meta device, without initialisation."""
    with torch.device("meta"), _ShapesOnly():
        yield


def shapes_of(family: ModuleType, config: BaseModel, spec: Spec) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a family's networks, by network and name ("g.layers.0.weight")."""
    with weightless():
        networks = family.build(config, spec).networks
    return {
        f"{network}.{name}": tuple(tensor.shape)
        for network, module in networks.items()
        for name, tensor in module.state_dict().items()
    }
