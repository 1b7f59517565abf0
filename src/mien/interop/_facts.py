"""What a foreign file holds, as plain data: all that crosses from the sandbox to the program."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from mien.interop._modules import Scalar

Form = Literal["pickle", "state dict"]
FACTS, WEIGHTS = "facts.json", "{}.safetensors"  # files that the sandbox leaves: this, and a network
LATENT_MEAN = "latent_avg"  # how rosinality's files name the mean of w


class NetworkFacts(BaseModel):
    """One network. name, module: its class and where that lived. arguments: what it was built with.

    attributes: plain ones of itself and its parts, by dotted name. sources: SHA-256 of embedded texts.
    tensors, numbers: how many.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    module: str = ""
    arguments: dict[str, Any] = {}
    attributes: dict[str, Scalar] = {}
    sources: tuple[str, ...] = ()
    tensors: int
    numbers: int

    @property
    def full_name(self) -> str:
        """The class with its module, if known."""
        return f"{self.module}.{self.name}" if self.module else self.name


class FileFacts(BaseModel):
    """A file. form: networks with their attributes, or tensors alone. networks: by key. other: the rest."""

    model_config = ConfigDict(frozen=True)

    form: Form
    networks: dict[str, NetworkFacts]
    other: dict[str, Any] = {}


@dataclass(frozen=True)
class Contents:
    """What was read of a file. weights: of each network asked for ("G_ema", "G", "D") that is there, the
    tensors by the file's names."""

    facts: FileFacts
    weights: Mapping[str, Mapping[str, Tensor]]


def counted(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """How many tensors and numbers a network has."""
    return {"tensors": len(tensors), "numbers": sum(tensor.numel() for tensor in tensors.values())}
