"""Points in a generator's latent space: of seeds, of files, drawn, moved, saved."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from mien.core.atomic import write_bytes
from mien.core.errors import InputError
from mien.core.sampling import draw
from mien.core.styles import Styled, constrained, draw_styles
from mien.generation.drawing import Drawing

Space = Literal["z", "w"]
_MOST_BYTES = 256 << 20  # of a file of latents


@dataclass(frozen=True)
class Codes:
    """Latents of one generator.

    values: float32 [N, num_ws, w_dim] in space "w" (W+: each layer has its own row), [N, z_dim] in space "z"
    of a generator that has no w. model: the id of the generator they belong to; "" where a file does not say.
    labels: float32 [N, label_dim] of latents in "z" of a conditional generator, where they are known.
    """

    values: Tensor
    space: Space
    model: str = ""
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, some: slice) -> "Codes":
        labels = None if self.labels is None else self.labels[some]
        return replace(self, values=self.values[some], labels=labels)

    def moved(self, step: Tensor) -> "Codes":
        """The same latents with `step` (shaped like one latent, or like all of them) added."""
        return replace(self, values=self.values + step)

    @classmethod
    def of_seeds(cls, drawing: Drawing, seeds: Sequence[int]) -> "Codes":
        """The latents of seeds, truncated and labelled as the drawing is told to."""
        network, model = drawing.loaded.network, drawing.loaded.model
        if isinstance(network, Styled):
            return cls(drawing.styles(list(seeds), "latents"), "w", model)
        return cls(drawing.latents(list(seeds)), "z", model)

    @classmethod
    def read(cls, path: Path, drawing: Drawing) -> "Codes":
        """Latents from an .npz or .npy of ours or of others: key "w" [N, num_ws, w_dim], or "z" [N, z_dim].

        w of a single row, [N, 1, w_dim] or [N, w_dim], is meant for every layer. Raises InputError where the
        file is damaged, or its latents are another generator's by shape or by the model it names.
        """
        arrays, space = _arrays(path), space_of(drawing)
        if space not in arrays:
            raise InputError(
                f"{path}: no array {space!r} in it; it has: {', '.join(sorted(arrays)) or 'none'}"
            )
        model = str(arrays["model"]) if "model" in arrays else ""
        if model and model != drawing.loaded.model:
            raise InputError(
                f"{path}: its latents are of {model}, and the generator here is {drawing.loaded.model}"
            )
        values = torch.from_numpy(np.ascontiguousarray(arrays[space], dtype=np.float32))
        shaped = _shaped(values, shape_of(drawing), path)
        return cls(shaped, space, model, _labels(arrays, len(shaped), drawing, path))

    def save(self, path: Path) -> None:
        """Write an .npz, whole or not at all: the latents under the space's name, and the model's id."""
        write_arrays(path, self.arrays())

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file of them holds."""
        arrays = {self.space: self.values.cpu().numpy(), "model": np.array(self.model)}
        return arrays if self.labels is None else arrays | {"label": self.labels.numpy()}

    @classmethod
    def join(cls, parts: Sequence["Codes"]) -> "Codes":
        """Latents of one generator after another."""
        values = torch.cat([part.values for part in parts])
        labels = [part.labels for part in parts if part.labels is not None]
        known = torch.cat(labels) if len(labels) == len(parts) else None
        return cls(values, parts[0].space, parts[0].model, known)

    def draw(self, drawing: Drawing) -> Tensor:
        """Images uint8 [N, C, H, W] on the CPU, always the same for the same latents."""
        if self.space == "w":
            return draw_styles(cast(Styled, drawing.loaded.network), self.values)
        if self.labels is not None:
            return draw(drawing.loaded.network, self.values, self.labels, psi=drawing.psi)
        return drawing.from_z(self.values)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **cast(dict[str, Any], arrays))
    write_bytes(path, buffer.getvalue())


def space_of(drawing: Drawing) -> Space:
    """The space in which latents of this generator are moved."""
    return "w" if isinstance(drawing.loaded.network, Styled) else "z"


def shape_of(drawing: Drawing) -> tuple[int, ...]:
    """The shape of one latent: (num_ws, w_dim), or (z_dim,)."""
    network = drawing.loaded.network
    if not isinstance(network, Styled):
        return (int(network.z_dim),)
    return tuple(Codes.of_seeds(drawing, [0]).values.shape[1:])


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: larger than {_MOST_BYTES >> 20} MiB, which no file of latents is")
        with open(path, "rb") as file:
            loaded = np.load(io.BytesIO(file.read()), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"w": loaded, "z": loaded}
        return {name: loaded[name] for name in ("w", "z", "model", "label") if name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        reason = getattr(error, "strerror", None) or "damaged, or no .npz or .npy"
        raise InputError(f"{path}: no latents can be read from it ({reason})") from error


def _labels(arrays: Mapping[str, np.ndarray], count: int, drawing: Drawing, path: Path) -> Tensor | None:
    """The labels of a file of z, where it has them."""
    width = drawing.loaded.header.spec.label_dim
    if "label" not in arrays or not width or isinstance(drawing.loaded.network, Styled):
        return None
    rows = torch.from_numpy(np.ascontiguousarray(arrays["label"], dtype=np.float32))
    if tuple(rows.shape) != (count, width) or not torch.isfinite(rows).all():
        raise InputError(f"{path}: labels of shape {tuple(rows.shape)}, and here they are {(count, width)}")
    return rows


def _shaped(values: Tensor, shape: tuple[int, ...], path: Path) -> Tensor:
    if len(shape) == 2 and values.ndim == 2:
        values = values[:, None]
    if len(shape) == 2 and values.ndim == 3 and values.shape[1] == 1:
        values = values.expand(-1, shape[0], -1)
    if tuple(values.shape[1:]) != shape or not len(values):
        raise InputError(
            f"{path}: latents of shape {tuple(values.shape)}, and this generator takes {('N', *shape)}"
        )
    if not torch.isfinite(values).all():
        raise InputError(f"{path}: its latents hold numbers that are not finite")
    return values.contiguous()


def moved(drawing: Drawing, codes: Codes, step: Tensor) -> Codes:
    """`codes` with `step` added (shaped like one latent, or like all), kept in the generator's range."""
    there, network = codes.moved(step), drawing.loaded.network
    if not isinstance(network, Styled):
        return there
    return replace(there, values=constrained(network, there.values))
