"""StyleGAN2 against the official networks' numbers and against the paper's equations in float64."""

from pathlib import Path

import numpy as np
import pytest
import stylegan2_oracle as oracle
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.types import Spec
from mien.nn.equalised import Conventions
from mien.nn.stylegan2_discriminator import Discriminator
from mien.nn.stylegan2_generator import Generator

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"


def relative(ours: torch.Tensor, theirs: np.ndarray) -> float:
    """Largest difference over the largest absolute value."""
    return float(np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize(("name", "resolution", "classes"), [("uncond32", 32, 0), ("cond64", 64, 5)])
@torch.no_grad()
def test_golden_numbers(name: str, resolution: int, classes: int) -> None:
    path = GOLDEN / f"stylegan2ada-{name}.npz"
    if not path.exists():
        pytest.skip("no golden numbers beside the repository (../shared/golden)")
    golden = dict(np.load(path))
    tensors = {key: torch.from_numpy(value) for key, value in golden.items()}
    spec = Spec(resolution, 3, classes)
    g = Generator(spec, z_dim=64, w_dim=64, mapping_layers=2, base=1024, most=64).eval()
    d = Discriminator(spec, base=1024, most=64).eval()
    for network, prefix in ((g, "g/"), (d, "d/")):
        network.load_state_dict({k[2:]: v for k, v in tensors.items() if k.startswith(prefix)})
    z, c = tensors["z"].float(), tensors["c"].float() if classes else None
    assert relative(g.mapping(z, c, psi=0.7), golden["out/w_psi0.7"]) < 1e-4
    constant = g(z, c, psi=0.7, noise="const")
    assert relative(constant, golden["out/img_psi0.7_noise_const"]) < 1e-4
    assert relative(g(z, c, noise="none"), golden["out/img_psi1_noise_none"]) < 1e-4
    score = d(tensors["out/img_psi0.7_noise_const"], c)
    assert relative(score[:, None], golden["out/d_score_of_img"]) < 1e-4


def doubles(network: torch.nn.Module, seed: int) -> dict[str, np.ndarray]:
    """Turn the network to float64 and give every parameter a random value; return them all."""
    network.double()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64) * 0.7 + 0.1)
    return {name: value.numpy() for name, value in network.state_dict().items()}


configurations = st.fixed_dictionaries(
    {
        "resolution": st.sampled_from([8, 16]),
        "channels": st.sampled_from([1, 3]),
        "classes": st.sampled_from([0, 3]),
        "base": st.sampled_from([32, 96]),
        "layers": st.integers(1, 3),
        "seed": st.integers(0, 1000),
        "count": st.integers(1, 6),
    }
)


@given(configurations, st.sampled_from(["skip", "resnet"]), st.booleans())
@settings(max_examples=20)
@torch.no_grad()
def test_generator_follows_the_equations(how: dict[str, int], architecture: str, noise: bool) -> None:
    spec = Spec(how["resolution"], how["channels"], how["classes"])
    options = {"z_dim": 5, "w_dim": 6, "mapping_layers": how["layers"], "base": how["base"], "most": 8}
    g = Generator(spec, architecture=architecture, **options).eval()
    weights = doubles(g, how["seed"])
    rng = np.random.default_rng(how["seed"])
    z = rng.standard_normal((how["count"], 5))
    c = np.eye(3)[rng.integers(0, 3, how["count"])] if how["classes"] else None
    w = oracle.mapping(z, c, weights, how["layers"])
    expected = np.stack(
        [
            oracle.synthesis(
                np.repeat(row[None], g.num_ws, 0), weights, spec.resolution, architecture, noise=noise
            )
            for row in w
        ]
    )
    labels = None if c is None else torch.from_numpy(c)
    ours = g(torch.from_numpy(z), labels, noise="const" if noise else "none")
    assert relative(ours, expected) < 1e-9


@given(configurations, st.sampled_from(["resnet", "skip", "orig"]), st.sampled_from([1, 4]))
@settings(max_examples=20)
@torch.no_grad()
def test_discriminator_follows_the_equations(how: dict[str, int], architecture: str, group: int) -> None:
    spec = Spec(how["resolution"], how["channels"], how["classes"])
    options = {"base": how["base"], "most": 8, "stddev_group": group, "embed_layers": how["layers"]}
    d = Discriminator(spec, architecture=architecture, **options).eval()
    weights = doubles(d, how["seed"])
    rng = np.random.default_rng(how["seed"])
    images = rng.uniform(-1, 1, (how["count"], spec.channels, spec.resolution, spec.resolution))
    c = np.eye(3)[rng.integers(0, 3, how["count"])] if how["classes"] else None
    expected = oracle.discriminator(
        images, c, weights, spec.resolution, architecture, group=group, layers=how["layers"]
    )
    labels = None if c is None else torch.from_numpy(c)
    assert relative(d(torch.from_numpy(images), labels), expected) < 1e-9


@pytest.mark.parametrize(
    ("g_kind", "d_kind", "taps", "clamp"),
    [
        *(("skip", "resnet", (1, 2, 1), None), ("resnet", "skip", (1, 2, 1), 0.6)),
        *(("orig", "orig", (1, 3, 3, 1), 0.4), ("orig", "skip", (1, 4, 6, 4, 1), None)),
    ],
)
@torch.no_grad()
def test_other_conventions_follow_the_equations(
    monkeypatch: pytest.MonkeyPatch, g_kind: str, d_kind: str, taps: tuple[int, ...], clamp: float | None
) -> None:
    """Other filters, clamps and architectures, as official code can be asked for."""
    how = Conventions(tuple(map(float, taps)), clamp)
    monkeypatch.setattr(oracle, "_FIR", np.outer(taps, taps) / sum(taps) ** 2)
    monkeypatch.setattr(oracle, "_CLAMP", np.inf if clamp is None else clamp)
    g = Generator(
        Spec(16), z_dim=5, w_dim=6, mapping_layers=1, base=96, most=8, architecture=g_kind, how=how
    ).eval()  # type: ignore[arg-type]
    weights, ws = doubles(g, 3), np.random.default_rng(3).standard_normal((2, g.num_ws, 6))
    expected = np.stack([oracle.synthesis(row, weights, 16, g_kind, noise=True) for row in ws])
    assert relative(g.synthesis(torch.from_numpy(ws), noise="const"), expected) < 1e-6
    d = Discriminator(Spec(16), base=96, most=8, architecture=d_kind, how=how).eval()  # type: ignore[arg-type]
    weights, images = doubles(d, 4), np.random.default_rng(4).uniform(-1, 1, (3, 3, 16, 16))
    scores = oracle.discriminator(images, None, weights, 16, d_kind, group=4, layers=1)
    assert relative(d(torch.from_numpy(images)), scores) < 1e-6


@torch.no_grad()
def test_every_style_reaches_its_own_layers() -> None:
    """Changing the last style changes the colours alone; changing the first changes everything."""
    g = Generator(Spec(16), z_dim=4, w_dim=4, mapping_layers=1, base=64, most=8).eval()
    assert g.num_ws == 2 * 4 - 2
    ws = torch.randn(1, g.num_ws, 4)
    same = g.synthesis(ws, noise="none")
    for layer in range(g.num_ws):
        other = ws.clone()
        other[:, layer] += 1
        assert not torch.equal(g.synthesis(other, noise="none"), same), layer


@torch.no_grad()
def test_truncation_stops_at_the_cutoff() -> None:
    g = Generator(Spec(8), z_dim=4, w_dim=4, mapping_layers=1, base=64, most=8).eval()
    g.mapping.w_avg.copy_(torch.randn(4))
    z = torch.randn(2, 4)
    ws, cut = g.mapping(z, None), g.mapping(z, None, psi=0.25, cutoff=2)
    assert torch.equal(cut[:, 2:], ws[:, 2:])
    assert torch.allclose(cut[:, :2], g.mapping.w_avg + 0.25 * (ws[:, :2] - g.mapping.w_avg))


@torch.no_grad()
def test_random_noise_follows_its_generator_alone() -> None:
    g = Generator(Spec(8), z_dim=4, w_dim=4, mapping_layers=1, base=64, most=8).eval()
    for name, parameter in g.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.5)
    z = torch.randn(2, 4)

    def drawn(seed: int) -> torch.Tensor:
        return g(z, noise="random", rng=torch.Generator().manual_seed(seed))

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert torch.equal(g(z, noise="const"), g(z, noise="const"))


@pytest.mark.parametrize(("low", "widths"), [(3, "nnn"), (2, "nnw"), (1, "nww"), (0, "www")])
def test_the_finest_resolutions_of_the_discriminator_compute_in_bfloat16(low: int, widths: str) -> None:
    """16, 8 and 4 px, in this order; scores come out in float32."""
    d = Discriminator(Spec(16), base=64, most=8, low_blocks=low)
    seen: list[torch.dtype] = []
    for layer in (d.b16.conv1, d.b8.conv1, d.b4.conv):
        layer.register_forward_hook(lambda _layer, _given, y: seen.append(y.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        scores = d(torch.randn(4, 3, 16, 16))
    assert seen == [torch.bfloat16 if width == "n" else torch.float32 for width in widths]
    assert scores.dtype == torch.float32
