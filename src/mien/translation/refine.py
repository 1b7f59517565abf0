"""`mien refine`: computer-generated images made to look real, with everything known of them kept."""

from pathlib import Path
from typing import cast

from mien.core.events import Events, job
from mien.core.network import load_network
from mien.core.provenance import SourceType
from mien.models.simgan import KIND
from mien.nn.refiner import Refiner
from mien.training.settings import pick_device
from mien.translation.transform import Operation, Transformed, transform_inputs


@job
def refine(
    events: Events,
    run: Path,
    inputs: tuple[str, ...],
    /,
    *,
    out: Path,
    resize: bool = False,
    any_size: bool = False,
    device: str = "auto",
) -> Transformed:
    """Make pictures look like the real ones that a run of `mien train RENDERED --model simgan` learnt from.

    Parameters
    ----------
    run
        A run folder (its newest refiner) or a .safetensors file.
    inputs
        Pictures, folders, or one dataset: a zip, or like rendered:100.
    out
        A folder for PNGs; or a .zip, which keeps every label and everything else known of each picture.
    resize
        Bring square pictures of other sizes to the size that was trained.
    any_size
        Take pictures of any size as they are: the refiner looks at one neighbourhood after the other.
    device
        cpu, cuda, mps or auto.
    """
    place = pick_device(device)
    loaded = load_network(run, KIND, place)
    refiner = cast(Refiner, loaded.network)
    op = Operation(
        refiner,
        refiner.spec,
        loaded.model,
        SourceType.ENHANCED,
        resize=resize,
        any_size=any_size,
        device=place,
    )
    return transform_inputs(events, "refining", inputs, out, op)
