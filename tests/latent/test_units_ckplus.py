"""The published layout of CK+, in miniature, ends with the same report."""

from pathlib import Path

import numpy as np
import pytest

from mien.core.errors import InputError
from mien.datasets.opening import open_dataset
from mien.latent.units import units
from mien.latent.units.action_units import unit_labels
from miniatures_ckplus import FILMS, write_ckplus


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ckplus(tmp_path_factory.mktemp("ckplus"))


def test_labels_are_those_of_the_peaks(root: Path) -> None:
    labels = unit_labels(open_dataset(f"ckplus:{root}"))
    assert len(labels.people) == len(FILMS)
    assert len(set(labels.people)) == len({film.subject for film in FILMS})
    lips = labels.names.index("AU12")
    assert int((labels.present[:, lips] == 1).sum()) == sum(12 in dict(film.units) for film in FILMS)
    assert set(labels.intensity[labels.present[:, lips] == 1, lips]) == {4.0, 2.0}


def test_the_report(root: Path, tmp_path: Path) -> None:
    scores = units.evaluate(f"ckplus:{root}", out=tmp_path, features=("pixels",), support=2).run()
    assert {one.name for one in scores[0].units} == {"AU04", "AU12"}
    assert scores[0].people == 4
    assert scores[0].folds == 4
    page = (tmp_path / "units.html").read_text()
    assert "lip corner puller" in page
    assert "AU15 was left out: 1 pictures of 1 people with it" in page
    assert "AU01 was left out: 2 pictures of 1 people with it" in page


def test_latents_of_projected_peaks(root: Path, tmp_path: Path) -> None:
    """As `mien project real FRAMES` names them: by the photo's path."""
    dataset = open_dataset(f"ckplus:{root}")
    w = np.random.default_rng(0).normal(size=(len(dataset), 3, 4)).astype(np.float32)
    names = np.array([str(root / record["source"]) for record in dataset.records])
    np.savez(tmp_path / "latents.npz", w=w[::-1], names=names[::-1])
    latents, pixels = units.evaluate(
        f"ckplus:{root}", out=tmp_path, features=("pixels",), latents=tmp_path / "latents.npz", support=2
    ).run()
    assert latents.features == "latents"
    assert latents.pictures == pixels.pictures == len(dataset)
    assert [one.name for one in latents.units] == [one.name for one in pixels.units]


def test_too_few_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no action unit has 20 pictures"):
        units.evaluate(f"ckplus:{root}", out=tmp_path / "no", features=("pixels",)).run()
