"""The verb that cleans noisy pictures."""

from pathlib import Path

from mien.verbs._console import console, say_done


def denoise(
    run: Path, inputs: tuple[str, ...], /, *, out: Path, any_size: bool = False, device: str = "auto"
) -> None:
    """Clean noisy pictures with what a run of `mien train DATA --model noise2noise` learnt.

    Parameters
    ----------
    run
        A run folder (its newest denoiser) or a .safetensors file.
    inputs
        Pictures, folders, or one dataset: a zip, or like rendered:100.
    out
        A folder for PNGs; or a .zip, which keeps every label and everything else known of each picture.
    any_size
        Take pictures of any size as they are; by default those of another size than was trained are refused.
    device
        cpu, cuda, mps or auto.
    """
    from mien.bars import bar
    from mien.training.settings import pick_device
    from mien.translation.denoise import run as clean

    screen = console()
    with bar(screen, "denoising") as progress:
        done = clean(run, inputs, out, any_size=any_size, device=pick_device(device), progress=progress)
    say_done(screen, done, out)
