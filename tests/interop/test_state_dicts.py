"""Weights as people pass them on: bare, wrapped, beside numbers of numpy; and files that hold none."""

import argparse
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from interop import official, r3gan_reference, rosinality_reference
from interop.official import checkpoint, persistent_discriminator, persistent_generator
from mien.core.checkpoint import NetworkHeader, save_generator
from mien.core.errors import InputError
from mien.core.sampling import latents
from mien.core.types import Spec
from mien.interop import _readers
from mien.interop._network import Network, build
from mien.interop.described import numbers_of
from mien.interop.import_ import convert, read_pair
from mien.models import stylegan2

pytestmark = pytest.mark.usefixtures("warm_sandbox")
GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
WIDTHS = {4: 16, 8: 16, 16: 8}


def read(path: Path, *keys: str) -> Network:
    """The first network that is there, read in this process, for speed."""
    contents = _readers.read(path, keys or ("G_ema", "G", "D"))
    return convert(contents, next(iter(contents.weights)))


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def rosinality() -> dict[str, Tensor]:
    return rosinality_reference.state_dict(16, 12, 3, WIDTHS)


def draws(found: Network, state: dict[str, Tensor]) -> bool:
    """Whether it draws what the repository's equations say of the weights."""
    z = latents([1, 2], 12)
    _, expected = rosinality_reference.picture(state, z)
    with torch.no_grad():
        ours = build(found)(z).double()
    return torch.allclose(ours, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


WRAPPED: dict[str, Any] = {
    "bare": lambda state: state,
    "module": lambda state: {"g_ema": {f"module.{name}": value for name, value in state.items()}},
    "compiled": lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "flat": lambda state: (
        {f"g_ema.{n}": v for n, v in state.items()} | {"d.convs.0.0.weight": torch.zeros(1)}
    ),
    "averaged": lambda state: {
        "g_ema": {"n_averaged": torch.tensor(5), **{f"module.{n}": v for n, v in state.items()}}
    },
    "numpy": lambda state: {"g_ema": {**state, "step": 7}, "ada_aug_p": np.float64(0.25), "i": np.int64(7)},
    "rng": lambda state: {"g_ema": state, "rng": np.arange(5, dtype=np.uint32)},
    "args": lambda state: {
        "g_ema": state,
        "args": argparse.Namespace(path=Path("data"), lr=np.float32(0.002)),
    },
}


@pytest.mark.parametrize("how", WRAPPED)
def test_rosinality_is_read_however_it_is_wrapped(tmp_path: Path, how: str) -> None:
    state = rosinality()
    found = read(saved(tmp_path / "a.pt", WRAPPED[how](state)))
    assert draws(found, state)
    assert found.numbers["channel_base"] == 128


def test_a_plain_pickle_and_safetensors_of_others(tmp_path: Path) -> None:
    state = rosinality()
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"g_ema": state}))
    safetensors.torch.save_file(state, tmp_path / "b.safetensors")
    for name in ("a.pkl", "b.safetensors"):
        assert draws(read(tmp_path / name), state)


@pytest.mark.parametrize(
    "wrap", [dict, lambda arrays: {"g_ema": arrays}, lambda arrays: {"state_dict": arrays}]
)
def test_weights_as_arrays_of_numpy(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    state = rosinality()
    (tmp_path / "a.pkl").write_bytes(
        pickle.dumps(wrap({name: value.numpy() for name, value in state.items()}))
    )
    assert draws(read(tmp_path / "a.pkl"), state)


def test_a_mean_of_w_in_any_shape(tmp_path: Path) -> None:
    mean = torch.arange(12.0)
    for shape in ((12,), (1, 12), (6, 12)):
        file = saved(tmp_path / "a.pt", {"g_ema": rosinality(), "latent_avg": mean.expand(shape).clone()})
        found = read(file)
        assert torch.equal(found.tensors["mapping.w_avg"], mean)
        assert found.notes == ()
    wrong = saved(tmp_path / "a.pt", {"g_ema": rosinality(), "latent_avg": torch.zeros(7)})
    assert "mean of w is measured" in read(wrong).notes[0]


def test_a_file_without_noise_gets_noise_and_says_so(tmp_path: Path) -> None:
    state = rosinality()
    kept = {name: value for name, value in state.items() if not name.startswith("noises.")}
    file = saved(tmp_path / "a.pt", {"g_ema": kept, "latent_avg": torch.zeros(12)})
    found, again = read(file), read(file)
    assert found.notes == ("the file has no noise (as those from before it was kept there): it is made anew",)
    made = found.tensors["synthesis.b16.conv1.noise_const"]
    assert torch.equal(made, again.tensors["synthesis.b16.conv1.noise_const"])
    assert abs(float(made.std()) - 1) < 0.2
    drawn = {
        f"noises.noise_{n}": found.tensors[
            f"synthesis.b{4 * 2 ** ((n + 1) // 2)}.conv{(n + 1) % 2}.noise_const"
        ]
        for n in range(1, 5)
    }
    drawn["noises.noise_0"] = found.tensors["synthesis.b4.conv1.noise_const"]
    assert draws(found, kept | {name: noise[None, None] for name, noise in drawn.items()})


def test_rosinality_of_another_blur_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[1, 2, 2, 1] in every layer, against the equations with that kernel."""
    row = torch.tensor([1.0, 2, 2, 1])
    monkeypatch.setattr(rosinality_reference, "KERNEL", torch.outer(row, row) / 36)
    state = rosinality()
    found = read(saved(tmp_path / "a.pt", {"g_ema": state}))
    assert found.numbers["resample_filter"] == "1,2,2,1"
    assert draws(found, state)
    scores = rosinality_reference.discriminator_state(WIDTHS)
    d = read(saved(tmp_path / "d.pt", scores))  # bare
    assert d.kind == "discriminator"
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        ours = build(d)(images).double()
    assert torch.allclose(ours, rosinality_reference.score(scores, images), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [0, 3])
def test_official_weights_without_their_classes(tmp_path: Path, labels: int) -> None:
    g, d = official.generator(labels=labels), official.discriminator(labels=labels)
    found = read(saved(tmp_path / "g.pt", g.state_dict()))
    assert all(torch.equal(found.tensors[name], value) for name, value in g.state_dict().items())
    assert (found.spec.resolution, found.spec.channels, found.spec.label_dim) == (32, 3, labels)
    assert "bare state dict does not say its conv_clamp" in found.notes[0]
    both = {"G_ema": g.state_dict(), "D": d.state_dict()}
    pair = read_pair(saved(tmp_path / "both.pt", both))
    assert pair.d is not None
    assert all(torch.equal(pair.d[name], value) for name, value in d.state_dict().items())


def test_r3gan_weights_without_their_classes(tmp_path: Path) -> None:
    reference = r3gan_reference.Generator(8, [16, 16, 8], 2, labels=0)
    found = read(saved(tmp_path / "g.pth", {f"module.{n}": v for n, v in reference.state_dict().items()}))
    z = torch.randn(2, 8)
    with torch.no_grad():
        assert torch.allclose(build(found)(z), reference.Model(z, None), atol=1e-5)


@pytest.mark.parametrize(("name", "labels"), [("uncond32", 0), ("cond64", 5)])
def test_golden_weights_as_a_bare_state_dict(tmp_path: Path, name: str, labels: int) -> None:
    path = GOLDEN / f"stylegan2ada-{name}.npz"
    if not path.exists():
        pytest.skip("no golden numbers beside the repository (../shared/golden)")
    golden = dict(np.load(path))
    for part, key in (("g", "G_ema"), ("d", "D")):
        weights = {n[2:]: torch.from_numpy(v) for n, v in golden.items() if n.startswith(f"{part}/")}
        saved(tmp_path / f"{part}.pt", {key: weights})
    z = torch.from_numpy(golden["z"]).float()
    c = torch.from_numpy(golden["c"]).float() if labels else None
    image = golden["out/img_psi0.7_noise_const"]
    with torch.no_grad():
        drawn = build(read(tmp_path / "g.pt"))(z, c, psi=0.7).numpy()
        score = build(read(tmp_path / "d.pt"))(torch.from_numpy(image), c).numpy()
    assert np.abs(drawn - image).max() < 1e-4 * np.abs(image).max()
    told = golden["out/d_score_of_img"][:, 0]
    assert np.abs(score - told).max() < 1e-4 * np.abs(told).max()


# What is no network


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("00000/img00000000.png", b"x")
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_what_is_no_weights_is_named_in_a_line(tmp_path: Path) -> None:
    torch.jit.script(Doubled()).save(str(tmp_path / "script.pt"))
    (tmp_path / "data.zip").write_bytes(_zip())
    saved(tmp_path / "state-000004.pt", {"networks": {}, "counters": {}})
    saved(tmp_path / "tensor.pt", torch.zeros(3))
    saved(tmp_path / "classifier.pt", {"fc.weight": torch.zeros(2, 2)})
    saved(tmp_path / "module.pt", nn.Linear(2, 2))
    (tmp_path / "pointer.pkl").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    header = NetworkHeader(family="lite", config={}, spec=Spec(16), nimg=0, tool="mien")
    save_generator(tmp_path / "ours.safetensors", {"a": torch.zeros(1)}, header)
    for name, words in {
        "script.pt": "TorchScript program, which carries code",
        "data.zip": "a zip, but no torch file",
        "state-000004.pt": "a training state of mien; name the folder of its run",
        "tensor.pt": "of a Tensor, not of a dictionary",
        "classifier.pt": "is no network that mien knows",
        "module.pt": r"a whole module, which carries code.*save its state_dict\(\)",
        "pointer.pkl": "a Git LFS pointer",
        "ours.safetensors": "a file of mien's own already",
    }.items():
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


# What training asks


def test_a_file_says_family_and_numbers_of_both_networks(tmp_path: Path) -> None:
    options = {"conv_clamp": 3.0, "d_architecture": "skip", "stddev_group": 8}
    g, average = official.generator(conv_clamp=3.0), official.generator(conv_clamp=3.0, seed=5)
    d: Any = official.discriminator(**options)
    d.b4.mbstd = nn.Module()
    d.b4.mbstd.group_size = 8
    parts = {name: persistent_generator(one, clamp=3.0) for name, one in (("G", g), ("G_ema", average))}
    path = tmp_path / "official.pkl"
    path.write_bytes(checkpoint(**parts, D=persistent_discriminator(d)))
    found = read_pair(path)
    assert found.family == "stylegan2"
    assert (found.spec.resolution, found.header.config["lr"]) == (32, stylegan2.Config().lr)
    assert {
        **official.SIZES,
        **options,
        "g_architecture": "skip",
        "noise": True,
    }.items() <= found.numbers.items()
    assert "lr" not in found.numbers
    for tensors, network in ((found.g, g), (found.average, average), (found.d, d)):
        assert tensors is not None
        assert all(torch.equal(tensors[name], value) for name, value in network.state_dict().items())


def test_a_file_of_ours_says_them_too() -> None:
    config = stylegan2.Config(**official.SIZES, d_architecture="orig", noise=False, lr=0.1, batch_size=7)
    header = NetworkHeader(family="stylegan2", config=config.model_dump(), spec=Spec(32), nimg=5, tool="mien")
    numbers = numbers_of(header)
    assert {**official.SIZES, "d_architecture": "orig", "noise": False}.items() <= numbers.items()
    assert not {"lr", "batch_size", "gamma", "ema_ramp"} & numbers.keys()
    again = stylegan2.build(stylegan2.PRESETS["paper256"].model_copy(update=numbers), Spec(32))
    for name, network in stylegan2.build(config, Spec(32)).networks.items():
        again.networks[name].load_state_dict(network.state_dict())
