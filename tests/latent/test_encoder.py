"""`mien encoder`: it learns, goes on where it stopped, and belongs to one generator."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latent.projecting import QUICK, generator_file, without_artefacts
from mien.core import packaged
from mien.core.checkpoint import load_generator, read_header
from mien.core.errors import InputError
from mien.core.events import Event, Events, TrainingTick
from mien.core.image import to_float
from mien.core.network import load_network
from mien.core.packed import PackWriter, encode_png
from mien.core.sampling import draw, latents
from mien.core.styles import draw_styles, styles
from mien.generation.drawing import Drawing
from mien.latent.projection.encoder import encoder, open_encoder, packaged_encoder
from mien.latent.projection.find import Finder
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.project import generated
from mien.models import encoder as family
from mien.models.encoder import PRESETS, draw_latents, from_coordinates

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    without_artefacts(monkeypatch)
    monkeypatch.setitem(
        family.PRESETS,
        "test",
        PRESETS["tiny"].model_copy(update={"batch_size": 20, "width": 8, "hidden": 64, "lr": 4e-3}),
    )


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Square pictures to learn from."""
    rng = np.random.default_rng(0)
    path = tmp_path / "faces.zip"
    with PackWriter(path) as pack:
        for _ in range(30):
            pixels = rng.integers(0, 255, (4, 4, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
            pack.add_png(encode_png(pixels), None, {})
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite", "plain"])
def test_it_learns_to_find_latents(tmp_path: Path, name: str) -> None:
    """Unseen samples end nearer to themselves than the mean is, each pass nearer than the one before."""
    model = generator_file(tmp_path, name)
    path = encoder(model, out=tmp_path / "e", kimg=3, preset="test", device="cpu", precision="fp32").run()
    loaded = load_network(model)
    encoding = open_encoder(path, loaded)
    z = latents(list(range(64)), 8)
    true = styles(loaded.network, z, None) if name == "lite" else z
    images = draw_styles(loaded.network, true) if name == "lite" else draw(loaded.network, z)
    mean = from_coordinates(loaded.network, encoding._encoder.mean[None])
    scale = encoding._encoder.scale.clamp(min=1e-6)

    def error(found: torch.Tensor) -> float:
        return float((((found - true) / scale) * (encoding._encoder.scale > 0)).square().mean())

    nothing, once, twice = (
        error(found)
        for found in (mean.expand_as(true), encoding.latents(images, passes=1), encoding.latents(images))
    )
    assert once < 0.8 * nothing
    assert twice < once
    drawn = draw_latents(loaded.network, encoding.latents(images), None)
    start = draw_latents(loaded.network, mean.expand_as(true), None)
    target = to_float(images)
    assert (drawn - target).square().mean() < 0.8 * (start - target).square().mean()


@pytest.mark.slow
def test_stopped_it_goes_on_as_if_it_had_not(tmp_path: Path, faces: Path) -> None:
    model = generator_file(tmp_path, "lite")

    def stop(event: Event) -> None:
        if isinstance(event, TrainingTick) and event.nimg >= 1000:
            raise KeyboardInterrupt

    arguments = {"data": str(faces), "kimg": 2.0, "preset": "test", "precision": "fp32", "device": "cpu"}
    straight = encoder(model, out=tmp_path / "a", **arguments).run()  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        encoder(model, out=tmp_path / "b", **arguments).run(stop)  # type: ignore[arg-type]
    again = encoder(model, out=tmp_path / "b", **arguments).run()  # type: ignore[arg-type]
    one, two = load_generator(straight)[0], load_generator(again)[0]
    assert all(torch.equal(one[name], two[name]) for name in one)
    header = read_header(again)
    assert (header.kind, header.nimg) == ("encoder", 2000)
    assert header.dataset is not None
    assert header.config["model"] == load_network(model).model
    assert [path.name for path in (tmp_path / "b").glob("*.safetensors")] == ["encoder-000002.safetensors"]


def test_it_begins_with_another_ones_weights(tmp_path: Path) -> None:
    """For another generator of like shapes, whose latents it then counts from; not where shapes differ."""
    one = generator_file(tmp_path, "lite")
    other = generator_file(tmp_path, "lite", seed=2)
    quick: dict[str, Any] = {"kimg": 0.02, "preset": "test", "precision": "fp32", "device": "cpu"}
    before = encoder(one, out=tmp_path / "one", **quick | {"kimg": 0.2}).run()
    after = encoder(other, out=tmp_path / "other", start=before, **quick).run()
    fresh = encoder(other, out=tmp_path / "fresh", **quick).run()
    tensors = {path: load_generator(path)[0] for path in (before, after, fresh)}
    name = "head.1.weight"
    near, far = ((tensors[path][name] - tensors[before][name]).norm() for path in (after, fresh))
    assert near < 0.1 * far
    assert torch.equal(tensors[after]["scale"], tensors[fresh]["scale"])
    assert not torch.equal(tensors[after]["scale"], tensors[before]["scale"])
    with pytest.raises(InputError, match=r"--from .*: an encoder of another shape"):
        encoder(generator_file(tmp_path, "stylegan2"), out=tmp_path / "s", start=before, **quick).run()


@pytest.mark.slow
def test_a_packaged_generator_brings_its_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used where none is named; one of another version of the generator is passed over."""
    assets = tmp_path / "assets"
    assets.mkdir()
    model = generator_file(tmp_path, "lite").rename(assets / "faces-64.safetensors")
    monkeypatch.setattr(packaged, "folder", lambda: assets)
    loaded = load_network(None)
    assert packaged_encoder(loaded) is None
    package = runpy.run_path(str(BENCHMARKS / "package_encoder.py"))["package"]
    made = encoder(model, out=tmp_path / "e", kimg=0.2, preset="test", device="cpu").run()
    path = packaged.encoder_of("faces-64")
    package(made, path)
    assert packaged.names() == ("faces-64",)
    assert packaged_encoder(loaded) == path
    assert path.stat().st_size < 0.7 * made.stat().st_size
    events = Events(lambda event: None)
    drawing = Drawing(loaded, 1.0, ())
    by_default = Finder(drawing, QUICK.model_copy(update={"steps": None}), events)
    assert by_default.options.encoder == path
    assert by_default.options.num_steps == 100
    for aside in ({"method": "optimise"}, {"space": "z"}, {"init": tmp_path / "w.npz"}):
        assert Finder(drawing, QUICK.model_copy(update=aside), events).options.encoder is None
    found = generated(out=tmp_path / "p", seeds="0-1", options=QUICK.model_copy(update={"steps": 2})).run()
    assert len(found) == 2
    assert "both" in (tmp_path / "p" / "report.html").read_text()
    with pytest.raises(InputError, match="it finds latents in w, and --space z is searched"):
        generated(out=tmp_path / "z", options=QUICK.model_copy(update={"encoder": path, "space": "z"})).run()
    generator_file(tmp_path, "lite", seed=2).rename(model)
    assert packaged_encoder(load_network(None)) is None
    with pytest.raises(SystemExit, match=r"an encoder for lite-.*, and the packaged generator is lite-"):
        package(made, path)


def test_the_encoder_that_comes_with_mien_fits_the_model_that_does() -> None:
    if packaged.encoder_of(packaged.DEFAULT).exists():
        assert packaged_encoder(load_network(None)) is not None


@pytest.mark.slow
def test_projection_by_encoder_and_from_its_guess(tmp_path: Path) -> None:
    model = generator_file(tmp_path, "lite")
    path = encoder(model, out=tmp_path / "e", kimg=2, preset="test", device="cpu", precision="fp32").run()
    errors = {}
    for method in ("encoder", "both"):
        options = QUICK.model_copy(update={"encoder": path, "method": method, "steps": 20})
        found = generated(model, out=tmp_path / method, seeds="0-3", options=options).run()
        errors[method] = np.mean([projection.scores.error for projection in found])
    assert errors["both"] < 0.5 * errors["encoder"]
    folder = QUICK.model_copy(update={"encoder": tmp_path / "e", "method": "encoder"})
    assert generated(model, out=tmp_path / "f", seeds="0", options=folder).run()


def test_bad_input(tmp_path: Path, faces: Path) -> None:
    lite, other = generator_file(tmp_path, "lite"), generator_file(tmp_path, "stylegan2")
    path = encoder(lite, out=tmp_path / "e", kimg=0.02, preset="test", device="cpu").run()
    with pytest.raises(InputError, match=r"an encoder for lite-.*, and the generator here is stylegan2-"):
        open_encoder(path, load_network(other))
    with pytest.raises(InputError, match="it holds 'generator', and here a 'encoder' is needed"):
        open_encoder(lite, load_network(lite))
    gray = generator_file(tmp_path, "lite", channels=1)
    with pytest.raises(
        InputError, match="pictures of 16 px with 3 channels, and the generator's have 16 px and 1"
    ):
        encoder(gray, out=tmp_path / "g", data=str(faces), device="cpu").run()
    with pytest.raises(InputError, match="--preset big: choose from default, tiny"):
        encoder(lite, out=tmp_path / "g", preset="big").run()
    with pytest.raises(InputError, match="more than 0"):
        encoder(lite, out=tmp_path / "g", minutes=0).run()
    with pytest.raises(InputError, match=r"another encoder was trained there \(seed differ\)"):
        encoder(lite, out=tmp_path / "e", seed=1, preset="test", device="cpu").run()
    with pytest.raises(InputError, match="mien encoder RUN --out FOLDER"):
        family.lesson(PRESETS["tiny"], None)  # type: ignore[arg-type]


def test_lbfgs_follows_a_guess_unless_it_cannot(tmp_path: Path) -> None:
    options = ProjectOptions(encoder=tmp_path)
    assert options.chosen_optimiser == "lbfgs"
    for more in ({"lr": 0.1}, {"noise": True}, {"initial_noise": 0.05}, {"method": "optimise"}):
        assert options.model_copy(update=more).chosen_optimiser == "adam"
    model = generator_file(tmp_path, "lite")
    for more in ({"lr": 0.1}, {"noise": True}, {"initial_noise": 0.05}):
        both = QUICK.model_copy(update={"optimiser": "lbfgs", **more})
        with pytest.raises(InputError, match="--optimiser lbfgs: it finds latents alone"):
            generated(model, out=tmp_path / "no", options=both).run()
    errors = {}
    for optimiser in ("adam", "lbfgs"):
        way = QUICK.model_copy(update={"optimiser": optimiser})
        found = generated(model, out=tmp_path / optimiser, seeds="0-1", options=way).run()
        errors[optimiser] = np.mean([projection.scores.error for projection in found])
    assert errors["lbfgs"] < errors["adam"]
