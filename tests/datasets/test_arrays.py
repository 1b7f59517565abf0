"""Arrays of pictures as datasets."""

import numpy as np
import pytest

from contracts.dataset_contract import DatasetContract
from mien.core.errors import InputError
from mien.datasets.opening import open_dataset


def pictures(seed=0, size=16):
    return np.random.RandomState(seed).randint(0, 256, (6, size, size, 3), np.uint8)


class TestArrays(DatasetContract):
    def make(self, root, seed=0):
        root.mkdir(parents=True)
        np.savez(root / "samples.npz", arr_0=pictures(seed), arr_1=np.arange(6))
        return str(root / "samples.npz")

    def make_other(self, root):
        return self.make(root, seed=1)


def test_both_orders_of_axes_and_both_suffixes_are_the_same_pictures(tmp_path):
    np.save(tmp_path / "last.npy", pictures())
    np.save(tmp_path / "first.npy", pictures().transpose(0, 3, 1, 2))
    last, first = (open_dataset(str(tmp_path / name)) for name in ("last.npy", "first.npy"))
    assert last.content_hash == first.content_hash
    np.testing.assert_array_equal(last.images(np.array([2]))[0], pictures()[2].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((3, 16, 16, 3), np.float32), "save uint8"),
        (np.zeros((3, 16, 12, 3), np.uint8), "no pictures"),
        (np.zeros((3, 16), np.uint8), "0 arrays"),
        (np.array([{}], object), "no array can be read"),
    ],
)
def test_what_is_no_array_of_pictures_is_refused(tmp_path, array, match):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=match):
        open_dataset(str(tmp_path / "a.npy"))
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="no array can be read"):
        open_dataset(str(tmp_path / "broken.npz"))
