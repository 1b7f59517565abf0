"""Parts a prepared zip into people to learn from and people to test on, by their faces.

    python benchmarks/hold_out.py all.zip train.zip hold.zip [--faces 105] [--seed 7]

Names are often not known, and one person may be in several sources: --faces are drawn at random, and whoever
the identity network takes for the same person (distance of .5 or less) goes with them.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from mien.core.packed import PackReader, PackWriter
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.faces.identity import SAME_PERSON, IdentityNetwork, distances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("hold_out", type=Path)
    parser.add_argument("--faces", type=int, default=105)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    dataset = open_dataset(str(arguments.source))
    pictures = torch.from_numpy(np.array(dataset.images(np.arange(len(dataset)))))
    features = IdentityNetwork.load().features(pictures)
    drawn = np.random.RandomState(arguments.seed).permutation(len(dataset))[: arguments.faces]
    out = (distances(features, features[drawn]) <= SAME_PERSON).any(axis=1)
    for target, chosen in ((arguments.train, ~out), (arguments.hold_out, out)):
        copy(PackReader(arguments.source), dataset, target, np.flatnonzero(chosen))
    print(f"{(~out).sum():,} to learn from, {out.sum():,} kept out ({arguments.faces} drawn)")


def copy(reader: PackReader, dataset: Dataset, target: Path, indexes: np.ndarray) -> None:
    """The pictures at `indexes` with their records, byte by byte."""
    with PackWriter(target) as writer:
        for index in indexes:
            writer.add_png(reader.read(int(index)), None, dict(dataset.records[index]))


if __name__ == "__main__":
    main()
