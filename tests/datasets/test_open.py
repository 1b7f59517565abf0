import zipfile

import numpy as np
import pytest
from PIL import Image

from mien.core import discover
from mien.core.errors import InputError
from mien.datasets.opening import open_dataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("source", ["absent", "absent.zip", "nothing:5", "", "_open:5", ":", "rendered"])
def test_a_source_that_is_not_there_is_named_with_what_there_is(source):
    with pytest.raises(InputError, match="rendered:"):
        open_dataset(source)


def test_a_folder_may_be_named_like_a_source(tmp_path):
    for name in ("rendered:2", "plain"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name / "a.png")
    assert open_dataset("rendered:2").spec.resolution == 4
    assert open_dataset("folder:plain").spec.resolution == 4


def test_every_dataset_says_its_licence_and_whom_to_cite():
    known = discover.names("mien.datasets.layouts")
    layouts = {"celeba", "ckplus", "eyes", "pairs", "parquet", "sd18", "table"}
    assert {"folder", "rendered"} | layouts <= set(known)
    for name in known:
        module = discover.load("mien.datasets.layouts", name)
        assert module.LICENCE
        assert module.CITATION


@pytest.mark.parametrize("name", ["net.pt", "net.pkl", "net.onnx"])
def test_weights_in_the_place_of_pictures_are_named_with_the_way_on(tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:  # as torch writes them
        archive.writestr("net/data.pkl", b"")
    with pytest.raises(InputError, match=rf"weights of a network.*mien import .*{name}"):
        open_dataset(str(tmp_path / name))
