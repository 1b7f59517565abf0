"""What a family's module says of itself beyond `Config`, `PRESETS` and `build`; generators say nothing.

KIND: what the product is for ("attributes"); it names the run's network files. Default "generator".
PRODUCT: the key of the product among the trainable's averaged networks. Default "g".
build_product(config, spec): the product untrained, with a `spec`. For a generator it is `build_generator`.
AUGMENT: how a run disturbs what its discriminator sees unless told ("ramp", "ada"...). Default "none".
preset_for(core_minutes) -> str: which of PRESETS suits a run from nothing with so much time of CPU cores.
lesson(config, dataset) -> Lesson: which pictures and labels are learnt from, which are kept out.
sides(config): "one" (the default); "pairs": it learns what the inputs of pairs are to become; "domains": it
learns to make its pictures look like those of another dataset.
A trainable's `meet(train)`: called once before training with the pictures that will be learnt from.
"""

from types import ModuleType
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict
from torch import nn

from mien.core.types import Dataset, Lesson, Spec, Trainable

GENERATOR = "generator"
Sides = Literal["one", "pairs", "domains"]


class FamilyConfig(BaseModel):
    """Every number of a family: flat and frozen, each field with a description and bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@runtime_checkable
class Meets(Protocol):
    """A trainable that takes something (base rates, scales) from what it will learn from."""

    def meet(self, dataset: Dataset) -> None: ...


def kind_of(family: ModuleType) -> str:
    """What the family's product is for."""
    return str(getattr(family, "KIND", GENERATOR))


def augmentation_of(family: ModuleType) -> str:
    """The mode of augmentation that the family wants."""
    return str(getattr(family, "AUGMENT", "none"))


def sides_of(family: ModuleType, config: BaseModel) -> Sides:
    """What the family learns from."""
    sides: Sides = family.sides(config) if hasattr(family, "sides") else "one"
    return sides


def build_product(family: ModuleType, config: BaseModel, spec: Spec) -> nn.Module:
    """The product alone, untrained."""
    build = family.build_generator if kind_of(family) == GENERATOR else family.build_product
    network: nn.Module = build(config, spec)
    return network


def preset_for(family: ModuleType, core_minutes: float) -> str:
    """The preset that suits a run from nothing of so many minutes of CPU cores."""
    return str(family.preset_for(core_minutes)) if hasattr(family, "preset_for") else "default"


def lesson_of(family: ModuleType, config: BaseModel, dataset: Dataset) -> Lesson | None:
    """What the family makes of `dataset`; None if it takes all pictures as they are. Raises InputError."""
    if not hasattr(family, "lesson"):
        return None
    lesson: Lesson = family.lesson(config, dataset)
    return lesson


def build(family: ModuleType, config: BaseModel, spec: Spec, lesson: Lesson | None) -> Trainable:
    """The trainable, having met what it will learn from."""
    trainable: Trainable = family.build(config, spec)
    if lesson is not None and isinstance(trainable, Meets):
        trainable.meet(lesson.train)
    return trainable


def identity_of(config: BaseModel) -> dict[str, Any]:
    """The numbers that make two runs the same: all of them but later fields that are at their default.

    A field that was added after runs existed says so (`json_schema_extra={"since": VERSION}`); its default is
    what those runs did, so that they are found and gone on with.
    """
    fields = type(config).model_fields
    extra = {name: field.json_schema_extra for name, field in fields.items()}
    later = {name for name, said in extra.items() if isinstance(said, dict) and "since" in said}
    return {
        name: value
        for name, value in config.model_dump().items()
        if name not in later or value != fields[name].default
    }
