"""`mien directions find`: directions that need no labels, SeFa and GANSpace.

SeFa (Shen and Zhou 2021, arXiv:2007.06600): what the layers that read a latent answer to most, the
eigenvectors of A^T A of their weights A. GANSpace (Härkönen et al. 2020, arXiv:2004.02546): the principal
components of w over samples.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core.errors import InputError, want_folder
from mien.core.events import Events, job
from mien.core.sampling import on_its_device
from mien.core.styles import Styled, synthesised
from mien.generation.drawing import Drawing, check_side
from mien.latent.codes import Codes
from mien.latent.directions.direction import Direction, Directions
from mien.latent.layers import layers_text, parse_layers, row_groups
from mien.latent.strips import show_moved
from mien.reports.page import write_html
from mien.training.settings import pick_device

_MOST = 64
_FACES = 4  # rows of a strip on the page
_HOW = {
    "sefa": "the directions to which the layers that read the latent answer most (SeFa)",
    "ganspace": "the principal components of w (GANSpace)",
}


@job
def find(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path,
    method: Literal["sefa", "ganspace"] = "sefa",
    components: int = 10,
    layers: str | None = None,
    samples: int = 10_000,
    size: int | None = None,
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
    device: str = "auto",
) -> Directions:
    """Find directions without labels, and write a page of strips on which to see what each one does.

    One unit is one standard deviation of the latents along the direction. Writes directions.safetensors and
    components.html into the folder. Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        Folder for the file and the page.
    method
        sefa: by the weights of the layers that read the latent. ganspace: principal components of w.
    components
        How many directions.
    layers
        Look at these layers and move only these: coarse, middle, fine, or like 0-3.
    samples
        Latents drawn, for the components of ganspace and the units of both.
    size
        Pixels along a side of a face on the page; the model's by default.
    trunc
        Truncation psi from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    device
        Where the generator draws: cpu, cuda, mps or auto.
    """
    want_folder(out)
    if method not in _HOW:
        raise InputError(f"--method {method}: sefa or ganspace")
    if not 1 <= components <= _MOST or not 100 <= samples <= 1_000_000:
        raise InputError(f"--components 1 to {_MOST}, --samples 100 to 1,000,000")
    drawing = Drawing.of(source, trunc=trunc, label=label, device=pick_device(device))
    side = check_side("--size", size, default=drawing.resolution)
    codes = Codes.of_seeds(drawing, range(samples))
    rows = chosen_rows(codes, layers, drawing)
    steps, scores = (sefa if method == "sefa" else ganspace)(drawing, codes, rows, components)
    several = tuple(
        Direction.of(step, f"{method}-{index}", method=method, source="no labels", score=score)
        for index, (step, score) in enumerate(zip(steps, scores, strict=True), start=1)
    )
    directions = Directions(several, codes.space, drawing.loaded.model)
    directions.save(out / "directions.safetensors")
    events.wrote(out / "directions.safetensors", f"{len(directions)} directions")
    whole, rows_shown = "the response" if method == "sefa" else "the variance", []
    tick = events.progress("drawing", "strips")
    for number, (one, score) in enumerate(zip(directions, scores, strict=True), start=1):
        strip = show_moved(drawing, codes[:_FACES], one.step, side, one.name)
        rows_shown.append((one.name, f"{score:.1%} of {whole}", layers_text(one.about.layers), strip))
        tick(number, len(directions))
    how = f"{_HOW[method]}; from -3 to 3 standard deviations of the latents, the face itself between"
    context = {"model": drawing.loaded.model, "about": how, "rows": rows_shown}
    write_html(out / "components.html", "components.html.j2", context)
    events.wrote(out / "components.html", "a strip of each direction")
    return directions


def chosen_rows(codes: Codes, layers: str | None, drawing: Drawing) -> tuple[int, ...]:
    """The rows that hold one latent: those asked for, else the largest group of rows that are the same.

    (0,) for latents in z. Raises InputError where the rows asked for hold different latents.
    """
    if codes.space == "z":
        if layers is not None:
            drawing.styled("--layers")
        return (0,)
    groups = row_groups(drawing)
    if layers is None:
        return max(groups, key=len)
    rows = parse_layers(layers, codes.values.shape[1])
    if not any(set(rows) <= set(group) for group in groups):
        listed = " and ".join(str(list(group)) for group in groups)
        raise InputError(
            f"--layers {layers}: layers {listed} hold different latents here; choose among one of them"
        )
    return rows


def ganspace(
    drawing: Drawing, codes: Codes, rows: Sequence[int], count: int
) -> tuple[list[Tensor], list[float]]:
    """Principal components of w as steps of one standard deviation, and their shares of the variance."""
    if codes.space == "z":
        raise InputError(
            "--method ganspace: z varies alike in all directions, so it has no components; use sefa"
        )
    values = codes.values[:, rows[0]].double()
    spread = torch.linalg.svd(values - values.mean(0), full_matrices=False)
    deviations = spread.S / max(len(values) - 1, 1) ** 0.5
    shares = deviations.square() / deviations.square().sum()
    count = min(count, int((deviations > 1e-6 * deviations.max()).sum()))
    steps = [_placed(signed(spread.Vh[i]) * deviations[i], codes, rows) for i in range(count)]
    return steps, shares[:count].tolist()


def sefa(drawing: Drawing, codes: Codes, rows: Sequence[int], count: int) -> tuple[list[Tensor], list[float]]:
    """Eigenvectors of A^T A as steps of one standard deviation of the latents, and shares of the eigenvalues.

    A: the weights, below each other, of all layers that read the latents of `rows`.
    """
    dim = codes.values.shape[-1]
    weights = [  # of layers that read the first numbers of the latent alone, too
        F.pad(weight, (0, dim - weight.shape[1]))
        for row, weight in readers(drawing.loaded.network, codes)
        if row in rows
    ]
    if not weights:
        raise InputError(
            f"--method sefa: no layer of this {drawing.loaded.header.family} model reads its latent as it is;"
            " use ganspace"
        )
    matrix = torch.cat(weights).double()
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    order = values.argsort(descending=True)[: min(count, int((values > 1e-9 * values.max()).sum()))]
    latents = (codes.values if codes.space == "z" else codes.values[:, rows[0]]).double()
    steps = []
    for index in order.tolist():
        vector = signed(vectors[:, index])
        steps.append(_placed(vector * (latents @ vector).std().clamp_min(1e-6), codes, rows))
    return steps, (values[order] / values.clamp_min(0).sum()).tolist()


@torch.no_grad()
def readers(network: Any, codes: Codes) -> list[tuple[int, Tensor]]:
    """The layers that are given a latent itself: its row, and their weights [outputs, inputs].

    They are seen at work: each row of a latent is filled with a number of its own, and a layer that is handed
    nothing but that number reads this row.
    """
    matrices: list[tuple[int, Tensor]] = []

    def look(module: nn.Module, given: tuple[Any, ...]) -> None:
        x = given[0] if given and isinstance(given[0], Tensor) else None
        if x is not None and x.ndim in (2, 4) and x[0, 0].numel() == 1 and bool((x == x.flatten()[0]).all()):
            row = float(x.flatten()[0]) - 1
            if row == int(row) and 0 <= row < count:
                matrices.append((int(row), _as_matrix(module, x.shape[1])))

    shape = codes.values.shape[1:]
    count = shape[0] if len(shape) == 2 else 1
    marks = torch.arange(1.0, count + 1).view(1, -1, 1).expand(1, -1, shape[-1]).contiguous()
    with ExitStack() as hooks:
        for module in filter(_is_linear, network.modules()):
            hooks.enter_context(module.register_forward_pre_hook(look))
        if isinstance(network, Styled):
            synthesised(network, marks)
        elif network.spec.label_dim == 0:
            on_its_device(network, network, marks[:, 0])
    return matrices


def signed(vector: Tensor) -> Tensor:
    """`vector` or its opposite: the one whose largest number is positive, so that results can be repeated."""
    return vector if float(vector[vector.abs().argmax()]) >= 0 else -vector


def _is_linear(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim in (2, 4)


def _as_matrix(module: nn.Module, inputs: int) -> Tensor:
    weight = module.weight.detach().float().cpu()  # type: ignore[operator]
    if isinstance(module, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    if weight.ndim == 4:
        weight = weight.permute(0, 2, 3, 1)
    return weight.reshape(-1, inputs)


def _placed(vector: Tensor, codes: Codes, rows: Sequence[int]) -> Tensor:
    """A step shaped like a latent: `vector` at `rows`, zero elsewhere."""
    step = torch.zeros(codes.values.shape[1:])
    if codes.space == "z":
        return vector.float()
    step[list(rows)] = vector.float()
    return step
