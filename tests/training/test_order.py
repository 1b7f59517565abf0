"""Order and mirroring are functions of (seed, images seen)."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mien.training.order import Stream, indexes, mirrored
from pictures import ArrayDataset


@given(st.integers(2, 40), st.integers(0, 5), st.integers(0, 200), st.integers(1, 64))
def test_a_batch_is_the_same_however_it_is_reached(count: int, seed: int, nimg: int, batch: int) -> None:
    whole = indexes(count, seed=seed, nimg=nimg, batch_size=2 * batch)
    halves = [indexes(count, seed=seed, nimg=nimg + i * batch, batch_size=batch) for i in range(2)]
    assert np.array_equal(whole, np.concatenate(halves))


@given(st.integers(2, 40), st.integers(0, 5), st.integers(0, 3))
def test_every_epoch_shows_each_picture_once(count: int, seed: int, epoch: int) -> None:
    order = indexes(count, seed=seed, nimg=epoch * count, batch_size=count)
    assert sorted(order) == list(range(count))


def test_epochs_and_seeds_differ() -> None:
    first = indexes(100, seed=0, nimg=0, batch_size=100)
    assert not np.array_equal(first, indexes(100, seed=0, nimg=100, batch_size=100))
    assert not np.array_equal(first, indexes(100, seed=1, nimg=0, batch_size=100))


def test_about_half_are_mirrored_and_a_mirrored_picture_is_its_mirror() -> None:
    assert 0.45 < mirrored(seed=0, nimg=0, batch_size=4000).mean() < 0.55
    dataset = ArrayDataset(32)
    kwargs = {"seed": 3, "labels": False, "device": torch.device("cpu")}
    plain, *_ = Stream(dataset, mirror=False, **kwargs).batch(0, 32)
    flipped, *_ = Stream(dataset, mirror=True, **kwargs).batch(0, 32)
    which = mirrored(seed=3, nimg=0, batch_size=32)
    assert 0 < which.sum() < 32
    assert torch.equal(flipped[which], plain[which].flip(3))
    assert torch.equal(flipped[~which], plain[~which])


def test_labels_stay_with_their_pictures() -> None:
    dataset = ArrayDataset(20, labelled=True)
    stream = Stream(dataset, seed=0, mirror=True, labels=True, device=torch.device("cpu"))
    images, labels, _ = stream.batch(0, 20)
    assert labels is not None
    red = images[:, 0].mean(dim=(1, 2)) - images[:, 1].mean(dim=(1, 2))
    assert red[labels[:, 1] == 1].mean() > red[labels[:, 0] == 1].mean() + 0.2


def test_partners_come_together_and_are_mirrored_alike() -> None:
    """Defect 9: only the input of a pair was flipped, not the target."""
    dataset = ArrayDataset(20)
    stream = Stream(
        dataset, seed=1, mirror=True, labels=False, device=torch.device("cpu"), others=dataset, aligned=True
    )
    images, _, others = stream.batch(0, 20)
    assert others is not None
    assert torch.equal(images, others)
    assert 0 < mirrored(seed=1, nimg=0, batch_size=20).sum() < 20


def test_pictures_of_another_domain_have_an_order_of_their_own() -> None:
    dataset, theirs = ArrayDataset(20), ArrayDataset(7, seed=5)
    stream = Stream(dataset, seed=1, mirror=False, labels=False, device=torch.device("cpu"), others=theirs)
    batches = [stream.batch(nimg, 7)[2] for nimg in (0, 7)]
    first, second = (batch for batch in batches if batch is not None)
    for batch in (first, second):  # an epoch of theirs, each picture once
        assert len({picture.numpy().tobytes() for picture in batch}) == 7
    assert not torch.equal(first, second)
    mine = Stream(dataset, seed=1, mirror=False, labels=False, device=torch.device("cpu"), others=dataset)
    images, _, others = mine.batch(0, 20)
    assert others is not None
    assert not torch.equal(images, others)
