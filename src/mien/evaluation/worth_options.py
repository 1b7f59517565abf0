"""What `mien worth` can be asked for. Imports no torch, so that `mien --help` stays quick."""

from pydantic import BaseModel, ConfigDict, Field


class WorthOptions(BaseModel):
    """Options of `mien worth` beside the real pictures and the label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    synthetic: tuple[str, ...] = Field(
        (),
        description="NAME=DATASET; may be repeated; each is also compared with those before it. DATASET may"
        " be a run that trained a generator with --labels.",
    )
    seeds: int = Field(5, ge=2, le=100, description="How many models of each kind.")
    kimg: float = Field(
        20.0,
        gt=0,
        description="Thousand pictures that each model sees, repeated as needed: as many updates for all.",
    )
    real_count: int | None = Field(
        None, ge=2, description="Only that many real pictures to learn from, drawn anew by each seed."
    )
    held_out: float = Field(
        0.2, gt=0, lt=1, description="Share of the real pictures to test on, whole people."
    )
    drawn: int = Field(
        2000, ge=2, description="How many pictures to draw where a synthetic set is a generator."
    )
    preset: str = Field("quick", description="Named configuration of the model family `attributes`.")
    set: tuple[str, ...] = Field((), description="Change one number of the model: --set lr=0.001.")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps or auto.")
