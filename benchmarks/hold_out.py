"""Parts a prepared zip into people to learn from and people to test on, by their faces.

    python benchmarks/hold_out.py all.zip train.zip hold.zip [--faces 150] [--seed 7]

--faces are drawn by chance, of each class as many as its share of all. Names are often not known, and one
person may be in several sources: whoever the identity network takes for one of them (distance of .5 or less)
is in neither zip. Judged by, too, such faces would make the hold-out another mix than the training set:
a diffusion model's portraits are taken for each other far more often than photographed people are.
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
    parser.add_argument("--faces", type=int, default=150)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    dataset = open_dataset(str(arguments.source))
    pictures = torch.from_numpy(np.array(dataset.images(np.arange(len(dataset)))))
    features = IdentityNetwork.load().features(pictures)
    drawn = draw(dataset, arguments.faces, arguments.seed)
    alike = (distances(features, features[drawn]) <= SAME_PERSON).any(axis=1)
    learnt = np.flatnonzero(~alike)
    for target, chosen in ((arguments.train, learnt), (arguments.hold_out, drawn)):
        copy(PackReader(arguments.source), dataset, target, chosen)
    others = int(alike.sum()) - len(drawn)
    print(f"{len(learnt):,} to learn from, {len(drawn):,} kept out; {others:,} like these, in neither")


def draw(dataset: Dataset, count: int, seed: int) -> np.ndarray:
    """The indexes of `count` pictures, in order: by chance within a class, by its share among classes."""
    order = np.random.RandomState(seed).permutation(len(dataset))
    classes = np.array([str((record.get("labels") or {}).get("class")) for record in dataset.records])
    order = order[np.argsort(classes[order], kind="stable")]
    places = (np.arange(count) + 0.5) * len(order) / count
    return np.sort(order[places.astype(int)])


def copy(reader: PackReader, dataset: Dataset, target: Path, indexes: np.ndarray) -> None:
    """The pictures at `indexes` with their records, byte by byte."""
    with PackWriter(target) as writer:
        for index in indexes:
            writer.add_png(reader.read(int(index)), None, dict(dataset.records[index]))


if __name__ == "__main__":
    main()
