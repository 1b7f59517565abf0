"""Makes the files of a packaged model out of a run: generator, discriminator and card.

    python benchmarks/package_model.py RUN src/mien/assets --name faces-64 --scores card/scores.md
        [--kimg 400] [--text more.md]

The discriminator comes out of the run's newest state, in half precision, which is enough to begin with.
kimg: all that it was trained for, where that was more than this run. text: what was done, what it cost, what
the data is and under which terms, how the grid looks; put into the card before the scores.
"""

import argparse
from pathlib import Path

import torch

from mien.apps.model_card import model_card
from mien.core.atomic import write_text
from mien.core.checkpoint import load_generator, load_state, model_id, save_generator
from mien.core.packaged import MOST_BYTES
from mien.core.run import RunFolder


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
    save_generator(path, tensors, header)
    half = {name: _half(tensor) for name, tensor in state["networks"]["d"].items()}
    beside = arguments.out / f"{arguments.name}.discriminator.safetensors"
    save_generator(beside, half, header.model_copy(update={"kind": "discriminator"}))
    parts = [model_card(header, model_id(path), path, run=run.path)]
    parts += [file.read_text("utf-8") for file in (arguments.text, arguments.scores) if file is not None]
    write_text(arguments.out / f"{arguments.name}.md", "\n".join(parts))
    size = sum(file.stat().st_size for file in arguments.out.iterdir())
    print(f"{path}: {model_id(path)}; {size / 1e6:.2f} of {MOST_BYTES / 1e6:.0f} MB in {arguments.out}")


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


if __name__ == "__main__":
    main()
