"""What a projection can be asked for. Imports no torch, so that `mien --help` stays quick."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import BaseModel, Field

_PRIOR = {"z": 0.0, "w": 0.05, "w+": 0.0}


class ProjectOptions(BaseModel, frozen=True, extra="forbid"):
    """Options of `mien project`."""

    space: Literal["z", "w", "w+"] | None = Field(
        None, description="Where to search; by default w+ (every layer its own w), z for models without w."
    )
    method: Literal["encoder", "optimise", "both"] | None = Field(
        None,
        description="An encoder's guess alone, optimisation alone, or optimisation from the guess; both where"
        " there is an encoder.",
    )
    encoder: Path | None = Field(
        None,
        description="Folder or file that `mien encoder` made for this model; the packaged model has one.",
    )
    steps: int | None = Field(
        None, ge=1, description="Steps of the optimisation; by default 1000, from an encoder's guess 100."
    )
    optimiser: Literal["adam", "lbfgs"] | None = Field(
        None,
        description="Adam as in papers, or L-BFGS, which gets on faster from a guess; by default the latter"
        " after an encoder, unless more than latents is to be found or --lr is given.",
    )
    lr: float | None = Field(
        None, gt=0, description="Learning rate of Adam, in standard deviations of the latent; by default 0.2."
    )
    initial_noise: float = Field(
        0.0, ge=0, description="Noise on the latent at first, fading until 75 % of the steps; papers: 0.05."
    )
    restarts: int = Field(1, ge=1, le=64, description="Starting points, the best of which goes on.")
    candidates: int = Field(
        256,
        ge=0,
        le=10_000,
        description="Samples of which the nearest are the starting points; 0 starts from the mean.",
    )
    init: Path | None = Field(None, description="Latents to start from, an .npz with one or one a target.")
    noise: bool = Field(False, description="Optimise StyleGAN's noise maps too.")
    noise_weight: float = Field(1e5, ge=0, description="Weight of keeping noise maps white.")
    pixel: float = Field(10.0, ge=0, description="Weight of the mean squared error beside LPIPS.")
    identity: float = Field(0.0, ge=0, description="Weight of the squared distance of identities.")
    face_weight: float = Field(1.0, gt=0, description="How much more the face counts than what is around it.")
    prior: float | None = Field(
        None,
        ge=0,
        description="Weight of keeping w near such as the generator's own latents lead to: truer and easier"
        " to edit, photos fit less; by default 0.05 in w and 0 in w+.",
    )
    patience: int = Field(0, ge=0, description="End a target after so many steps without progress; 0: never.")
    label: tuple[str, ...] = Field((), description="What the faces are, for a model trained with labels.")
    optimise_label: Annotated[bool, Parameter(negative="")] = Field(
        False, description="Find the labels too, for a model trained with labels (in z)."
    )
    every: int = Field(0, ge=0, description="Also write the latent of every so many steps.")
    video: Annotated[bool, Parameter(negative="")] = Field(
        False, description="Film the optimisation as MP4 (needs mien[video])."
    )
    tune: Annotated[bool, Parameter(negative="")] = Field(
        False,
        description="Pivotal tuning: bend the generator to the faces and write it as tuned.safetensors.",
    )
    tune_steps: int = Field(200, ge=1, description="Steps of pivotal tuning.")
    tune_lr: float = Field(3e-4, gt=0, description="Learning rate of pivotal tuning.")
    batch: int = Field(16, ge=1, le=256, description="Faces optimised at once.")
    seed: int = Field(0, ge=0, lt=1 << 31, description="Seed of noise and of starting points.")
    device: str = Field("auto", description="Where it is computed: cpu, cuda, mps or auto.")

    @property
    def num_steps(self) -> int:
        """Steps as asked for, else what the method needs."""
        if self.method == "encoder":
            return 0
        default = 100 if self.chosen_method == "both" else 1000
        return self.steps or default

    @property
    def moves_more(self) -> bool:
        """Whether something is asked for that Adam alone does."""
        return self.noise or self.optimise_label or self.initial_noise > 0

    @property
    def chosen_optimiser(self) -> str:
        """The optimiser, which by default follows from the method and from what is to be found."""
        by_adam = self.chosen_method != "both" or self.lr is not None or self.moves_more
        return self.optimiser or ("adam" if by_adam else "lbfgs")

    def prior_in(self, space: str) -> float:
        """The weight of the prior as asked for, else what the space needs."""
        return _PRIOR[space] if self.prior is None else self.prior

    @property
    def may_guess(self) -> bool:
        """Whether an encoder may be used that is not named."""
        return self.method != "optimise" and self.init is None and self.space != "z"

    @property
    def chosen_method(self) -> str:
        """The method, which by default follows from there being an encoder."""
        return self.method or ("both" if self.encoder else "optimise")
