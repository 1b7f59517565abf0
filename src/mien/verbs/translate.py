"""The verb that turns pictures into what pairs have taught."""

from pathlib import Path

from mien.verbs._console import console, say_done


def translate(
    run: Path,
    inputs: tuple[str, ...],
    /,
    *,
    out: Path,
    resize: bool = False,
    device: str = "auto",
) -> None:
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
    from mien.bars import bar
    from mien.training.settings import pick_device
    from mien.translation.translate import translate as run_it

    screen = console()
    with bar(screen, "translating") as progress:
        done = run_it(run, inputs, out, resize=resize, device=pick_device(device), progress=progress)
    say_done(screen, done, out)
