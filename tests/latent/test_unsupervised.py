"""SeFa and GANSpace against closed forms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from drawers import STYLED, plain_file, styled_file
from latent.planted import DIM, LAYERS, Planted, drawing, even
from mien.core.errors import InputError
from mien.core.types import Spec
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.directions.direction import Directions
from mien.latent.directions.unsupervised import chosen_rows, find, ganspace, readers, sefa
from mien.models import lite, stylegan1
from packaged_model import package


class _Stretched(Planted):
    """w varies 3, 2 and 1 times as much along its first axes as along the rest."""

    def mapping(self, z: torch.Tensor, labels: torch.Tensor | None, *, psi: float = 1.0) -> torch.Tensor:
        scale = torch.full((DIM,), 0.5)
        scale[:3] = torch.tensor([3.0, 2.0, 1.0])
        return super().mapping(z * scale, labels, psi=psi)


def test_principal_components() -> None:
    planted = drawing(_Stretched(even()))
    codes = Codes.of_seeds(planted, range(1500))
    steps, shares = ganspace(planted, codes, (0, 1), 3)
    for index, deviation in enumerate((3.0, 2.0, 1.0)):
        assert abs(float(steps[index][0, index])) == pytest.approx(deviation, rel=0.1)
        assert float(steps[index][0].norm()) == pytest.approx(deviation, rel=0.1)
        assert torch.equal(steps[index][0], steps[index][1])
        assert (steps[index][2:] == 0).all()
    total = 9 + 4 + 1 + (DIM - 3) / 4
    assert shares == pytest.approx([9 / total, 4 / total, 1 / total], rel=0.15)


class _Read(nn.Module):
    """Two layers, each a linear map of its own row of w."""

    z_dim, num_ws, spec = 6, 2, Spec(8)

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(3)
        self.one, self.two = nn.Linear(6, 9), nn.Linear(6, 12)
        self.other = nn.Linear(9, 3)
        for layer in (self.one, self.two):
            layer.weight.data = torch.randn(layer.weight.shape, generator=rng)

    def mapping(self, z: torch.Tensor, labels: torch.Tensor | None, *, psi: float = 1.0) -> torch.Tensor:
        return z[:, None].expand(-1, 2, -1).contiguous()

    def synthesis(self, ws: torch.Tensor, *, noise: str = "const") -> torch.Tensor:
        x = self.other(self.one(ws[:, 0])) + self.two(ws[:, 1])[:, :3]
        return x[:, :, None, None].expand(-1, -1, 8, 8).tanh()


def test_sefa_is_the_singular_vectors_of_the_weights() -> None:
    network = _Read()
    made = drawing(network)
    codes = Codes.of_seeds(made, range(2000))
    for rows in ((0, 1), (1,)):
        weights = torch.cat([(network.one, network.two)[row].weight for row in rows]).detach().double()
        _, singular, vectors = torch.linalg.svd(weights)
        steps, scores = sefa(made, codes, rows, 4)
        assert scores == pytest.approx((singular.square() / singular.square().sum())[:4].tolist())
        for step, vector in zip(steps, vectors[:4], strict=True):
            unit = step[rows[0]] / step[rows[0]].norm()
            assert abs(float(unit.double() @ vector)) == pytest.approx(1, abs=1e-5)
            assert float(step[rows[0]].norm()) == pytest.approx(1, abs=0.08)  # w is normal here
        assert all((step[row] == 0).all() for step in steps for row in {0, 1} - set(rows))


def _readers_of(made: Drawing) -> list[tuple[int, tuple[int, ...]]]:
    codes = Codes.of_seeds(made, range(4))
    return [(row, tuple(weight.shape)) for row, weight in readers(made.loaded.network, codes)]


def test_the_layers_that_read_a_latent_are_found(tmp_path: Path) -> None:
    """StyleGAN2's colour layers share a row with the next convolution; lite's first row is the latent."""
    found = _readers_of(Drawing.of(styled_file(tmp_path), trunc=1, label=()))
    assert {row for row, _ in found} == {0, 1, 2, 3, 4, 5}
    assert len(found) == 5 + 3  # convolutions and colour layers at 4, 8 and 16 px
    assert all(shape[1] == STYLED.w_dim for _, shape in found)
    modulated = Drawing.of(package(tmp_path), trunc=1, label=())
    rows = _readers_of(modulated)
    assert rows[0][0] == 0
    assert rows[0][1][1] == 8
    assert {row for row, _ in rows} == set(range(modulated.loaded.network.num_ws))
    plain = _readers_of(Drawing.of(plain_file(tmp_path), trunc=1, label=()))
    assert plain[0] == (0, (4 * 4 * 8, 8))
    config = stylegan1.PRESETS["tiny"]
    old = stylegan1.build_generator(config, Spec(16))
    assert {row for row, _ in _readers_of(drawing(old.eval()))} == set(range(old.synthesis.layers()))
    assert lite.PRESETS


def test_files_and_page(tmp_path: Path) -> None:
    model = styled_file(tmp_path)
    for method in ("sefa", "ganspace"):
        out = tmp_path / method
        found = find(model, out=out, method=method, components=3, samples=200, layers="0-2").run()
        back = Directions.read(out / "directions.safetensors")
        assert back.names == found.names == tuple(f"{method}-{i}" for i in (1, 2, 3))
        assert all(one.about.layers == (0, 1, 2) for one in back)
        page = (out / "components.html").read_text()
        assert page.count("data:image/webp") == 3
        assert "<script" not in page
    again = find(model, out=tmp_path / "again", method="sefa", components=3, samples=200, layers="0-2").run()
    first = Directions.read(tmp_path / "sefa" / "directions.safetensors")
    assert all(torch.equal(a.vector, b.vector) for a, b in zip(first, again, strict=True))


def test_without_w(tmp_path: Path) -> None:
    found = find(plain_file(tmp_path), out=tmp_path / "z", components=2, samples=200).run()
    assert found.space == "z"
    with pytest.raises(InputError, match="z varies alike in all directions"):
        find(plain_file(tmp_path), out=tmp_path / "n", method="ganspace", samples=200).run()
    with pytest.raises(InputError, match="no w"):
        find(plain_file(tmp_path), out=tmp_path / "n", layers="0", samples=200).run()


def test_what_cannot_be_sought_is_named(tmp_path: Path) -> None:
    """Numbers and methods that there are not; a model whose layers read no latent as it is."""
    model, out = styled_file(tmp_path), tmp_path / "out"
    for options, says in (
        ({"method": "pca"}, "--method pca: sefa or ganspace"),
        ({"components": 0}, "--components 1 to"),
        ({"samples": 99}, "--samples 100 to 1,000,000"),
    ):
        with pytest.raises(InputError, match=says):
            find(model, out=out, **options).run()  # type: ignore[arg-type]
    assert not out.exists()
    planted = drawing(Planted(even()))
    with pytest.raises(InputError, match="model reads its latent as it is; use ganspace"):
        sefa(planted, Codes.of_seeds(planted, range(4)), (0,), 2)


def test_layers_of_different_latents_are_not_mixed(tmp_path: Path) -> None:
    made = Drawing.of(package(tmp_path), trunc=1, label=())
    codes = Codes.of_seeds(made, range(4))
    assert chosen_rows(codes, None, made) == tuple(range(1, made.loaded.network.num_ws))
    assert chosen_rows(codes, "0", made) == (0,)
    with pytest.raises(InputError, match="hold different latents"):
        chosen_rows(codes, "0-1", made)
    assert np.isfinite(codes.values.numpy()).all()
    assert LAYERS
