"""`mien annotate`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mien.verbs._console import console


def annotate(
    dataset: Path,
    /,
    *,
    model: Path | None = None,
    read: Annotated[tuple[Literal["age", "sex", "expressions"], ...], Parameter(negative="")] = (),
    measure: bool = False,
    again: bool = False,
    device: str = "auto",
) -> None:
    """Write what a model reads off every picture, or what the face mesh measures, into a dataset's manifest.

    Parameters
    ----------
    dataset
        A zip from `mien prepare`, or a folder of square pictures.
    model
        A run that trained `--model attributes`, or its .safetensors file.
    read
        age, sex or expressions, by published networks (fetched once) on faces as `mien prepare` aligns them;
        may be repeated. What each is worth is printed. Age is a guess by looks: never a filter for minors.
    measure
        Measure the faces: pose, sharpness, eyes, mouth and whatever else `mien prepare` measures.
    again
        Do pictures anew that were done before.
    device
        cpu, cuda, mps or auto.
    """
    from mien.attributes import annotate as app
    from mien.bars import bar
    from mien.core.errors import InputError
    from mien.training.settings import pick_device

    if model is None and not measure and not read:
        raise InputError("say what to annotate with: --model RUN, --read age|sex|expressions, --measure")
    screen = console()
    if model is not None:
        with bar(screen, "reading labels") as progress:
            done, total = app.annotate(
                dataset, model, again=again, device=pick_device(device), progress=progress
            )
        screen.print(f"read the labels of {done:,} of {total:,} pictures; {total - done:,} were read before")
    if read:
        from mien.attributes.annotate_faces import LIMITS, read_faces

        with bar(screen, "reading faces") as progress:
            done, total = read_faces(
                dataset,
                read,
                again=again,
                device=pick_device(device),
                progress=progress,
                announce=screen.print,
            )
        screen.print(f"read {', '.join(read)} of {done:,} of {total:,} pictures")
        for reading in dict.fromkeys(read):
            screen.print(f"{reading}: {LIMITS[reading]}", soft_wrap=True)
    if measure:
        with bar(screen, "measuring faces") as progress:
            done, total = app.measure(dataset, again=again, progress=progress)
        screen.print(f"measured {done:,} of {total:,} pictures; {total - done:,} were measured before")
