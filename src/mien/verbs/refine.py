"""The verb that makes computer-generated pictures look real."""

from pathlib import Path

from mien.verbs._console import console, say_done


def refine(
    run: Path,
    inputs: tuple[str, ...],
    /,
    *,
    out: Path,
    resize: bool = False,
    any_size: bool = False,
    device: str = "auto",
) -> None:
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
    from mien.bars import bar
    from mien.training.settings import pick_device
    from mien.translation.refine import refine as run_it

    screen = console()
    with bar(screen, "refining") as progress:
        done = run_it(
            run, inputs, out, resize=resize, any_size=any_size, device=pick_device(device), progress=progress
        )
    say_done(screen, done, out)
