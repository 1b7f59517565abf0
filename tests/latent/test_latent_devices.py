"""--device of latent jobs: the CPU, one that is not here, a stand-in for a GPU that refuses mixed devices."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from editing import model_with_directions
from projecting import generator_file, without_artefacts
from torch import Tensor

from mien.core.network import load_network
from mien.core.picture import read_picture
from mien.core.sampling import device_of, draw, on_its_device
from mien.core.styles import Styled, draw_styles, led, sample_styles, styles
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.editing.drag import Dragging, Pull
from mien.latent.projection.objective import Objective, Weights
from mien.latent.projection.optimise import Course
from mien.latent.projection.quasi_newton import QuasiNewton, scale_of
from mien.latent.projection.spaces import Labels, draw_noise_maps, open_space
from mien.nn.lpips import Lpips

GPU = torch.device("meta")  # computes shapes alone, and refuses what is on the CPU as a GPU does
COMMANDS = (
    "edit MODEL --set smile=1",
    "vary 3 --model MODEL",
    "project generated MODEL --steps 1",
    "project real MODEL nobody.png",
    "directions learn MODEL",
    "directions find MODEL",
    "directions measure MODEL",
    "units predict units.json people.zip",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_is_not_here_is_refused(
    command: str, tmp_path: Path, fails: Callable[..., str]
) -> None:
    model = generator_file(tmp_path, "stylegan2")
    words = [str(model) if word == "MODEL" else word for word in command.split()]
    said = fails(*words, "--out", tmp_path / "out", "--device", "meta")
    assert "--device meta: not available here" in said
    assert not (tmp_path / "out").exists()


def test_the_cpu_draws_the_same_as_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mien.cli import main

    without_artefacts(monkeypatch)
    model, out = str(model_with_directions(tmp_path / "m")), tmp_path / "out"
    for device, folder in (("cpu", "one"), ("auto", "other")):
        more = ["--device", device, "--out", str(out / folder)]
        assert main(["edit", model, "--seeds", "3", "--set", "smile=1", *more]) == 0
    one, other = (read_picture(out / name / "seed0003-edited.png") for name in ("one", "other"))
    assert np.array_equal(one, other)


class _There(torch.autograd.Function):
    """Values to the stand-in for a GPU or back, where they become zeros; gradients the other way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, place: torch.device) -> Tensor:
        ctx.place = x.device
        return torch.zeros(x.shape, dtype=x.dtype, device=place)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return torch.zeros(gradient.shape, dtype=gradient.dtype, device=ctx.place), None


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors go to the stand-in and back."""
    to = torch.Tensor.to

    def moved(self: Tensor, *given: Any, **more: Any) -> Tensor:
        place = next((one for one in given if isinstance(one, torch.device)), None)
        if place is not None and GPU in (place, self.device) and place != self.device:
            crossed: Tensor = _There.apply(self, place)  # type: ignore[no-untyped-call]
            return crossed
        return to(self, *given, **more)

    monkeypatch.setattr(torch, "autocast", lambda *given, **more: nullcontext())  # which it knows nothing of
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *given: False)
    monkeypatch.setattr(torch.Tensor, "to", moved)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: moved(self, torch.device("cpu")))


def _on_gpu(network: torch.nn.Module) -> None:
    for module in network.modules():
        for name, one in module.named_parameters(recurse=False):
            setattr(module, name, torch.nn.Parameter(one.detach().to("meta"), one.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to("meta"))


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("kind", ["lite", "stylegan2", "dcgan"])
def test_latents_stay_here_while_the_networks_are_elsewhere(kind: str, tmp_path: Path) -> None:
    """Drawing, and a step into each space with noise maps and weights of the face."""
    loaded = load_network(generator_file(tmp_path, kind))
    network, lpips = loaded.network, Lpips("alexnet")
    for one in (network, lpips):
        _on_gpu(one)
    assert device_of(network) == device_of(lpips) == GPU
    with pytest.raises(RuntimeError):
        network(torch.zeros(2, network.z_dim))
    z = torch.zeros(2, network.z_dim)
    assert draw(network, z).device.type == "cpu"
    drawing = Drawing(loaded, 1.0, ())
    assert Codes.of_seeds(drawing, [1]).draw(drawing).device.type == "cpu"
    if isinstance(network, Styled):
        assert draw_styles(network, styles(network, z, None)).device.type == "cpu"
        assert sample_styles(network, None, 4).device.type == "cpu"
    targets, faces = torch.zeros(2, 3, 16, 16), torch.ones(2, 1, 16, 16)
    objective = Objective(targets, Weights(face=2.0), lpips=lpips, faces=faces)
    for name in ("z", "w", "w+") if isinstance(network, Styled) else ("z",):
        space = open_space(name, loaded, Labels())  # type: ignore[arg-type]
        values = z if name == "z" else styles(network, z, None)
        parameters = space.parameters(values, None)
        if isinstance(network, Styled):
            parameters |= draw_noise_maps(network, 2, torch.Generator())
        parameters = {key: one.detach().clone().requires_grad_() for key, one in parameters.items()}
        losses = objective.losses(space.images(parameters), torch.arange(2))
        assert losses.device.type == "cpu"
        losses.sum().backward()  # type: ignore[no-untyped-call]
        assert all(one.grad is not None and one.grad.device.type == "cpu" for one in parameters.values())
        scale, starts = scale_of(space, network, None, 1.0, lpips), space.parameters(values, None)
        newton = QuasiNewton(space, objective, Course(2, 0.2), starts, 2, scale)
        assert list(newton.run()) == [1, 2]
        assert newton.losses.device.type == scale.device.type == "cpu"


@pytest.mark.usefixtures("gpu")
def test_a_drag_with_the_network_elsewhere(tmp_path: Path) -> None:
    drawing = Drawing.of(model_with_directions(tmp_path / "m", side=32), trunc=1.0, label=())
    codes = Codes.of_seeds(drawing, range(8))
    dragging = Dragging(drawing)
    _on_gpu(drawing.loaded.network)
    first = next(dragging.steps(codes[:1], [Pull((0.5, 0.5), (0.6, 0.5))]))
    assert first.codes.values.device.type == "cpu"
    assert first.codes.draw(drawing).device.type == "cpu"
    network: Any = drawing.loaded.network
    x = torch.zeros(1, network.z_dim)
    assert on_its_device(network, network, x).device.type == "cpu"
    assert led(network, codes.values).device.type == "cpu"
