"""What every dataset promises; a dataset's test inherits `DatasetContract` and says how to open a miniature.

class TestCelebA(DatasetContract):
    def make(self, root):            # writes a small layout into `root`, returns the source to open
    def make_other(self, root):      # the same layout with one picture (or label) changed
"""

import json
import re
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pytest

from mien.core.types import Dataset, Spec
from mien.datasets.opening import open_dataset


class DatasetContract(ABC):
    """At least four pictures that are not all the same, in whichever layout."""

    @abstractmethod
    def make(self, root: Path) -> str:
        """Write the miniature below `root` and return the source that opens it."""

    @abstractmethod
    def make_other(self, root: Path) -> str:
        """Like `make`, with other content."""

    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))

    @pytest.fixture
    def dataset(self, tmp_path) -> Dataset:
        return open_dataset(self.make(tmp_path / "one"))

    @pytest.mark.slow
    def test_pictures_are_uint8_of_the_size_that_is_said(self, dataset):
        assert isinstance(dataset.spec, Spec)
        assert len(dataset) >= 4
        images = dataset.images(np.arange(len(dataset)))
        size = dataset.spec.resolution
        assert images.dtype == np.uint8
        assert images.shape == (len(dataset), dataset.spec.channels, size, size)
        assert images.std() > 0
        assert dataset.spec.channels in (1, 3)

    def test_a_picture_is_the_same_wherever_it_stands_in_the_order(self, dataset):
        everything = dataset.images(np.arange(len(dataset)))
        order = np.random.default_rng(0).integers(0, len(dataset), 3 * len(dataset))
        np.testing.assert_array_equal(dataset.images(order), everything[order])
        assert dataset.images(np.array([], np.int64)).shape == (0, *everything.shape[1:])
        with pytest.raises(IndexError):
            dataset.images(np.array([len(dataset)]))

    def test_what_is_given_may_be_written_to(self, dataset):
        before = dataset.images(np.array([0]))
        dataset.images(np.array([0]))[:] = 7
        np.testing.assert_array_equal(dataset.images(np.array([0])), before)

    def test_labels_and_records_stand_beside_the_pictures(self, dataset):
        width = dataset.spec.label_dim
        if dataset.labels is None:
            assert width == 0
        else:
            assert dataset.labels.dtype == np.float32
            assert dataset.labels.shape == (len(dataset), width)
            assert np.isfinite(dataset.labels).all()
        assert len(dataset.spec.class_names) in (0, width)
        assert len(set(dataset.spec.class_names)) == len(dataset.spec.class_names)
        assert len(dataset.records) == len(dataset)
        json.dumps([dict(record) for record in dataset.records], allow_nan=False)

    def test_the_hash_follows_the_content_and_not_the_place(self, dataset, tmp_path, monkeypatch):
        assert re.fullmatch("[0-9a-f]{64}", dataset.content_hash)
        monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "another-cache"))
        again = open_dataset(self.make(tmp_path / "far" / "away" / "two"))
        assert again.content_hash == dataset.content_hash
        other = open_dataset(self.make_other(tmp_path / "three"))
        assert other.content_hash != dataset.content_hash

    def test_opening_again_gives_the_same(self, dataset, tmp_path):
        again = open_dataset(self.make(tmp_path / "one-more"))
        everything = np.arange(len(dataset))
        assert again.spec == dataset.spec
        np.testing.assert_array_equal(again.images(everything), dataset.images(everything))
        if dataset.labels is not None:
            np.testing.assert_array_equal(again.labels, dataset.labels)

    def test_progress_is_told_up_to_the_end(self, tmp_path):
        told = []
        source = self.make(tmp_path / "one")
        dataset = open_dataset(source, progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (len(dataset), len(dataset))
        assert told == sorted(told)

    def test_it_has_a_name(self, dataset):
        assert dataset.name
        assert "/" not in dataset.name
