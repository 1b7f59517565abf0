"""Checkpoints of other programs become files of ours, bit for bit, and what ours cannot hold is refused."""

import hashlib
import io
import pickle
import types
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from interop import official, r3gan_reference, rosinality_reference
from interop.official import Persistent, checkpoint, persistent_discriminator, persistent_generator
from mien.cli import main
from mien.core.errors import InputError
from mien.core.network import read_network
from mien.core.sampling import latents
from mien.interop import _readers
from mien.interop._network import Network
from mien.interop.import_ import Imported, convert, describe, import_

pytestmark = pytest.mark.usefixtures("warm_sandbox")


def read(data: bytes, key: str = "G_ema") -> Network:
    """In this process, for speed; the sandbox has tests of its own."""
    return convert(_readers.read_pickle(io.BytesIO(data), [key]), key)


def import_file(path: Path, out: Path | None = None, network: str | None = None) -> Imported:
    imported = import_(path, out, network=network).run()
    assert imported is not None
    return imported


def same(found: Network, network: torch.nn.Module) -> bool:
    """Whether every tensor is bit for bit the one that was pickled."""
    state = network.state_dict()
    return found.tensors.keys() == state.keys() and all(
        torch.equal(found.tensors[name], value) for name, value in state.items()
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_loads_bit_exact(protocol: int) -> None:
    network = official.generator(labels=3)
    found = read(checkpoint(protocol, G_ema=persistent_generator(network, labels=3)))
    assert same(found, network)
    assert found.spec.class_names == ("class0", "class1", "class2")
    assert (found.config["z_dim"], found.config["w_dim"], found.config["mapping_layers"]) == (16, 12, 3)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_both_generators(architecture: str) -> None:
    network = official.generator(g_architecture=architecture)
    found = read(checkpoint(G_ema=persistent_generator(network)))
    assert same(found, network)
    assert found.config["g_architecture"] == architecture
    assert len(found.notes) == 2  # conv_clamp, num_fp16_res


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
@pytest.mark.parametrize(("labels", "group"), [(0, 1), (2, 4)])
def test_discriminators(architecture: str, labels: int, group: int) -> None:
    network = official.discriminator(labels=labels, d_architecture=architecture, stddev_group=group)
    data = checkpoint(D=persistent_discriminator(network, labels=labels))
    found = read(data, "D")
    assert same(found, network)
    assert (found.kind, found.config["d_architecture"]) == ("discriminator", architecture)
    assert found.config["stddev_group"] == group


def test_half_precision_and_views_come_out_as_float32() -> None:
    network = official.generator()
    wide = torch.randn(24, 2 * 24, 3, 3).half()
    network.synthesis.b4.conv1.weight = torch.nn.Parameter(wide[:, ::2])  # type: ignore[union-attr]
    found = read(checkpoint(G_ema=persistent_generator(network)))
    assert torch.equal(found.tensors["synthesis.b4.conv1.weight"], wide[:, ::2].float())


def test_command_writes_a_generator_that_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = official.generator(labels=2)
    source = tmp_path / "official.pkl"
    source.write_bytes(checkpoint(G_ema=persistent_generator(network, labels=2)))
    assert main(["import", str(source)]) == 0
    shown = capsys.readouterr().out
    digest = hashlib.sha256(official.SOURCE.encode()).hexdigest()
    for part in (
        "Generator",
        "z_dim=16",
        digest,
        hashlib.sha256(source.read_bytes()).hexdigest(),
        "data.zip",
    ):
        assert part in shown
    path = tmp_path / "official.safetensors"
    loaded, header = read_network(path)
    assert "official.pkl" in header.origin
    z, labels = latents([0, 1], 16), torch.eye(2)
    expected = network.eval()(z, labels, psi=0.7)
    assert torch.allclose(loaded(z, labels, psi=0.7), expected, atol=1e-4)  # channels lie otherwise
    arguments = ["generate", str(path), "--seeds", "0", "--label", "class1", "--out", str(tmp_path / "o")]
    assert main(arguments) == 0
    assert (tmp_path / "o" / "seed0000.png").exists()


def test_a_conditional_one_must_be_told_what_to_draw(tmp_path: Path, fails: Callable[..., str]) -> None:
    network = persistent_generator(official.generator(labels=2), labels=2)
    (tmp_path / "a.pkl").write_bytes(checkpoint(G_ema=network))
    imported = import_file(tmp_path / "a.pkl").path
    out = ("--out", tmp_path / "o")
    assert "conditional; say which with --label: class0, class1" in fails("generate", imported, *out)
    assert "choose from class0, class1" in fails("generate", imported, "--label", "class2", *out)
    assert not (tmp_path / "o").exists()


def test_info_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.pkl"
    source.write_bytes(checkpoint(G_ema=persistent_generator(official.generator())))
    assert main(["import", str(source), "--info"]) == 0
    assert "mapping_kwargs={'num_layers': 3}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


def test_text_of_the_file_cannot_steer_the_terminal(tmp_path: Path) -> None:
    source = tmp_path / "a.pkl"
    network = persistent_generator(official.generator(), note="\x1b[2Jgone\nmien: fine")
    network.more["_init_kwargs"]["title"] = "\x1b[2J[red]"
    source.write_bytes(checkpoint(G_ema=network))
    assert not any("\x1b" in line or "\n" in line for line in describe(source))


# What ours cannot hold


def altered(change: Callable[[Any], None], **more: Any) -> bytes:
    network = official.generator()
    change(network)
    return checkpoint(G_ema=persistent_generator(network, **more))


def _drop(network: Any) -> None:
    del network.synthesis.b8.conv0.affine


def _filter(network: Any) -> None:
    network.synthesis.b8.conv0.resample_filter = torch.ones(4, 4) / 16


def _nan(network: Any) -> None:
    network.mapping.w_avg[0] = float("nan")


def _whole(network: Any) -> None:
    network.mapping.w_avg = network.mapping.w_avg.long()


def _shape(network: Any) -> None:
    network.synthesis.b8.conv1.bias = torch.nn.Parameter(torch.zeros(7))


def _activation(network: Any) -> None:
    network.synthesis.b8.conv1.activation = "sigmoid"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop, r"2 of its \d+ tensors are missing; it was cut off, saved in part"),
        (_filter, r"b8\.conv0\.resample_filter is not the filter \[1,3,3,1\] of its other layers"),
        (_nan, "not finite"),
        (_whole, "int64"),
        (_shape, r"synthesis.b8.conv1.bias is \[7\]"),
        (_activation, "activation='sigmoid'"),
    ],
)
def test_what_does_not_fit_is_named(change: Callable[[Any], None], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(altered(change))


def test_sizes_that_contradict_the_weights_are_refused() -> None:
    for name, value in {"img_resolution": 64, "c_dim": 5, "z_dim": 99}.items():
        network = persistent_generator(official.generator())
        network.more[name] = value
        with pytest.raises(InputError, match=f"it says {name}={value}, and its weights are for"):
            read(checkpoint(G_ema=network))


def test_alias_free_networks_are_named() -> None:
    network = torch.nn.Module()
    network.synthesis = torch.nn.Module()
    network.synthesis.input = torch.nn.Linear(4, 4)
    with pytest.raises(InputError, match="Generator is an alias-free StyleGAN3 network"):
        read(checkpoint(G_ema=Persistent(network, "Generator")))


def test_tensorflow_pickles_get_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "tf.pkl"
    source.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81}b.")
    assert main(["import", str(source)]) == 2
    error = capsys.readouterr().err
    assert "tf.pkl: this is a TensorFlow checkpoint" in error
    assert "legacy.py" in error
    assert error.count("\n") == 1


def _torch_zip() -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": torch.zeros(3)}, buffer)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello, I am no checkpoint", "no checkpoint"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "no checkpoint"),
        ((40).to_bytes(8, "little") + b'{"a":{}}', "not a safetensors file that can be read"),
        (pickle.dumps([1, 2, 3]), "no dictionary"),
        (pickle.dumps({"a": 1}), "no network"),
        (_torch_zip(), "no network that mien knows"),
        (_torch_zip()[:200], "not a torch file that can be read"),
        (checkpoint(G_ema=persistent_generator(official.generator()))[:5000], r"cut off|not a pickle"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        import_file(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.safetensors").exists()


def test_other_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    with pytest.raises(InputError, match="no such file"):
        import_file(path)
    path.write_bytes(checkpoint(G_ema=persistent_generator(official.generator())))
    with pytest.raises(InputError, match="it has no D; it holds: G_ema"):
        import_file(path, network="D")
    with pytest.raises(InputError, match="safetensors"):
        import_file(path, tmp_path / "x.pt")


# R3GAN


def test_r3gan_draws_what_its_own_network_draws() -> None:
    torch.manual_seed(0)
    reference = r3gan_reference.Generator(8, [16, 16, 8], 2, labels=2)
    z, labels = torch.randn(2, 8), torch.eye(2)
    data = r3gan_reference.pickled(G_ema=reference)
    contents = _readers.read_pickle(io.BytesIO(data), ["G_ema"])
    assert contents.facts.networks["G_ema"].full_name == "training.networks.Generator"
    assert contents.facts.other["cur_nimg"] == 12345
    found = convert(contents, "G_ema")
    assert (found.family, found.spec.resolution, found.spec.label_dim) == ("r3gan", 16, 2)
    ours = _built(found)
    with torch.no_grad():
        assert torch.allclose(ours(z, labels), reference.Model(z, labels), atol=1e-5)


def test_r3gan_discriminator_scores_as_its_own() -> None:
    torch.manual_seed(1)
    reference = r3gan_reference.Discriminator([8, 16, 16], 1)
    images = torch.randn(3, 3, 16, 16)
    found = read(r3gan_reference.pickled(D=reference), "D")
    with torch.no_grad():
        assert torch.allclose(_built(found)(images), reference.Model(images), atol=1e-4)


def test_r3gan_of_another_filter_is_refused() -> None:
    reference = r3gan_reference.Generator(8, [8, 8], 1, labels=0)
    reference.Model.MainLayers[1].Layers[0].Resampler.Kernel.mul_(2)  # type: ignore[union-attr,index,operator]
    with pytest.raises(InputError, match=r"stages\.1\.0\.filter is not the filter"):
        read(r3gan_reference.pickled(G_ema=reference))


def _built(found: Network) -> torch.nn.Module:
    from mien.core import discover

    family: types.ModuleType = discover.load("mien.models", found.family)
    config = family.Config(**found.config)
    network: torch.nn.Module = (
        family.build_generator(config, found.spec)
        if found.kind == "generator"
        else family.build(config, found.spec).networks["d"]
    )
    network.load_state_dict(found.tensors)
    return network.eval()


# rosinality


@pytest.mark.slow
@pytest.mark.parametrize("new_format", [True, False])
def test_rosinality_draws_what_its_equations_say(tmp_path: Path, new_format: bool) -> None:
    state = rosinality_reference.state_dict(16, 12, 3, {4: 16, 8: 16, 16: 8})
    path = tmp_path / "010000.pt"
    torch.save(rosinality_reference.file_content(state), path, _use_new_zipfile_serialization=new_format)
    imported = import_file(path)
    loaded, header = read_network(imported.path)
    assert (header.family, header.spec.resolution) == ("stylegan2", 16)
    z = latents([5, 6, 7], 12)
    _, expected = rosinality_reference.picture(state, z)
    assert torch.allclose(loaded(z).double(), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def _rosinality(path: Path) -> Network:
    """In this process, for speed."""
    return convert(_readers.read(path, ["G_ema"]), "G_ema")


@pytest.mark.parametrize("new_bias", [True, False])
def test_rosinality_discriminator_scores_as_its_equations_say(tmp_path: Path, new_bias: bool) -> None:
    state = rosinality_reference.discriminator_state({4: 24, 8: 16, 16: 8})
    path = tmp_path / "a.pt"
    kept = dict(state) if new_bias else {n: _old_bias(n, value) for n, value in state.items()}
    torch.save({"d": kept}, path)
    found = convert(_readers.read(path, ["D"]), "D")
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        ours = _built(found)(images).double()
    expected = rosinality_reference.score(state, images)
    assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    state["convs.1.conv2.0.kernel"] = torch.ones(4, 4) / 16
    torch.save({"d": state}, path)
    with pytest.raises(InputError, match="layers differ in blur_kernel"):
        convert(_readers.read(path, ["D"]), "D")


def _old_bias(name: str, value: torch.Tensor) -> torch.Tensor:
    """Its earlier versions keep the biases of convolutions broadcast."""
    return value.view(1, -1, 1, 1) if name.endswith("bias") and "linear" not in name else value


def test_rosinality_mean_of_w(tmp_path: Path) -> None:
    """Measured where the file has none, else the file's."""
    state = rosinality_reference.state_dict(8, 6, 2, {4: 8, 8: 8})
    path = tmp_path / "a.pt"
    torch.save(rosinality_reference.file_content(state), path)
    measured = _rosinality(path).tensors["mapping.w_avg"].double()
    z = torch.randn(40_000, 6, generator=torch.Generator().manual_seed(9)).double()
    w = rosinality_reference._map({name: value.double() for name, value in state.items()}, z)
    error = (measured - w.mean(0)).abs() / w.std(0)
    assert error.max() < 0.04  # four standard errors of 10,000 samples
    torch.save(rosinality_reference.file_content(state, latent_avg=torch.arange(6.0)), path)
    assert torch.equal(_rosinality(path).tensors["mapping.w_avg"], torch.arange(6.0))


def test_rosinality_of_another_kernel_or_kind_is_refused(tmp_path: Path) -> None:
    state = rosinality_reference.state_dict(8, 6, 2, {4: 8, 8: 8})
    path = tmp_path / "a.pt"
    torch.save({"g_ema": {**state, "convs.0.conv.blur.kernel": torch.ones(4, 4)}}, path)
    with pytest.raises(InputError, match=r"convs\.0\.conv\.blur\.kernel is no low-pass filter"):
        _rosinality(path)
    torch.save({"g_ema": {**state, "iwt.ll": torch.ones(2)}}, path)
    with pytest.raises(InputError, match=r"'iwt\.ll'"):
        _rosinality(path)
    torch.save({"g_ema": state, "x": Fraction(1, 2)}, path)
    with pytest.raises(InputError, match="restricted loader"):
        _rosinality(path)
