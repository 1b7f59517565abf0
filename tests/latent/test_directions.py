"""Files of directions: ours, those of others, damaged ones."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from drawers import plain_file, styled_file
from latent.planted import Planted, drawing, even
from mien.cli import main
from mien.core import packaged
from mien.core.errors import InputError
from mien.core.events import Notice
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes, shape_of
from mien.latent.directions import commands as direction_files
from mien.latent.directions.direction import (
    Accuracy,
    Direction,
    Directions,
    combined,
    default_path,
    export_direction,
    import_direction,
    path_for,
)
from mien.latent.directions.fit import correlation
from mien.latent.layers import layers_text


def _two() -> Directions:
    rng = torch.Generator().manual_seed(0)
    smile = torch.zeros(4, 12)
    smile[1:3] = torch.randn(2, 12, generator=rng)
    age = torch.randn(12, generator=rng).expand(4, 12).clone()
    accuracy = Accuracy(value=0.9, low=0.8, high=0.95, count=60)
    effects = {"smile": 1.0, "age": 0.2}
    several = (
        Direction.of(smile, "smile", method="ridge", accuracy=accuracy, effects=effects),
        Direction.of(age, "age"),
    )
    return Directions(several, "w", "planted-0")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    _two().save(path)
    first = path.read_bytes()
    back = Directions.read(path)
    assert (back.names, back.space, back.model) == (("smile", "age"), "w", "planted-0")
    for old, new in zip(_two(), back, strict=True):
        assert old.about == new.about
        assert torch.equal(old.vector, new.vector)
        assert new.vector.dtype == torch.float32
        assert float(new.vector.norm(dim=1).max()) == pytest.approx(1, abs=1e-6)
    assert back["smile"].about.layers == (1, 2)
    assert back["smile"].about.selectivity == pytest.approx(5)
    back.save(path)
    assert path.read_bytes() == first
    back.check(drawing(Planted(even())), path)


def test_a_unit_is_kept_apart_from_the_unit_vector() -> None:
    step = torch.randn(4, 12) * 7
    direction = Direction.of(step, "x")
    assert torch.allclose(direction.step, step, atol=1e-5)
    with pytest.raises(InputError, match="all zero or not finite"):
        Direction.of(torch.zeros(4, 12), "x")
    with pytest.raises(InputError, match="direction ''"):
        Direction.of(step, "")


def test_several_edits_at_once_and_layers() -> None:
    known = _two()
    both = combined(known, {"smile": 2.0, "age": -1.0})
    assert torch.allclose(both, 2 * known["smile"].step - known["age"].step)
    some = combined(known, {"age": 1.0}, (0, 3))
    assert torch.equal(some[1:3], torch.zeros(2, 12))
    assert torch.equal(some[[0, 3]], known["age"].step[[0, 3]])
    with pytest.raises(InputError, match="no direction 'hat'; there are: smile, age"):
        combined(known, {"hat": 1.0})


@pytest.mark.parametrize("shape", [(1, 12), (12,), (4, 12), (1, 4, 12)])
def test_npy_of_others(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "theirs.npy", values)
    direction = import_direction(tmp_path / "theirs.npy", "theirs", (4, 12))
    assert direction.vector.shape == (4, 12)
    expected = np.broadcast_to(values.reshape(-1, 12), (4, 12))
    assert np.allclose(direction.step.numpy(), expected, atol=1e-5)
    shape_out = export_direction(tmp_path / "ours.npy", direction)
    assert shape_out == ((1, 12) if values.size == 12 else (4, 12))
    out = np.load(tmp_path / "ours.npy")
    assert out.dtype == np.float32
    assert np.linalg.norm(out, axis=1).max() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (np.zeros((1, 12)), "all zero"),
        (np.full((1, 12), np.nan), "all zero or not finite"),
        (np.zeros((1, 13)), r"shape \(1, 13\), and a latent here has \(4, 12\)"),
        (np.zeros((3, 12)), r"shape \(3, 12\)"),
        (np.zeros((0, 12)), r"shape \(0, 12\)"),
        (np.array(["a"]), "no .npy with numbers"),
        (np.array([{"a": 1}]), "no .npy with numbers"),
    ],
)
def test_npy_that_are_none(tmp_path: Path, content: np.ndarray, says: str) -> None:
    np.save(tmp_path / "x.npy", content, allow_pickle=True)
    with pytest.raises(InputError, match=says):
        import_direction(tmp_path / "x.npy", "x", (4, 12))


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    _two().save(path)
    data = path.read_bytes()
    for wrong in (b"", data[:40], data[:-1], b"\xff" * 200, b"PK" + data):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="no file of directions, or damaged"):
            Directions.read(path)
    flipped = bytearray(data)
    flipped[-3] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(InputError, match="not those that were saved"):
        Directions.read(path)
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(3)}, {"mien": json.dumps({"directions": {}})}))
    with pytest.raises(InputError, match="no file of directions"):
        Directions.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        Directions.read(tmp_path / "nothing.safetensors")


def test_directions_of_another_generator(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    known = _two()
    with pytest.raises(InputError, match="directions of planted-0, and the generator here is other-1"):
        known.check(drawing(Planted(even()), "other-1"), path)
    nameless = Directions(known.several, "w")
    with pytest.raises(InputError, match="directions in w of shape"):
        nameless.check(Drawing.of(styled_file(tmp_path), trunc=1, label=()), path)
    with pytest.raises(InputError, match="in z"):
        nameless.check(Drawing.of(plain_file(tmp_path), trunc=1, label=()), path)


def test_where_they_lie(tmp_path: Path) -> None:
    assert default_path(tmp_path) == tmp_path / "directions.safetensors"
    assert default_path(tmp_path / "g.safetensors") == tmp_path / "g.directions.safetensors"
    assert path_for(tmp_path / "g.safetensors") == tmp_path / "g.directions.safetensors"
    assert path_for(packaged.path_of("faces-64")) == Path(
        "faces-64.directions.safetensors"
    )  # not installed files


def test_import_list_show_export(tmp_path: Path) -> None:
    """Commands on a StyleGAN2 file: what fits is taken, what does not is named."""
    model = styled_file(tmp_path)
    rows, dim = shape_of(Drawing.of(model, trunc=1, label=()))
    np.save(tmp_path / "glad.npy", np.ones((1, dim)))
    np.save(tmp_path / "wide.npy", np.ones((1, dim + 1)))
    said: list[object] = []
    files = (tmp_path / "glad.npy", tmp_path / "wide.npy")
    names = direction_files.import_(files, run=model).run(said.append)
    assert names == ("glad",)
    assert any(isinstance(event, Notice) and "wide.npy" in event.text for event in said)
    path = tmp_path / "styled.directions.safetensors"
    assert path.is_file()
    np.save(tmp_path / "sad.npy", -np.ones((rows, dim)))
    assert direction_files.import_((tmp_path / "sad.npy",), run=model).run() == ("glad", "sad")
    assert direction_files.list_directions(model).run() == ("glad", "sad")
    assert direction_files.list_directions(path).run() == ("glad", "sad")
    assert direction_files.show_direction(path, "glad").run() == {}
    assert direction_files.export(model, name="sad", out=tmp_path / "out.npy").run() == (1, dim)
    assert np.allclose(np.load(tmp_path / "out.npy"), -(dim**-0.5))
    with pytest.raises(InputError, match="and a latent here has"):
        direction_files.import_((tmp_path / "wide.npy",), run=model).run()
    with pytest.raises(InputError, match="mien directions learn writes one"):
        direction_files.list_directions(plain_file(tmp_path / "more")).run()


def test_what_commands_on_directions_refuse(tmp_path: Path, fails: Callable[..., str]) -> None:
    model = styled_file(tmp_path)
    rows, dim = shape_of(Drawing.of(model, trunc=1, label=()))
    one, other = tmp_path / "one.npy", tmp_path / "other.npy"
    for path in (one, other):
        np.save(path, np.ones((rows, dim)))
    two = ("directions", "import", one, other, "--run", model, "--name", "glad")
    assert "--name is for a single file" in fails(*two)
    (tmp_path / "run").mkdir()
    export = ("directions", "export", tmp_path / "run", "--name", "one", "--out")
    assert "there are no directions yet; mien directions learn makes them" in fails(*export, "out.npy")
    export = ("directions", "export", model, "--name", "one", "--out")
    direction_files.import_((one,), run=model).run()
    assert "out.txt: directions are written as .npy" in fails(*export, tmp_path / "out.txt")
    huge = tmp_path / "huge.directions.safetensors"
    with huge.open("wb") as file:
        file.truncate(1 << 40)  # a hole, which takes no disk
    with pytest.raises(InputError, match=r"larger than [0-9]+ MiB, which no file of directions is"):
        Directions.read(huge)


def test_how_selective_a_direction_is() -> None:
    """Its effect on its own attribute over the largest on another; of no others nothing is known."""

    def of(**effects: float) -> float | None:
        return Direction.of(torch.ones(2, 3), "smile", effects=effects).about.selectivity

    assert of(smile=2.0, age=-0.5, yaw=0.1) == pytest.approx(4)
    assert of(smile=2.0) is None
    assert of(age=1.0, yaw=2.0) is None


def test_a_correlation_is_of_what_is_known_and_varies() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=50)
    other = one + rng.normal(size=50)
    assert correlation(one, other) == pytest.approx(np.corrcoef(one, other)[0, 1])
    holes = one.copy()
    holes[:10] = np.nan
    assert correlation(holes, other) == pytest.approx(np.corrcoef(one[10:], other[10:])[0, 1])
    assert correlation(one, np.ones(50)) == 0
    assert correlation(one[:1], other[:1]) == 0
    assert correlation(np.full(50, np.nan), other) == 0


def test_without_a_source_it_is_the_packaged_models() -> None:
    names = direction_files.list_directions().run()
    effects = direction_files.show_direction(Path("smile")).run()
    assert max(effects, key=lambda name: abs(effects[name])) == "smile"
    with pytest.raises(InputError, match=f"no direction 'smil'; there are: {', '.join(names)}"):
        direction_files.show_direction(Path("smil")).run()


def test_the_list_of_directions_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are whole words that can be typed after --set."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["directions", "list"]) == 0
    shown = capsys.readouterr().out.split()
    assert set(direction_files.list_directions().run()) < set(shown)


def test_layers_in_words() -> None:
    assert layers_text((0, 1, 2, 5, 7, 8)) == "0-2,5,7-8"
    assert layers_text(()) == ""


def test_codes_of_the_planted_generator() -> None:
    assert Codes.of_seeds(drawing(Planted(even())), [0, 1]).values.shape == (2, 4, 12)
