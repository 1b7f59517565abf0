"""`mien internals`: what the networks do, on a page: activations, saliency, traversals, the space of w."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from markupsafe import Markup
from pydantic import BaseModel
from torch import Tensor, nn

from mien.core import discover, packaged
from mien.core.checkpoint import load_generator, newest_state
from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.family import weightless
from mien.core.image import evenly_spaced, to_float
from mien.core.packaged import source_of
from mien.core.provenance import SourceType
from mien.core.run import RunFolder
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.layers import feature_maps
from mien.latent.strips import show_moved
from mien.reports.inline_images import Shown, show_strip
from mien.reports.page import page_path, write_html

_FACES, _TRAVERSED = 6, 4
_SAMPLES = 2_000
_COMPONENTS = 6
_LEAST_SIDE = 4  # of activations worth a picture
_POOL = 5
_WIDTH, _PAD = 440, 24


class Internals(BaseModel, frozen=True, protected_namespaces=()):
    """What the page shows in numbers.

    layers: name and side of each layer whose activations are shown. explained: share of the variance of the
    latents along each principal component. discriminator: what could not be shown of it, "" otherwise.
    """

    model: str
    layers: tuple[tuple[str, int], ...]
    space: str
    explained: tuple[float, ...]
    dims_for_90: int
    discriminator: str


@job
def internals(
    events: Events,
    run: Path | None = None,
    /,
    *,
    data: str | None = None,
    out: Path = Path("internals.html"),
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
) -> Internals:
    """Show what a generator's networks do, on one page.

    Activations by layer; what the discriminator's verdict hangs on, where there is one (a run's newest state,
    or the packaged one); traversals along the principal components of the latents; their space. Returns the
    numbers. Raises InputError.

    Parameters
    ----------
    run
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    data
        Real images for the discriminator to look at beside the fakes.
    out
        Where to write the page, or a folder for it.
    trunc
        Truncation psi from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    """
    page = page_path(out, "internals.html")
    drawing = Drawing.of(run, trunc=trunc, label=label, note=events.note)
    codes = Codes.of_seeds(drawing, range(_FACES))
    faces = codes.draw(drawing)
    activated = activations(drawing, codes)
    discriminator, why = _discriminator(run, drawing)
    looks = []
    if discriminator is not None:
        looks.append(("generated", faces, _saliency(discriminator, faces, drawing)))
        if data is not None:
            real = _reals(open_dataset(data), drawing)
            looks.append(("real", real, _saliency(discriminator, real, drawing)))
    samples = Codes.of_seeds(drawing, range(1 << 20, (1 << 20) + _SAMPLES))
    components, spread, explained = principal(_last_rows(samples.values))
    result = Internals(
        model=drawing.loaded.model,
        layers=tuple((name, maps.shape[-1]) for name, maps in activated),
        space=samples.space,
        explained=tuple(round(float(share), 4) for share in explained[:_COMPONENTS]),
        dims_for_90=int((explained.cumsum(0) < 0.9).sum()) + 1,
        discriminator=why,
    )
    context = {
        "result": result,
        "faces": _shown(faces, "six generated faces"),
        "layers": [(name, maps.shape[-1], _heat_strip(maps, name)) for name, maps in activated],
        "looks": [
            (name, _shown(images, f"{name} faces", made=SourceType.TRAINED if name == "generated" else None),
             _heat_strip(maps, f"saliency, {name}")) for name, images, maps in looks
        ],
        "traversals": _traversals(drawing, components, spread),
        "scatter": scatter(_last_rows(samples.values), components),
    }  # fmt: skip
    write_html(page, "internals.html.j2", context)
    events.wrote(page)
    return result


def activations(drawing: Drawing, codes: Codes) -> list[tuple[str, Tensor]]:
    """Mean absolute activation at each place, of the last layer at each size: [(name, [N, side, side])]."""
    names = [name for name, _ in drawing.loaded.network.named_modules() if name]
    _, given = feature_maps(drawing.loaded.network, names, lambda: codes.draw(drawing))
    by_side = {
        x.shape[-1]: (name, x.float().abs().mean(1))
        for name, x in given.items()
        if x.shape[-1] >= _LEAST_SIDE and x.shape[1] > drawing.loaded.header.spec.channels
    }
    return [by_side[side] for side in sorted(by_side)]


def saliency(discriminator: nn.Module, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """How much the score hangs on each place: |gradient|, largest of the channels, smoothed; [N, S, S].

    SmoothGrad (Smilkov et al. 2017): the mean over eight images with a tenth of noise added. images: float
    [N, C, S, S] in [-1, 1].
    """
    rng = torch.Generator().manual_seed(0)
    total = torch.zeros(len(images), *images.shape[2:])
    for _ in range(8):
        x = (images + 0.1 * torch.randn(images.shape, generator=rng)).requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(x, labels).float().sum(), x)
        total += gradient.abs().amax(1)
    return total / 8


def principal(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components of rows [N, D]: directions [D, D], deviation along each, share of the variance."""
    centred = rows.double() - rows.double().mean(0)
    _, values, directions = torch.linalg.svd(centred, full_matrices=False)
    variance = values.square() / (len(rows) - 1)
    return directions.float(), variance.sqrt().float(), (variance / variance.sum()).float()


def scatter(rows: Tensor, components: Tensor) -> Markup:
    """The latents along the first two components, as an inline SVG."""
    at = ((rows - rows.mean(0)) @ components[:2].T).numpy()
    reach = float(np.abs(at).max()) or 1.0
    places = _WIDTH / 2 + at / reach * (_WIDTH / 2 - _PAD)
    head = Markup('<svg class="chart" viewBox="0 0 {0} {0}" role="img" aria-label="{1}">')
    parts = [
        head.format(_WIDTH, "latents along their first two principal components"),
        Markup('<line class="rule" x1="0" x2="{0}" y1="{1}" y2="{1}"/>').format(_WIDTH, _WIDTH // 2),
        Markup('<line class="rule" y1="0" y2="{0}" x1="{1}" x2="{1}"/>').format(_WIDTH, _WIDTH // 2),
    ]
    for x, y in places[:600]:
        parts.append(Markup('<circle class="s0 dot" cx="{:.1f}" cy="{:.1f}" r="2"/>').format(x, _WIDTH - y))
    return Markup("").join([*parts, Markup("</svg>")])


def _discriminator(run: Path | None, drawing: Drawing) -> tuple[nn.Module | None, str]:
    """The discriminator that the generator was trained against; or None and why there is none."""
    header, source = drawing.loaded.header, source_of(run)
    family = discover.load("mien.models", header.family)
    if source.is_dir():
        newest = newest_state(RunFolder.open(source).path, report=lambda line: None)
        if newest is None or "d" not in newest[1].get("networks", {}):
            return None, "the run has kept no state with a discriminator"
        tensors = newest[1]["networks"]["d"]
    else:
        name = packaged.name_of(source)
        file = packaged.discriminator_of(name) if name else None
        if file is None or not file.is_file():
            return None, "a generator's file alone holds no discriminator; give the run folder"
        tensors = load_generator(file)[0]
    with weightless():  # the numbers may be a stranger's, and ask for more than the file holds
        network: nn.Module = family.build(family.Config(**header.config), header.spec).networks["d"]
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        return None, f"the discriminator does not fit ({' '.join(str(error).split())[:100]})"
    return network.float().eval().requires_grad_(False), ""  # the packaged one is stored in half precision


def _saliency(discriminator: nn.Module, images: Tensor, drawing: Drawing) -> Tensor:
    maps = saliency(discriminator, to_float(images), drawing.labels([0] * len(images)))
    return F.avg_pool2d(maps[:, None], _POOL, stride=1, padding=_POOL // 2)[:, 0]  # single pixels are noise


def _reals(dataset: Dataset, drawing: Drawing) -> Tensor:
    spec = drawing.loaded.header.spec
    if (dataset.spec.resolution, dataset.spec.channels) != (spec.resolution, spec.channels):
        raise InputError(f"--data {dataset.name}: images of other sizes than the generator's")
    chosen = evenly_spaced(dataset, _FACES)
    return torch.from_numpy(np.ascontiguousarray(dataset.images(chosen)))


def _last_rows(values: Tensor) -> Tensor:
    """The latents that components are taken of: the last layer's row of w, or z: [N, D]."""
    return values[:, -1] if values.ndim == 3 else values


def _traversals(drawing: Drawing, components: Tensor, spread: Tensor) -> list[tuple[str, Shown]]:
    """A strip for each of the first components: faces moved from -3 to 3 deviations."""
    codes = Codes.of_seeds(drawing, range(_TRAVERSED))
    strips = []
    for at in range(min(_COMPONENTS, len(components))):
        step = (components[at] * spread[at]).expand_as(codes.values[0])
        name = f"component {at + 1}"
        strips.append((name, show_moved(drawing, codes, step, drawing.resolution, name)))
    return strips


def _heat_strip(maps: Tensor, alt: str) -> Shown:
    """Maps [N, S, S] as images from dark to bright, each over its own range, side by side."""
    low, high = maps.amin((1, 2), keepdim=True), maps.flatten(1).quantile(0.99, dim=1)[:, None, None]
    share = ((maps - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    large = F.interpolate(share[:, None], (96, 96), mode="nearest")
    # Black, violet, orange, pale yellow: a map that reads in gray as well.
    stops = torch.tensor([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]).float()
    position = large[:, 0] * (len(stops) - 1)
    below = position.floor().clamp(max=len(stops) - 2).long()
    colours = torch.lerp(stops[below], stops[below + 1], (position - below)[..., None])
    return show_strip(colours.permute(0, 3, 1, 2).round().to(torch.uint8).numpy(), alt, made=None)


def _shown(images: Tensor, alt: str, *, made: SourceType | None = SourceType.TRAINED) -> Shown:
    large = F.interpolate(images.float(), (96, 96), mode="bilinear", antialias=True).round().to(torch.uint8)
    return show_strip(large.numpy(), alt, made=made)
