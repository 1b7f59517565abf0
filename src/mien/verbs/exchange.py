"""Verbs that exchange networks with other programs."""

from pathlib import Path
from typing import Literal

from mien.verbs._console import console


def import_(
    source: Path,
    out: Path | None = None,
    /,
    *,
    network: Literal["G_ema", "G", "D"] | None = None,
    info: bool = False,
) -> None:
    """Turn a network of another program into a file of ours; nothing in it is executed.

    Read are StyleGAN2 pickles of stylegan2-ada-pytorch and stylegan3, R3GAN's, and rosinality's .pt.

    Parameters
    ----------
    source
        A .pkl or .pt file.
    out
        The .safetensors file to write; beside the source by default.
    network
        Write this network alone; by default the averaged generator (G_ema), else the generator (G), and the
        discriminator beside it, for mien train --from.
    info
        Only show what the file holds.
    """
    from mien.interop.import_ import describe, read, save

    screen = console()
    contents = None if info else read(source, network)
    for line in describe(source, contents):
        screen.print(line, markup=False)
    if contents is None:
        return
    imported = save(source, contents, out, alone=network is not None)
    for note in imported.notes:
        screen.print(f"note: {note}", markup=False)
    spec = imported.header.spec
    size = f"{spec.resolution} px" + (f", {spec.label_dim} labels" if spec.label_dim else "")
    screen.print(f"wrote {imported.path} ({imported.header.family}, {size})", markup=False)
    if imported.discriminator is not None:
        screen.print(f"wrote {imported.discriminator} (its discriminator)", markup=False)


def export(source: Path, out: Path, /) -> None:
    """Write a generator for others: .safetensors or .onnx, with a model card beside it.

    Parameters
    ----------
    source
        A run folder (its newest generator), a .safetensors file, or "packaged".
    out
        OUT.safetensors or OUT.onnx; the card becomes OUT.md.
    """
    from mien.interop.export import export as run

    screen = console()
    written = run(source, out)
    if written.difference is not None:
        screen.print(f"ONNX against torch: they differ by at most {written.difference:.1e}")
    screen.print(f"wrote {written.path} and {written.card}", markup=False)
