"""`mien train` with its options, and `mien models`. Imports no torch, so that its help comes at once."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field

from mien.core import discover
from mien.core.events import Column, Events, Table, job
from mien.core.run import RunFolder

DEFAULT_MINUTES = 60.0
AUTO = "auto"  # of a preset


class TrainOptions(BaseModel):
    """Options of `mien train`; the family's own numbers are set with `--set`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field("lite", description="Model family; `mien models` lists them.")
    preset: str = Field(
        AUTO, description="Named configuration of the family; auto takes the one that suits the budget."
    )
    set: tuple[str, ...] = Field((), description="Change one number of the family: --set lr=0.0003.")
    kimg: float | None = Field(None, gt=0, description="Stop after that many thousand images.")
    minutes: float | None = Field(None, gt=0, description="Stop after that many minutes of training.")
    out: Path = Field(Path("runs"), description="Folder in which the run's folder is made.")
    resume: Path | None = Field(None, description="Go on with this run folder.")
    new: bool = Field(False, description="Begin anew even where the same command ran before.")
    cond: bool = Field(False, description="Train conditionally on the dataset's label columns.")
    labels: str = Field(
        "", description="Train conditionally on these labels, by name: Smiling,hair_colour,age:20/40/60."
    )
    start: Annotated[Path | None, Parameter(name="--from")] = Field(
        None,
        description="Begin with the weights of this run folder, generator file, .pkl or .pt; by default with"
        " the model that comes with mien where it fits (packaged); none begins from nothing.",
    )
    lr_scale: float | None = Field(
        None, gt=0, le=100, description="Factor on the family's learning rate, for beginning with weights."
    )
    warmup_kimg: float | None = Field(
        None, ge=0, description="Thousand images over which the learning rate rises from 0."
    )
    freeze_d: int = Field(
        0,
        ge=0,
        description="Hold that many layers of the discriminator it begins with fixed, the picture's first.",
    )
    direction: str = Field("", description="Of pairs, what is to become what: front-profile.")
    real: str | None = Field(
        None, description="Of a refiner, the dataset that its pictures are to look like."
    )
    mirror: bool | None = Field(
        None,
        description="Flip half of the pictures left to right; done unless they are fronts and profiles,"
        " where a front would have two answers.",
    )
    seed: int = Field(0, ge=0, lt=1 << 31, description="Seed of initial weights, order and latents.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Arithmetic; auto measures which one is faster here."
    )
    augment: Literal["auto", "none", "fixed", "ramp", "ada"] = Field(
        "auto",
        description="Disturb what the discriminator sees: at p, rising to p, or as strongly as it needs;"
        " auto does as suits the model family and the number of pictures.",
    )
    augment_pipe: str = Field(
        "bgc",
        description="Which disturbances: b(lit) g(eometry) c(olour) f(ilter) n(oise) c(utout), or names.",
    )
    augment_p: float = Field(0.3, ge=0, le=1, description="Chance of each disturbance, for fixed and ramp.")
    augment_target: float = Field(0.6, gt=-1, lt=1, description="What ada holds the real scores' sign at.")
    augment_kimg: float | None = Field(
        None,
        gt=0,
        description="Thousand images that ada takes from p = 0 to 1; as the model family says, else 500.",
    )
    micro_batch: int | None = Field(
        None, ge=1, description="Pictures computed at once, where a whole step does not fit in memory."
    )
    tick_kimg: int = Field(1, ge=1, description="Thousand images between log lines and grids.")
    snapshot_kimg: int = Field(4, ge=1, description="Thousand images between checkpoints.")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps or auto.")
    tensorboard: bool = Field(False, description="Also write TensorBoard logs (needs mien[track]).")


_DEFAULTS = TrainOptions()


@job
def train(
    events: Events,
    data: str | None = None,
    /,
    *,
    options: Annotated[TrainOptions, Parameter(name="*")] = _DEFAULTS,
) -> RunFolder:
    """Train a generator or another model on DATA; the same command again goes on where it stopped.

    Returns the run's folder. Raises InputError for unusable input, MienError when the run fails.

    Parameters
    ----------
    data
        A zip from `mien prepare`, a folder of square pictures, or "rendered:2000".
    """
    from mien.training.train import run_training

    return run_training(data, options, events)


_PACKAGE = "mien.models"


@job
def models(events: Events, name: str | None = None, /) -> None:
    """List the model families, or one family's numbers and presets.

    Parameters
    ----------
    name
        A family, for its numbers.
    """
    if name is None:
        modules = {family: discover.load(_PACKAGE, family) for family in discover.names(_PACKAGE)}
        families = tuple((family, (it.__doc__ or "").splitlines()[0]) for family, it in modules.items())
        events.send(Table((Column("family"), Column("what it is", wraps=True)), families))
        events.note("`mien models NAME` shows a family's numbers; change one with --set NAME=VALUE.")
        return
    module = discover.load(_PACKAGE, name)
    fields = module.Config.model_fields
    default = module.PRESETS["default"].model_dump()
    rows = tuple((field, _shown(default[field]), info.description or "") for field, info in fields.items())
    events.send(Table((Column("number"), Column("default"), Column("what it is", wraps=True)), rows))
    presets = tuple((preset, _changes(default, config)) for preset, config in module.PRESETS.items())
    events.send(Table((Column("preset"), Column("what it changes", wraps=True)), presets))


def _changes(default: dict[str, Any], preset: BaseModel) -> str:
    """The fields in which a preset differs from the default, as --set takes them."""
    values = preset.model_dump().items()
    return (
        " ".join(f"{name}={_shown(value)}" for name, value in values if value != default[name]) or "nothing"
    )


def _shown(value: Any) -> str:
    """A value as --set takes it."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
