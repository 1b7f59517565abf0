"""Which files `mien generate` writes, and what it says of seeds, labels, truncation and odd pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mien.core.checkpoint import NetworkHeader, load_generator, save_generator
from mien.core.errors import InputError, MienError
from mien.core.events import Event, Notice
from mien.core.sampling import batch_for
from mien.core.seeds import check_psi, psi_note
from mien.core.types import Spec
from mien.generation import batches, files
from mien.generation.files import ending_of
from mien.generation.generate import generate
from mien.models import lite

CONFIG = lite.PRESETS["default"].model_copy(update={"width_g": 4, "z_dim": 8})


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def model(path: str = "g.safetensors", *, names: tuple[str, ...] = (), rows: Any = (), seed: int = 1) -> Path:
    torch.manual_seed(seed)
    spec = Spec(16, 3, len(names), names)
    network = lite.build_generator(CONFIG, spec)
    state = {
        n: v + torch.randn(v.shape) if v.is_floating_point() else v for n, v in network.state_dict().items()
    }
    state |= {name: value.abs() for name, value in state.items() if name.endswith("running_var")}
    header = NetworkHeader(
        **{"family": "lite", "config": CONFIG.model_dump(), "spec": spec, "nimg": 0, "tool": "mien"},
        label_rows=rows,
    )
    save_generator(Path(path), state, header)
    return Path(path)


def drawn(*arguments: Any, **options: Any) -> tuple[list[str], str]:
    """The names written and what was said."""
    heard: list[Event] = []
    written = generate(*arguments, out=Path("o"), **options).run(heard.append)
    assert all(path.is_file() for path in written)
    return [path.name for path in written], "\n".join(e.text for e in heard if isinstance(e, Notice))


def test_a_seed_named_twice_is_drawn_once() -> None:
    names, said = drawn(model(), seeds="3,1-3,1")
    assert names == ["seed0003.png", "seed0001.png", "seed0002.png"]
    assert "--seeds names 2 seeds twice" in said
    assert "wrote 3 file(s)" in said
    assert "again" not in drawn(model(), seeds="1-3")[1]


def test_another_label_in_the_same_folder_gets_names_of_its_own() -> None:
    file = model(names=("man", "woman"), rows=((1.0, 0.0), (0.0, 1.0)))
    first, _ = drawn(file, seeds="0-1", label=("man",))
    second, _ = drawn(file, seeds="0-1", label=("woman",))
    assert first == ["seed0000.png", "seed0001.png"]
    assert second == ["seed0000-woman.png", "seed0001-woman.png"]
    pictures = [np.asarray(Image.open(Path("o") / name)) for name in (first[0], second[0])]
    assert not np.array_equal(*pictures)
    assert drawn(file, seeds="0-1", label=("man",))[0] == first  # the same again takes its own place
    assert drawn(file, seeds="0-1", label=("woman",))[0] == second
    grids = [drawn(file, seeds="0-1", label=(one,), grid=True)[0] for one in ("man", "woman")]
    assert grids == [["grid-0000-0001.png"], ["grid-0000-0001-woman.png"]]


@pytest.mark.parametrize("rows", [((1.0, 0.0), (0.0, 1.0)), ()])
def test_one_label_spelt_in_other_ways_is_one_picture(rows: Any) -> None:
    file = model(names=("calm", "glad"), rows=rows)
    drawn(file, seeds="0", label=("glad",))
    spelt = ["calm", "Calm", "0", *(["class=calm"] if rows else ["calm=yes"])]
    assert {drawn(file, seeds="0", label=(one,))[0][0] for one in spelt} == {"seed0000-calm.png"}
    assert drawn(file, seeds="0", label=("Calm", "calm"))[0] == ["seed0000-calm.png"]


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_another_truncation_takes_no_other_s_place(form: Any) -> None:
    file = model()
    first, _ = drawn(file, seeds="0", trunc=0.5, format=form)
    assert (first, drawn(file, seeds="0", format=form)[0]) == (
        [f"seed0000.{form}"],
        [f"seed0000-trunc1.{form}"],
    )
    assert (
        drawn(file, seeds="0-70", trunc=0.5, format=form)[0][0] == first[0]
    )  # another batch rounds otherwise
    other = drawn(model("other.safetensors", seed=2), seeds="0", format=form)[0]
    assert other == first  # of another model: as ever


def test_a_grid_of_other_truncation_takes_no_other_s_place() -> None:
    file = model()
    for _ in range(2):  # the same again takes its own place
        for psi, name in ((0.5, "grid-0000-0003.png"), (0.123456789, "grid-0000-0003-trunc0.123456789.png")):
            assert drawn(file, seeds="0-3", trunc=psi, grid=True)[0] == [name]
    assert len(list(Path("o").iterdir())) == 2


@pytest.mark.parametrize("label", ["a/../b", "a b", "x" * 300, "\x1b[2J"])
def test_labels_become_safe_names_that_differ(label: str) -> None:
    names = {ending_of((text,), 1.0) for text in (label, label + "!", label + "?", "a-b", "a-..-b")}
    assert len(names) == 5
    assert all("/" not in name and name.isprintable() and len(name) < 100 for name in names)
    assert ending_of(("smiling=1", "γυναίκα"), 0.5) == "-smiling=1+γυναίκα-trunc0.5"


def test_a_class_that_no_picture_had_is_noted() -> None:
    file = model(names=("man", "woman"), rows=((1.0, 0.0),) * 3)
    assert "none of the 3 pictures whose labels the file keeps was woman" in drawn(file, label=("woman",))[1]
    assert "none of" not in drawn(file, label=("man",))[1]
    assert "none of" not in drawn(model(names=("man", "woman")), label=("woman",))[1]  # not known


def test_pictures_of_others_that_are_replaced_are_counted() -> None:
    first, second = model("a.safetensors"), model("b.safetensors", seed=2)
    assert "replaced" not in drawn(first, seeds="0-2")[1]
    assert "replaced" not in drawn(first, seeds="0-3")[1]  # its own
    said = drawn(second, seeds="2-5")[1]
    assert "o: 2 file(s) of lite-" in said  # seeds 2 and 3
    assert "are replaced; another --out keeps them" in said
    for file in (first, second):
        assert "replaced" not in drawn(file, seeds="2-5", grid=True)[1]  # a grid keeps another's
    assert len(list(Path("o").glob("grid*"))) == 2
    Image.new("RGB", (16, 16)).save("o/seed0009.png")
    assert "o: 1 file(s) that mien did not make are replaced" in drawn(second, seeds="9")[1]
    Path("o/seed0010.png").write_text("no picture")
    assert "that mien did not make" in drawn(second, seeds="10")[1]


def test_truncation_beyond_the_usual_is_allowed_with_a_note() -> None:
    file = model()
    assert "--trunc 1.5: beyond 1" in drawn(file, trunc=1.5)[1]
    assert "--trunc -0.5: below 0" in drawn(file, trunc=-0.5)[1]
    assert "--trunc 0: the mean face" in drawn(file, trunc=0.0)[1]
    assert psi_note(1) == psi_note(0.3) == ""
    for psi in (float("nan"), float("inf"), 1e9):
        with pytest.raises(InputError, match=f"--trunc {psi}"):
            check_psi(psi)


def test_pictures_of_one_colour_and_alike_are_noted() -> None:
    file = model()
    assert "pictures are" not in drawn(file)[1]
    tensors, header = load_generator(file)
    save_generator(file, {name: torch.zeros_like(value) for name, value in tensors.items()}, header)
    assert "16 of 16 pictures are of one colour" in drawn(file)[1]
    collapse = batches.CollapseCheck()
    noise = torch.randint(0, 255, (3, 8, 8), dtype=torch.uint8)
    list(collapse.watch([([0, 1], torch.stack([noise, noise])), ([2], noise[None])]))
    assert collapse.note() == "all 3 pictures are the same: the model has collapsed"


def test_after_a_full_disk_what_was_written_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    write = files.write_bytes

    def full(path: Path, data: bytes) -> None:
        if path.name == "seed0005.png":
            raise MienError(f"{path}: no space left on disk")
        write(path, data)

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(MienError, match=r"no space left on disk \(5 of 16 pictures were written before\)"):
        drawn(model())
    assert len(list(Path("o").glob("*.png"))) == 5


def test_large_pictures_are_drawn_fewer_at_a_time() -> None:
    sizes = (16, 64, 128, 256, 512, 1024, 4096)
    assert [batch_for(size) for size in sizes] == [64, 64, 64, 16, 4, 1, 1]
