"""`mien translate`: images through a network that was trained on pairs."""

from pathlib import Path
from typing import cast

from mien.core.events import Events, job
from mien.core.network import load_network
from mien.models.pix2pix import KIND
from mien.nn.unet import Translator
from mien.training.settings import pick_device
from mien.translation.transform import Operation, Transformed, transform_inputs


@job
def translate(
    events: Events,
    run: Path,
    inputs: tuple[str, ...],
    /,
    *,
    out: Path,
    resize: bool = False,
    device: str = "auto",
) -> Transformed:
    """Turn pictures into what a run of `mien train PAIRS --model pix2pix` learnt: fronts into profiles.

    Parameters
    ----------
    run
        A run folder (its newest network) or a .safetensors file.
    inputs
        Pictures, folders, or one dataset: a zip, or like rendered:100.
    out
        A folder for PNGs; or a .zip, which keeps every label and everything else known of each picture.
    resize
        Bring square pictures of other sizes to the size that was trained.
    device
        cpu, cuda, mps or auto.
    """
    place = pick_device(device)
    loaded = load_network(run, KIND, place)
    network = cast(Translator, loaded.network)
    op = Operation(network, network.spec, loaded.model, resize=resize, device=place)
    return transform_inputs(events, "translating", inputs, out, op)
