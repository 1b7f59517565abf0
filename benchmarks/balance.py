"""A training set in which pictures of women stand twice, so that a generator draws more of them.

    python benchmarks/balance.py train.zip balanced.zip

Who is a woman is a network's guess by looks (`mien artefacts list`: sex); it errs. Of portraits in which four
in five are men, one in three is of a woman then.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from hold_out import copy
from mien.core.packed import PackReader
from mien.datasets.opening import open_dataset
from mien.faces.age_sex import AgeSexNetworks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("balanced", type=Path)
    arguments = parser.parse_args()
    dataset = open_dataset(str(arguments.train))
    everyone = np.arange(len(dataset))
    female = AgeSexNetworks.load().guess(torch.from_numpy(np.array(dataset.images(everyone)))).female > 0.5
    twice = np.sort(np.concatenate([everyone, np.flatnonzero(female)]))
    copy(PackReader(arguments.train), dataset, arguments.balanced, twice)
    before, now = female.mean(), 2 * female.sum() / len(twice)
    print(f"{len(twice):,} pictures of {len(dataset):,} people; women {before:.1%}, now {now:.1%}")


if __name__ == "__main__":
    main()
