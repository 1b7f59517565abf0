"""`mien export`: a generator for others, as safetensors or ONNX, with a model card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.core.atomic import write_bytes, write_text
from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.network import LoadedNetwork, load_network
from mien.core.packaged import card_of, name_of
from mien.interop import onnx_file
from mien.interop.model_card import model_card


@dataclass(frozen=True)
class Exported:
    """The files written. difference: the largest one of ONNX pictures from torch's; None for safetensors."""

    path: Path
    card: Path
    difference: float | None


@job
def export(events: Events, source: Path, out: Path, /) -> Exported:
    """Write a generator for others: .safetensors or .onnx, with a model card beside it.

    Raises InputError for another suffix, or a source that holds no generator.

    Parameters
    ----------
    source
        A run folder (its newest generator), a .safetensors file, or "packaged".
    out
        OUT.safetensors or OUT.onnx; the card becomes OUT.md.
    """
    if out.suffix not in (".safetensors", ".onnx"):
        raise InputError(f"{out}: export writes .safetensors or .onnx")
    if source.suffix == ".onnx":
        raise InputError(f"{source}: it is exported already; take the run, or its .safetensors")
    loaded = load_network(source)
    for note in loaded.notes:
        events.warn(note)
    if out.resolve() == loaded.path.resolve():
        raise InputError(f"{out}: that is the generator itself; choose another name")
    difference = None
    if out.suffix == ".onnx":
        difference = onnx_file.write(out, loaded.network, loaded.header, loaded.model)
        events.note(f"ONNX against torch: they differ by at most {difference:.1e}")
    else:
        write_bytes(out, loaded.path.read_bytes())
    card = out.with_suffix(".md")
    write_text(card, _card(loaded, source, out))
    events.wrote(out)
    events.wrote(card, "its model card")
    return Exported(out, card, difference)


def _card(loaded: LoadedNetwork[Any], source: Path, out: Path) -> str:
    """The card of the exported file; a packaged model has one already, with what was measured of it."""
    name = name_of(loaded.path)
    if name is not None and card_of(name).is_file():
        return card_of(name).read_text("utf-8")
    run = source if source.is_dir() else None
    return model_card(loaded.header, loaded.model, out, run=run)
