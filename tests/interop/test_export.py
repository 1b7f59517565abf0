"""What `mien export` writes draws as the generator does, with onnxruntime and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import forked
from mien.cli import main
from mien.core import discover
from mien.core.checkpoint import DatasetInfo, NetworkHeader, load_generator, model_id, save_generator
from mien.core.errors import InputError, MienError
from mien.core.family import GENERATOR, kind_of
from mien.core.network import read_network
from mien.core.provenance import verify
from mien.core.run import RunFolder
from mien.core.types import Spec
from mien.generation.generate import generate
from mien.interop import onnx_file, sandbox
from mien.interop.export import export
from mien.nn.stylegan1 import ONE

pytestmark = pytest.mark.usefixtures("warm_sandbox")
SMALL = {
    "dcgan": {"z_dim": 8, "width_g": 4},
    "lite": {"mapping_layers": 2, "w_dim": 16, "z_dim": 8, "width_g": 4},
    "stylegan2": {"z_dim": 8, "w_dim": 8, "channel_base": 32, "channel_max": 8},
    "stylegan1": {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 32, "channel_max": 8}
    | {"first_size": 4},
    "r3gan": {"z_dim": 8, "channel_base": 128, "channel_max": 8, "blocks": 1},
    "dense": {"z_dim": 8, "channel_base": 128, "channel_max": 8},
}
SIDES = {"stylegan1": 8, "stylegan2": 8}  # where every kind of layer is there; others have them all at 16
NAMES = ("man", "woman")


def saved(path: Path, family: str, *, labels: int = 0) -> Path:
    """A generator of random weights (no zeros, which would hide a part) as a file of ours."""
    torch.manual_seed(3)
    module = discover.load("mien.models", family)
    spec = Spec(SIDES.get(family, 16), 3, labels, NAMES[:labels])
    config = module.Config(**SMALL[family])
    network = module.build_generator(config, spec)
    state = {
        name: value + 0.3 * torch.randn(value.shape)
        if value.is_floating_point() and "filter" not in name
        else value
        for name, value in network.state_dict().items()
    }
    state |= {name: value.abs() for name, value in state.items() if name.endswith("running_var")}
    if "synthesis.level" in state:
        state["synthesis.level"].fill_(ONE)  # fully grown
    data = DatasetInfo(name="faces", content_hash="ab" * 32, num_images=123)
    header = NetworkHeader(
        family=family, config=config.model_dump(), spec=spec, nimg=5000, tool="mien test", dataset=data
    )
    save_generator(path, state, header)
    return path


def test_no_generator_family_is_left_out() -> None:
    families = discover.names("mien.models")
    assert {name for name in families if kind_of(discover.load("mien.models", name)) == GENERATOR} == set(
        SMALL
    )


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A generator of men and women, and what is exported of it."""
    folder = tmp_path_factory.mktemp("labelled")
    source = saved(folder / "g.safetensors", "lite", labels=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "subprocess", forked.LIKE_SUBPROCESS)
        export(source, folder / "g.onnx").run()
    return source, folder / "g.onnx"


@pytest.mark.slow
@pytest.mark.parametrize("grown", [0.0, 0.4])
def test_a_half_grown_generator_draws_as_far_as_it_has_grown(tmp_path: Path, grown: float) -> None:
    tensors, header = load_generator(saved(tmp_path / "full.safetensors", "stylegan1"))
    tensors["synthesis.level"].fill_(round(grown * ONE))
    source = tmp_path / "half.safetensors"
    save_generator(source, tensors, header)
    written = export(source, tmp_path / "half.onnx").run()
    assert written.difference is not None
    assert written.difference < 1e-3
    z = torch.randn(2, 8)
    ours = read_network(source)[0](z)
    assert torch.allclose(onnx_file.OnnxGenerator(tmp_path / "half.onnx")(z), ours, atol=1e-3)
    blocks = ours.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).transpose(3, 4)
    flat = bool((blocks == blocks[..., :1, :1]).all())
    assert flat == (grown == 0)  # from 4 px, every pixel shows four times


@pytest.mark.slow
@pytest.mark.parametrize("family", SMALL)
def test_onnx_draws_as_torch_does(tmp_path: Path, family: str) -> None:
    labels = 2 if family in ("lite", "stylegan2") else 0
    source = saved(tmp_path / "g.safetensors", family, labels=labels)
    written = export(source, tmp_path / "g.onnx").run()
    assert written.difference is not None
    assert written.difference < 1e-3
    network, _ = read_network(source)
    exported = onnx_file.OnnxGenerator(tmp_path / "g.onnx")
    for count, psi in ((1, 1.0), (5, 0.4)):
        z = torch.randn(count, 8)
        label = torch.eye(2)[torch.arange(count) % 2] if labels else None
        ours = network(z, label, psi=psi)
        assert ours.std() > 1e-3  # a blank picture would agree with anything
        assert torch.allclose(exported(z, label, psi=psi), ours, atol=1e-3)
    if labels:  # and labels matter
        swapped = torch.eye(2)[(torch.arange(count) + 1) % 2]
        assert (exported(z, swapped, psi=psi) - ours).abs().max() > 1e-3


@pytest.mark.slow
def test_generate_draws_the_same_files_from_onnx(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    for path, out in zip(labelled, "ab", strict=True):
        arguments = ["generate", str(path), "--seeds", "0-2", "--label", "woman", "--trunc", "0.7"]
        assert main([*arguments, "--out", str(tmp_path / out)]) == 0
    for seed in range(3):
        first, second = (tmp_path / out / f"seed000{seed}.png" for out in "ab")
        pixels = [np.asarray(Image.open(path)).astype(int) for path in (first, second)]
        assert abs(pixels[0] - pixels[1]).max() <= 1
        assert verify(second) == verify(first)
        assert verify(second).model == model_id(labelled[0])  # type: ignore[union-attr]


@pytest.mark.slow
def test_onnx_asks_for_a_label_and_knows_their_names(
    labelled: tuple[Path, Path], tmp_path: Path, fails: Callable[..., str]
) -> None:
    command = ["generate", labelled[1], "--out", tmp_path / "o"]
    assert "man, woman" in fails(*command)
    assert "man, woman" in fails(*command, "--label", "dog")


def test_safetensors_are_the_same_network_with_a_card(tmp_path: Path) -> None:
    source = saved(tmp_path / "g.safetensors", "lite")
    written = export(source, tmp_path / "out" / "faces.safetensors").run()
    mine, theirs = load_generator(source), load_generator(written.path)
    assert mine[1] == theirs[1]
    assert all(torch.equal(theirs[0][name], value) for name, value in mine[0].items())
    card = written.card.read_text("utf-8")
    assert written.card == tmp_path / "out" / "faces.md"
    for fact in ("ab" * 32, "123 pictures", "16x16", "5,000", model_id(source), "Intended use", "Limits"):
        assert fact in card
    assert "not known" in card  # the licence


def test_card_names_the_licences_of_the_data(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs", "x")
    run.write_config({"family": "lite", "dataset": {"source": "rendered:20:16"}})
    saved(run.generator(5000), "lite")
    assert "CC0-1.0" in export(run.path, tmp_path / "g.safetensors").run().card.read_text("utf-8")
    pictures = tmp_path / "data.zip"
    assert main(["render", str(pictures), "--count", "2", "--size", "16"]) == 0
    run.write_config({"family": "lite", "dataset": {"source": str(pictures)}})
    assert "CC0-1.0 (2)" in export(run.path, tmp_path / "g.safetensors").run().card.read_text("utf-8")


@pytest.mark.slow
def test_a_wrong_onnx_is_not_written(
    labelled: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the exporter had written the graph of other weights."""
    tensors, header = load_generator(labelled[0])
    source = tmp_path / "g.safetensors"
    save_generator(source, {name: value * 1.1 for name, value in tensors.items()}, header)
    wrong = onnx.load(labelled[1])
    del wrong.metadata_props[:]
    monkeypatch.setattr(onnx_file, "_graph", lambda network, spec: wrong)
    with pytest.raises(MienError, match="differ"):
        export(source, tmp_path / "g.onnx").run()
    assert not (tmp_path / "g.onnx").exists()


def test_bad_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved(tmp_path / "g.safetensors", "lite")
    for out, words in (("g.pt", ".onnx"), ("g.safetensors", "another name")):
        with pytest.raises(InputError, match=words):
            export(source, tmp_path / out).run()
    with pytest.raises(InputError, match="exported already"):
        export(tmp_path / "g.onnx", tmp_path / "h.onnx").run()
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install -c constraints.txt '\.\[export\]'"):
        export(source, tmp_path / "g.onnx").run()


@pytest.mark.slow
def test_bad_onnx_files(tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    path.write_bytes(b"not onnx")
    with pytest.raises(InputError, match=r"g\.onnx: not an ONNX file"):
        generate(path, out=tmp_path / "o").run()
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["x"], ["y"])],
        "g",
        [value],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, path)
    with pytest.raises(InputError, match="not a generator exported by mien"):
        generate(path, out=tmp_path / "o").run()
    for key, text in (("mien", json.dumps({"family": 1})), ("model", "x")):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text
    onnx.save(model, path)
    with pytest.raises(InputError, match="header is damaged"):
        generate(path, out=tmp_path / "o").run()
