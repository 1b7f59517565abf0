"""The page of internals: what it shows is what the networks do."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from drawers import plain_file, styled_file
from mien.cli import main
from mien.core.checkpoint import load_generator, newest_state, save_generator
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.internals import _discriminator, activations, internals, principal, saliency
from packaged_model import package


class Corner(nn.Module):
    """Scores one place of the image alone."""

    def forward(self, images, labels=None):
        return 3 * images[:, 1, 2, 5]


def test_saliency_is_where_the_score_comes_from():
    maps = saliency(Corner(), torch.zeros(2, 3, 8, 8))
    assert maps[:, 2, 5].tolist() == pytest.approx([3, 3])
    maps[:, 2, 5] = 0
    assert not maps.any()


def test_principal_components_are_those_of_sklearn():
    from sklearn.decomposition import PCA

    rows = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 3, 2, 1, 0.5])
    directions, spread, explained = principal(rows)
    fitted = PCA().fit(rows.numpy())
    np.testing.assert_allclose(explained.numpy(), fitted.explained_variance_ratio_, rtol=1e-4)
    np.testing.assert_allclose(spread.numpy() ** 2, fitted.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(np.abs((directions.numpy() * fitted.components_).sum(1)), 1, rtol=1e-4)


@pytest.mark.parametrize("write", [styled_file, plain_file])
def test_activations_come_from_every_size_and_follow_the_latent(tmp_path, write):
    drawing = Drawing.of(write(tmp_path), trunc=1.0, label=())
    codes = Codes.of_seeds(drawing, range(3))
    maps = activations(drawing, codes)
    sides = [side.shape[-1] for _, side in maps]
    assert sides == sorted(set(sides))
    assert len(maps) >= 2
    assert all(each.shape[0] == 3 and (each >= 0).all() for _, each in maps)
    assert any(not torch.equal(each[0], each[1]) for _, each in maps)


def test_the_page_of_a_file_alone_says_that_it_has_no_discriminator(tmp_path):
    out = tmp_path / "page.html"
    result = internals(styled_file(tmp_path), out=out).run()
    page = out.read_text()
    assert result.space == "w"
    assert "holds no discriminator" in result.discriminator
    assert "Not shown: a generator" in page
    assert page.count("<svg") == 1
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert 0 < sum(result.explained) <= 1.001


def test_the_packaged_model_shows_its_discriminator_and_others_data_is_refused(assets, tmp_path, fails):
    package(assets)
    file = assets / "faces-64.discriminator.safetensors"
    tensors, header = load_generator(file)
    save_generator(file, {name: value.half() for name, value in tensors.items()}, header)  # as ours is stored
    images = np.random.RandomState(0).randint(0, 256, (6, 16, 16, 3), np.uint8)
    np.save(tmp_path / "reals.npy", images)
    assert main(["internals", "--data", "reals.npy", "--out", "p"]) == 0
    page = (tmp_path / "p" / "internals.html").read_text()
    assert "saliency, generated" in page
    assert "saliency, real" in page
    np.save(tmp_path / "large.npy", np.zeros((4, 32, 32, 3), np.uint8))
    assert "other sizes" in fails("internals", "--data", "large.npy", "--out", "q.html")
    assert not (tmp_path / "q.html").exists()


def test_a_discriminator_that_does_not_fit_is_named_and_the_rest_is_shown(assets, tmp_path):
    package(assets)
    file = assets / "faces-64.discriminator.safetensors"
    tensors, header = load_generator(file)
    name = sorted(tensors)[0]
    save_generator(file, {name: tensors[name]}, header)
    result = internals(out=tmp_path / "page.html").run()
    assert result.discriminator.startswith("the discriminator does not fit (")
    assert "Missing key" in result.discriminator
    page = (tmp_path / "page.html").read_text()
    assert "saliency, generated" not in page
    assert page.count("<svg") == 1


@pytest.mark.slow
def test_a_run_shows_the_discriminator_of_its_newest_state(tmp_path, monkeypatch):
    """What the page shows is that network: the state's, and none where there is no state."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    np.save("reals.npy", np.random.RandomState(0).randint(0, 256, (12, 16, 16, 3), np.uint8))
    small = [f"--set={name}" for name in ("width_g=4", "width_d=4", "z_dim=8", "batch_size=8")]
    assert main(["train", "reals.npy", "--kimg", "0.1", "--from", "none", "--out", "runs", *small]) == 0
    (run,) = (tmp_path / "runs").glob("0*")
    result = internals(run, out=tmp_path / "page.html").run()
    assert result.discriminator == ""
    assert "saliency, generated" in (tmp_path / "page.html").read_text()
    drawing = Drawing.of(run, trunc=1.0, label=())
    network, why = _discriminator(run, drawing)
    (_, state) = newest_state(run, report=print)
    assert why == ""
    for name, tensor in state["networks"]["d"].items():
        assert torch.equal(network.state_dict()[name], tensor.float())
    for file in run.glob("state-*"):
        file.unlink()
    assert _discriminator(run, drawing) == (None, "the run has kept no state with a discriminator")
