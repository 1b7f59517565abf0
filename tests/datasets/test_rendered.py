import json

import numpy as np
import pytest

from contracts.dataset_contract import DatasetContract
from mien.core.cache import cache_root
from mien.core.errors import InputError
from mien.datasets.layouts import rendered
from mien.datasets.opening import open_dataset
from mien.render.labels import ATTRIBUTES


class Renderer:
    """Stands in for the renderer: noise by seed, told what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, count, *, size, seed, progress=None):
        self.asked.append((count, size, seed))
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
        labels = [
            {"person": i, "yaw": i / 2, "attributes": {name: bool(rng.random() > 0.5) for name in ATTRIBUTES}}
            for i in range(count)
        ]
        for done in range(count):
            if progress:
                progress(done + 1, count)
        return images, labels


@pytest.fixture
def renderer(monkeypatch, tmp_path):
    stub = Renderer()
    monkeypatch.setattr(rendered, "render_people", stub)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return stub


@pytest.mark.usefixtures("renderer")
class TestRendered(DatasetContract):
    def make(self, root):
        return "rendered:6:16"

    def make_other(self, root):
        return "rendered:6:16:1"


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("3", (3, 64, 0)),
        ("3:16", (3, 16, 0)),
        ("3@16", (3, 16, 0)),
        ("3:16:7", (3, 16, 7)),
        ("3@16:7", (3, 16, 7)),
    ],
)
def test_count_size_and_seed_are_understood(renderer, source, asked):
    dataset = open_dataset("rendered:" + source)
    assert renderer.asked == [asked]
    assert (len(dataset), dataset.spec.resolution) == asked[:2]


@pytest.mark.parametrize(
    "source", ["", "x", "-3", "0", "3:", "3:4", "3:5000", "3:16:-1", "3:16:0:0", "3@", "3 "]
)
def test_anything_else_is_refused_with_an_example(renderer, source):
    with pytest.raises(InputError, match="rendered:" + source):
        rendered.open(source)
    assert renderer.asked == []


def test_labels_are_the_attributes_and_records_hold_everything(renderer):
    images, labels = Renderer()(4, size=16, seed=2)
    dataset = rendered.open("4:16:2")
    np.testing.assert_array_equal(dataset.images(np.arange(4)), images)
    assert dataset.spec.class_names == ATTRIBUTES
    for row, record, label in zip(dataset.labels, dataset.records, labels, strict=True):
        assert record["labels"] == label
        assert row.tolist() == [float(label["attributes"][name]) for name in ATTRIBUTES]


def test_heads_are_rendered_once_for_each_version(renderer, monkeypatch):
    rendered.open("4:16")
    rendered.open("4:16")
    assert len(renderer.asked) == 1
    monkeypatch.setattr(rendered, "RENDER_VERSION", "another")
    rendered.open("4:16")
    assert len(renderer.asked) == 2


@pytest.mark.parametrize("damage", ["cut pixels", "no pixels", "cut notes", "no notes", "notes of fewer"])
def test_a_damaged_cache_is_rendered_anew(renderer, damage):
    first = rendered.open("4:16")
    images = first.images(np.arange(4))
    (pixels,) = (cache_root() / "rendered").glob("*.npy")
    (notes,) = (cache_root() / "rendered").glob("*.json")
    if damage.startswith("no "):
        (pixels if "pixels" in damage else notes).unlink()
    elif damage == "notes of fewer":
        document = json.loads(notes.read_text())
        notes.write_text(json.dumps(document | {"labels": document["labels"][:3]}))
    else:
        path = pixels if "pixels" in damage else notes
        path.write_bytes(path.read_bytes()[:-9])
    again = rendered.open("4:16")
    assert len(renderer.asked) == 2
    assert again.content_hash == first.content_hash
    np.testing.assert_array_equal(again.images(np.arange(4)), images)


def test_a_killed_renderer_leaves_nothing_that_is_taken_for_whole(renderer, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rendered, "write_text", killed)  # the pixels are there, the notes are not
        with pytest.raises(KeyboardInterrupt):
            rendered.open("4:16")
    assert len(rendered.open("4:16")) == 4
    assert len(renderer.asked) == 2


def test_the_real_renderer_fits(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    dataset = rendered.open("2:16")
    images = dataset.images(np.arange(2))
    assert images.shape == (2, 3, 16, 16)
    assert images.std() > 10
    assert (images[0] != images[1]).any()
    assert set(np.unique(dataset.labels)) <= {0.0, 1.0}
    assert dataset.records[0]["labels"]["person"] != dataset.records[1]["labels"]["person"]
