"""The Python API: the page about it runs; what it gives is short to print and easy to index."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import mien
from drawers import plain_file
from mien.core.errors import InputError, MienError
from mien.core.provenance import verify
from mien.core.views import Joined, View

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"


@pytest.mark.slow
def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    code = "\n".join(line[4:] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("    "))
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    said = capsys.readouterr().out
    assert "<rendered-40-32-0: 40 images of 32x32x3, labels 5_o_Clock_Shadow" in said
    assert "TrainingTick(nimg=1" in said
    assert "(9, 32, 32, 3)" in said
    assert re.search(r"kernel generator -?[0-9.]+(e-\d+)? -?[0-9.]", said)


def test_drawn_images_show_themselves_with_their_mark(tmp_path: Path) -> None:
    loaded = mien.load(str(plain_file(tmp_path)))
    images = loaded.draw([0, 1, 2])
    assert images.dtype == np.uint8
    assert images.shape == (3, 16, 16, 3)
    assert np.array_equal(images[1], loaded.draw("1")[0])
    path = tmp_path / "shown.png"
    path.write_bytes(images._repr_png_())
    mark = verify(path)
    assert mark is not None
    assert mark.model == loaded.model
    assert len(repr(loaded)) < 80


def test_datasets_index_slice_and_load() -> None:
    people = mien.open_dataset("rendered:12:16")
    image, labels = people[-1]
    assert image.shape == (3, 16, 16)
    assert np.array_equal(labels, people.labels[11])
    part = people[2:8:2]
    assert len(part) == 3
    assert np.array_equal(part[1][0], people[4][0])
    assert part.records[2] == people.records[6]
    assert len(repr(people)) < 200
    with pytest.raises(IndexError):
        people[12]
    images, rows = next(iter(torch.utils.data.DataLoader(people, batch_size=4)))
    assert images.shape == (4, 3, 16, 16)
    assert rows.shape == (4, people.spec.label_dim)


def test_a_dataset_as_a_table() -> None:
    """A row a picture: the manifest's fields, and the labels by their names."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    people = mien.open_dataset("rendered:12:16")
    table = people[3:6].frame()
    assert isinstance(table, pandas.DataFrame)
    assert len(table) == 3
    for column, name in enumerate(people.spec.class_names):
        assert np.array_equal(table[name].to_numpy(), people.labels[3:6, column])


def test_without_pandas_a_table_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MienError, match=r"frame\(\) needs pandas: pip install pandas"):
        mien.open_dataset("rendered:12:16").frame()


def test_two_datasets_as_one_must_be_alike() -> None:
    """Pictures of the first, then of the second, with their labels; what differs is named."""
    people = mien.open_dataset("rendered:12:16")
    joined = Joined(people[:2], people[8:])
    assert len(joined) == 6
    assert np.array_equal(joined.images(np.array([5, 0])), people.images(np.array([11, 0])))
    assert np.array_equal(joined.labels, people.labels[[0, 1, 8, 9, 10, 11]])
    bare = View(people, np.arange(12), labels=None, class_names=())
    with pytest.raises(ValueError, match=r"rendered-12-16-0 and .* differ: .*label_dim=36.*label_dim=0"):
        Joined(people, bare)


def test_strings_and_keywords_do(tmp_path: Path) -> None:
    file = plain_file(tmp_path)
    (path,) = mien.generate(str(file), out=str(tmp_path / "out"), seeds="3")
    assert path == tmp_path / "out" / "seed0003.png"


def test_seeds_are_numbers_and_settings_a_mapping_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    model = str(plain_file(tmp_path))
    assert np.array_equal(mien.load(model).draw(3), mien.load(model).draw("3"))
    names = [
        [path.name for path in mien.generate(model, out="a", seeds=seeds)] for seeds in (range(2), (7, 5), 3)
    ]
    assert names == [["seed0000.png", "seed0001.png"], ["seed0007.png", "seed0005.png"], ["seed0003.png"]]
    assert mien.verify("a/seed0003.png").seed == 3
    job = mien.train("rendered:20:16", set={"width_g": 4, "width_d": 4}, kimg=1, start="none")
    assert next(iter(job)) is not None
    with pytest.raises(InputError, match="neither a number"):
        mien.generate(model, out="a", seeds=[-1])


def test_only_what_is_public_is_listed() -> None:
    assert {"train", "verify", "__version__"} < set(dir(mien))
    assert not {"Any", "os", "importlib"} & set(dir(mien))
