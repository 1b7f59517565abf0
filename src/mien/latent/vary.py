"""`mien vary`: faces near a face, in the neighbourhood of its latent."""

from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter

from mien.core.errors import InputError, want_folder
from mien.core.events import Events, job
from mien.core.image import grid, to_hwc
from mien.core.provenance import save_picture
from mien.core.seeds import Seed
from mien.core.styles import Styled, constrained, mean_latent, styles
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.layers import parse_layers
from mien.latent.path import slerp
from mien.latent.sources import read_sources
from mien.training.settings import pick_device

_MOST = 1024


@job
def vary(
    events: Events,
    face: str,
    /,
    *,
    out: Path,
    model: Path | None = None,
    count: int = 15,
    strength: float = 0.4,
    keep: str | None = None,
    which: Annotated[str, Parameter(name="--face")] = "largest",
    encoder: Path | None = None,
    steps: int | None = None,
    seed: Seed = 0,
    label: tuple[str, ...] = (),
    device: str = "auto",
) -> Codes:
    """Draw faces near a face: of a photo, a file of latents or a seed.

    Returns their latents, the face's own first; they are written as vary_w.npz (or vary_z.npz), the faces as
    a picture each and all together as vary.png. Raises InputError.

    Parameters
    ----------
    face
        A photo, an .npz of latents, or a seed.
    out
        Folder for the pictures.
    model
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    count
        How many.
    strength
        How far from the face: 0 stays, 1 goes as far as random faces lie from the mean.
    keep
        Layers that stay as they are, like coarse or 0-3; by default the first third, none keeps none.
    which
        Which face of a photo that shows several: largest, or a number (2: the second largest).
    encoder
        Folder or file that `mien encoder` made for the model, for a photo.
    steps
        Steps of a photo's projection; by default 200, from an encoder's guess 100.
    seed
        Of the directions they lie in.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    device
        Where the generator draws: cpu, cuda, mps or auto.
    """
    want_folder(out)
    if not 1 <= count <= _MOST or not 0 <= strength <= 2:
        raise InputError(f"--count {count} --strength {strength}: between 1 and {_MOST}, 0 and 2")
    if which == "all":
        raise InputError("--face all: faces near one are drawn; give its number")
    drawing = Drawing.of(model, trunc=1.0, label=label, device=pick_device(device))
    kept = _kept(keep, drawing)
    own = read_sources(face, drawing, events, face=which, encoder=encoder, steps=steps).codes[:1]
    codes = near(drawing, own, count, strength=strength, keep=kept, seed=seed)
    pictures = codes.draw(drawing)
    for index, picture in enumerate(pictures):
        save_picture(out / (f"vary{index:03d}.png" if index else "face.png"), to_hwc(picture), drawing.mark())
    save_picture(out / "vary.png", grid(pictures), drawing.mark())
    codes.save(out / f"vary_{codes.space}.npz")
    stay = f"layers {', '.join(map(str, kept))} kept" if kept else "no layer kept"
    events.wrote(out, f"{count} faces near {face}, {stay}")
    return codes


def _kept(keep: str | None, drawing: Drawing) -> tuple[int, ...]:
    """The layers that stay; none in z."""
    network = drawing.loaded.network
    if not isinstance(network, Styled):
        if keep not in (None, "none"):
            raise InputError(f"--keep {keep}: a {drawing.loaded.header.family} model has no layers of w")
        return ()
    if keep is None:
        return tuple(range((network.num_ws + 1) // 3))
    return () if keep == "none" else parse_layers(keep, network.num_ws, "--keep")


def near(
    drawing: Drawing, own: Codes, count: int, *, strength: float, keep: tuple[int, ...], seed: int
) -> Codes:
    """The latent `own` (of one face), then `count` latents in its neighbourhood.

    In w each goes `strength` times the way from the mean to a random face's latent, but for the layers
    `keep`; in z it turns that share of the way to a random latent.
    """
    network = drawing.loaded.network
    z = torch.randn((count, network.z_dim), generator=torch.Generator().manual_seed(seed))
    if isinstance(network, Styled):
        labels = drawing.labels([seed] * count)
        steps = styles(network, z, labels) - mean_latent(network, labels)
        steps[:, list(keep)] = 0
        values = constrained(network, own.values + strength * steps)
    else:
        share = torch.full((count,), strength / 2).double().numpy()
        start = own.values.expand(count, -1).double().numpy()
        values = torch.from_numpy(slerp(start, z.double().numpy(), share)).float()
    labels = None if own.labels is None else own.labels.expand(count, -1)
    return Codes.join([own, Codes(values, own.space, own.model, labels)])
