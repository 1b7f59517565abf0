"""Makes the files of a packaged model out of a run: generator, discriminator and card.

    python benchmarks/package_model.py RUN src/mien/assets --name faces-64 --scores card/scores.md
        [--kimg 400] [--text more.md]

The discriminator comes out of the newest state. Large tensors of both are kept in half precision: its 11
bits move a pixel by a level or two, which is checked, and the package stays small.
kimg: all that it was trained for, where that was more than this run. text: what was done, what it cost, what
the data is and under which terms, how the grid looks; put into the card before the scores.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from mien.core.atomic import write_text
from mien.core.checkpoint import load_generator, load_state, model_id, save_generator
from mien.core.packaged import MOST_BYTES
from mien.core.run import RunFolder
from mien.generation.drawing import Drawing
from mien.interop.model_card import model_card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", default="faces-64")
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--kimg", type=float)
    arguments = parser.parse_args()
    run = RunFolder.open(arguments.run)
    tensors, header = load_generator(run.newest_generator())
    state = load_state(run.state(header.nimg))  # of the same moment, or it says which file is missing
    if arguments.kimg is not None:
        header = header.model_copy(update={"nimg": round(arguments.kimg * 1000)})
    path = arguments.out / f"{arguments.name}.safetensors"
    save_generator(path, _half(tensors), header)
    _check_drawing(run.newest_generator(), path)
    beside = arguments.out / f"{arguments.name}.discriminator.safetensors"
    save_generator(beside, _half(state["networks"]["d"]), header.model_copy(update={"kind": "discriminator"}))
    card = model_card(header, model_id(path), path, run=run.path)
    if arguments.text is not None:
        card = card.replace("not known to mien; find out before you publish pictures", "see Data and terms")
    parts = [card]
    parts += [file.read_text("utf-8") for file in (arguments.text, arguments.scores) if file is not None]
    write_text(arguments.out / f"{arguments.name}.md", "\n".join(parts))
    size = sum(file.stat().st_size for file in arguments.out.iterdir())
    print(f"{path}: {model_id(path)}; {size / 1e6:.2f} of {MOST_BYTES / 1e6:.0f} MB in {arguments.out}")


def _half(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    large = {name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel() > 4096}
    return {name: tensor.half() if name in large else tensor for name, tensor in tensors.items()}


def _check_drawing(before: Path, after: Path) -> None:
    """That both files draw the same faces, to a level of 255 nearly everywhere."""
    one, two = (
        Drawing.of(path, trunc=1.0, label=()).faces(list(range(64))).int() for path in (before, after)
    )
    apart = (one - two).abs()
    share = float((apart > 0).float().mean())
    print(f"half precision: {share:.2%} of pixels differ, by {int(apart.max())} levels at most")
    if apart.max() > 3:
        raise SystemExit("the generator does not bear half precision")


if __name__ == "__main__":
    main()
