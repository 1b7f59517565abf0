"""Coordinates of z, w and W+: what ties, what is constrained, what comes back."""

from pathlib import Path

import pytest
import torch

from latent.projecting import PLAIN_ONES, STYLED_ONES, loaded_generator
from mien.core.errors import InputError
from mien.core.image import to_uint8
from mien.core.sampling import draw, latents
from mien.core.styles import draw_styles, mean_latent, sample_styles, styles, tied_rows
from mien.latent.projection.spaces import Labels, WSpace, ZSpace, open_space, sensitive_directions


@pytest.mark.parametrize("space", ["w", "w+"])
@pytest.mark.parametrize("name", STYLED_ONES)
def test_the_generators_own_latents_come_back(tmp_path: Path, name: str, space: str) -> None:
    loaded = loaded_generator(tmp_path, name)
    ws = styles(loaded.network, latents([1, 2, 3], 8), None)
    where = WSpace(loaded, space, None)  # type: ignore[arg-type]
    parameters = where.parameters(ws, None)
    assert torch.allclose(where.values(parameters), ws, atol=1e-5)
    assert torch.allclose(
        to_uint8(where.images(parameters)).float(), draw_styles(loaded.network, ws).float(), atol=1
    )
    size = parameters["latent"].square().mean().sqrt()
    assert 0.2 < size < 3, "coordinates are in deviations"


@pytest.mark.parametrize("name", STYLED_ONES)
def test_coordinates_along_the_directions_that_images_react_to(tmp_path: Path, name: str) -> None:
    """They are orthonormal, lead back to the same latents, and move images more than others do."""
    loaded = loaded_generator(tmp_path, name)
    basis = sensitive_directions(loaded, None, 6)
    assert torch.allclose(basis @ basis.T, torch.eye(6), atol=1e-5)
    plain, turned = WSpace(loaded, "w+", None), WSpace(loaded, "w+", None, basis)
    ws = styles(loaded.network, latents([1, 2, 3], 8), None)
    parameters = turned.parameters(ws, None)
    assert torch.allclose(turned.values(parameters), ws, atol=1e-4)
    assert parameters["latent"].shape == (3, 6 + basis.shape[1])
    still = turned.images(parameters)
    random = torch.nn.functional.normalize(
        torch.randn(basis.shape, generator=torch.Generator().manual_seed(0))
    )

    def moved(step: torch.Tensor) -> float:
        latent = plain.parameters(ws, None)["latent"]
        images = plain.images({"latent": latent + 0.1 * step.view_as(latent[:1])})
        return float((images - still).square().mean())

    assert sum(moved(step) for step in basis) > 2 * sum(moved(step) for step in random)


@pytest.mark.parametrize("space", ["w", "w+"])
@pytest.mark.parametrize("name", STYLED_ONES)
def test_how_far_latents_are_from_the_generators_own(tmp_path: Path, name: str, space: str) -> None:
    """Nothing for its own; else as anyone would work it out from the latents, the basis not counting."""
    loaded = loaded_generator(tmp_path, name)
    network = loaded.network
    ws = styles(network, latents([1, 2, 3], 8), None)
    for basis in (None, sensitive_directions(loaded, None, 6)) if space == "w+" else (None,):
        where = WSpace(loaded, space, None, basis)  # type: ignore[arg-type]
        parameters = where.parameters(ws, None)
        assert torch.allclose(where.departure(parameters), torch.zeros(3), atol=1e-6)
        rng = torch.Generator().manual_seed(4)
        parameters["latent"] += torch.randn(parameters["latent"].shape, generator=rng)
        moved, samples = where.values(parameters), sample_styles(network, None)
        spread = samples.var(dim=0).mean(dim=1).sqrt()[:, None]
        if name == "lite":
            own = styles(network, moved[:, 0, :8], None)
            apart = ((moved - own) / spread)[:, 1:]
        else:
            apart = (moved - moved.mean(dim=1, keepdim=True)) / spread
        expected = apart.square().mean(dim=(1, 2))
        assert torch.allclose(where.departure(parameters), expected, rtol=1e-3, atol=1e-6)
        assert bool((expected > 0.001).all()) is (space == "w+" or name == "lite")


@pytest.mark.parametrize("name", STYLED_ONES)
def test_with_labels_too_own_latents_depart_from_nothing(tmp_path: Path, name: str) -> None:
    loaded = loaded_generator(tmp_path, name, labels=("a", "b"))
    rows = torch.eye(2)
    ws = styles(loaded.network, latents([1, 2], 8), rows)
    for space in ("w", "w+"):
        where = WSpace(loaded, space, rows)  # type: ignore[arg-type]
        assert torch.allclose(where.departure(where.parameters(ws, None)), torch.zeros(2), atol=1e-6)


@pytest.mark.parametrize("name", STYLED_ONES)
def test_w_ties_layers_and_wplus_does_not(tmp_path: Path, name: str) -> None:
    loaded = loaded_generator(tmp_path, name)
    groups = tied_rows(loaded.network)
    for space, tied in (("w", True), ("w+", False)):
        where = WSpace(loaded, space, None)  # type: ignore[arg-type]
        parameters = where.parameters(styles(loaded.network, latents([0], 8), None), None)
        parameters["latent"] = torch.randn_like(parameters["latent"])
        (ws,) = where.values(parameters)
        for group in groups:
            rows = ws[list(group)]
            assert bool((rows == rows[0]).all()) is (tied or len(group) == 1)
    assert groups[-1][-1] == loaded.network.num_ws - 1


def test_lites_first_row_stays_on_its_sphere_and_leads_the_others(tmp_path: Path) -> None:
    network = loaded_generator(tmp_path, "lite").network
    where = WSpace(loaded_generator(tmp_path, "lite"), "w", None)
    ws = where.values({"latent": torch.tensor([[[3.0] * 12, [0.0] * 12]])})
    assert torch.allclose(ws[0, 0, :8].square().mean(), torch.tensor(1.0), atol=1e-4)
    assert torch.equal(ws[0, 0, 8:], torch.zeros(4)), "what pads a row stays 0"
    own = styles(network, torch.ones(1, 8), None)
    assert torch.allclose(ws, own, atol=1e-5), "no offset: the w of that latent"


@pytest.mark.parametrize("name", PLAIN_ONES)
def test_z_of_generators_without_w(tmp_path: Path, name: str) -> None:
    loaded = loaded_generator(tmp_path, name)
    where = open_space(None, loaded, Labels())
    assert where.name == "z"
    z = latents([4, 5], 8)
    parameters = where.parameters(z, None)
    assert torch.equal(to_uint8(where.images(parameters)), draw(loaded.network, where.values(parameters)))
    with pytest.raises(InputError, match="has z alone; use --space z"):
        open_space("w+", loaded, Labels())


def test_the_length_of_z_is_kept_to_what_normal_latents_have(tmp_path: Path) -> None:
    where = ZSpace(loaded_generator(tmp_path, "plain"), Labels())
    z = torch.ones(3, 8) * torch.tensor([[1.0], [100.0], [1e-3]])
    lengths = where.values({"latent": z}).square().mean(dim=1).sqrt()
    assert lengths.tolist() == pytest.approx([1, 1 + 3 / 4, 1 - 3 / 4], rel=1e-4)  # 3 / sqrt(2 * 8)


def test_a_mean_that_the_file_lacks_is_that_of_samples(tmp_path: Path) -> None:
    network = loaded_generator(tmp_path, "stylegan2").network
    network.mapping.w_avg.zero_()
    ten_thousand = sample_styles(network, None)
    assert len(ten_thousand) == 10_000
    assert torch.equal(mean_latent(network, None)[0], ten_thousand.mean(dim=0))


def test_a_label_that_is_given_stays(tmp_path: Path) -> None:
    loaded = loaded_generator(tmp_path, "plain", labels=("woman", "man"))
    where = open_space("z", loaded, Labels(torch.eye(2)), None)
    rows = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    parameters = where.parameters(torch.randn(2, 8), rows)
    assert set(parameters) == {"latent", "fixed_label"}
    again = where.labels(parameters)
    assert again is not None
    assert torch.equal(again, rows)
    assert parameters["fixed_label"] is not rows


def test_labels_that_move_mean_what_they_began_with() -> None:
    classes = Labels(torch.eye(3), moves=True, choice=True)
    rows = torch.tensor([[0.0, 1, 0]])
    meant = classes.meant(classes.coordinates(rows))
    assert meant.sum().item() == pytest.approx(1)
    assert meant.argmax() == 1
    switches = Labels(torch.eye(3), moves=True)
    assert switches.meant(switches.coordinates(torch.tensor([[1.0, 0, 1]]))).round().tolist() == [[1, 0, 1]]
