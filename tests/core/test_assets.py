"""The assets themselves: they reach the wheel, are small, and say of themselves what they must."""

import shutil
from pathlib import Path

import pytest
from setuptools import Distribution
from setuptools.command.build_py import build_py

from mien.core import packaged
from mien.core.checkpoint import load_generator, model_id, read_header
from mien.core.provenance import Provenance
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes, moved
from mien.latent.directions.direction import default_path, read_directions

ROOT = Path(__file__).resolve().parents[2]


def wheel_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The data files that setuptools puts beside the modules, as paths in the wheel."""
    monkeypatch.chdir(root)
    distribution = Distribution({"script_name": "setup.py"})
    distribution.parse_config_files(["pyproject.toml"])
    command = build_py(distribution)
    command.finalize_options()
    return {
        f"{source}/{name}".removeprefix("src/")
        for _, source, _, names in command.data_files
        for name in names
    }


@pytest.mark.filterwarnings("ignore")  # setuptools' own
def test_a_wheel_holds_whatever_lies_among_the_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    folder = tmp_path / "src" / "mien" / "assets"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    names = ("faces-64.safetensors", "faces-64.discriminator.safetensors", "faces-64.md")
    for name in names:
        (folder / name).write_bytes(b"x")
    assert {f"mien/assets/{name}" for name in names} <= wheel_files(tmp_path, monkeypatch)


def test_a_mark_of_no_model_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "folder", lambda: tmp_path)
    (tmp_path / "faces-64.safetensors").write_bytes(b"anything")
    for model in ("", "lite-", "lite-012", "another tool's"):
        assert packaged.name_of_model(model) is None
    assert packaged.name_of_model(Provenance("lite-ee0874170b7f", None, "").model) == "faces-64"


@pytest.fixture
def shipped() -> tuple[str, ...]:
    """The models that this package has."""
    if not packaged.names():
        pytest.skip("no model is packaged here")
    return packaged.names()


def test_what_ships_is_small(shipped: tuple[str, ...]) -> None:
    files = [path for path in packaged.folder().iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= packaged.MOST_BYTES
    known = {path.name for path in files}
    expected = {
        f"{name}{end}" for name in shipped for end in (".safetensors", ".discriminator.safetensors", ".md")
    }
    beside = {"faces-64.detector.safetensors", "faces-64.detector.md", "faces-64.encoder.safetensors"}
    assert known - beside - {"faces-64.directions.safetensors"} == expected


def test_the_directions_that_ship_are_of_the_model_that_ships(shipped: tuple[str, ...]) -> None:
    """Each moves the drawn faces, and says how far and how surely."""
    drawing = Drawing.of(None, trunc=1.0, label=())
    known = read_directions(default_path(packaged.path_of(shipped[0])), drawing)
    assert {"smile", "yaw", "age", "female", "mouth_open", "glasses", "hair_lightness"} <= set(known.names)
    codes = Codes.of_seeds(drawing, range(4))
    still = codes.draw(drawing).float()
    for one in known:
        changed = moved(drawing, codes, one.step).draw(drawing).float()
        assert (changed - still).abs().mean() > 2, one.name
        assert one.about.accuracy is not None
        assert one.about.accuracy.value >= 0.85, one.name
        assert one.about.reach is not None
        assert one.about.reach[0] < 0 < one.about.reach[1]


def test_what_ships_says_what_it_is(shipped: tuple[str, ...]) -> None:
    for name in shipped:
        tensors, header = load_generator(packaged.path_of(name))
        assert (header.kind, header.family) == ("generator", "lite")
        assert (header.spec.channels, header.spec.label_dim) == (3, 0)
        assert name == f"faces-{header.spec.resolution}"
        assert header.nimg > 100_000  # trained, no placeholder
        assert header.dataset is not None
        assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())
        beside = read_header(packaged.discriminator_of(name))
        assert (beside.kind, beside.origin, beside.config) == ("discriminator", header.origin, header.config)


def test_its_card_is_of_that_file_and_gives_terms(shipped: tuple[str, ...]) -> None:
    for name in shipped:
        card = (packaged.folder() / f"{name}.md").read_text("utf-8")
        assert model_id(packaged.path_of(name)) in card
        for word in ("Licence", "Trained on", "Limits", "hold-out", "Nearest"):
            assert word in card, word
