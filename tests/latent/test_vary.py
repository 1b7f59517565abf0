"""`mien vary` and the sources that mix and vary take: seeds, files of latents, photos."""

from pathlib import Path

import numpy as np
import pytest
import torch

from drawers import alike
from latent.projecting import QUICK, generator_file, without_artefacts
from latent.test_paste import KnownFaces, known_face
from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.packed import encode_png
from mien.core.picture import read_picture
from mien.core.provenance import verify
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.mix import mix
from mien.latent.projection.project import generated
from mien.latent.sources import read_sources
from mien.latent.vary import vary
from rendered_heads import heads


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    without_artefacts(monkeypatch)


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pictures, points = heads(1)
    path = tmp_path / "me.png"
    path.write_bytes(encode_png(pictures[0]))
    finder = KnownFaces({(160, 160): [known_face(points[0])]})
    monkeypatch.setattr("mien.latent.projection.targets.open_face_finder", lambda events: finder)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return generator_file(tmp_path, "lite")


def drawing_of(model: Path) -> Drawing:
    return Drawing.of(model, trunc=1.0, label=())


def test_sources_stand_in_the_order_they_are_named(tmp_path: Path, model: Path, photo: Path) -> None:
    drawing = drawing_of(model)
    file = tmp_path / "kept.npz"
    Codes.of_seeds(drawing, [7, 8]).save(file)
    named = read_sources(f"0-1,{file},{photo},3", drawing, Events(), steps=5)
    assert named.names == ("seed0000", "seed0001", "kept-0", "kept-1", "me", "seed0003")
    seeds = Codes.of_seeds(drawing, [0, 1, 7, 8, 3]).values
    assert torch.allclose(named.codes.values[[0, 1, 2, 3, 5]], seeds, atol=1e-5)
    alone = read_sources(str(photo), drawing, Events(), steps=5)
    assert torch.allclose(alone.codes.values, named.codes.values[4:5], atol=1e-5)


def test_mixing_takes_files_and_photos_beside_seeds(tmp_path: Path, model: Path, photo: Path) -> None:
    file = tmp_path / "kept.npz"
    Codes.of_seeds(drawing_of(model), [7, 8]).save(file)
    mix(model, rows="7-8", columns="1,7", out=tmp_path / "seeds.png").run()
    mix(model, rows=str(file), columns="1,7", out=tmp_path / "files.png").run()
    assert np.array_equal(read_picture(tmp_path / "seeds.png"), read_picture(tmp_path / "files.png"))
    mix(model, rows=f"1,{photo}", columns=str(file), steps=5, out=tmp_path / "photo.png").run()
    assert read_picture(tmp_path / "photo.png").shape[0] == 16 * 3 + 2


def test_strength_and_kept_layers(tmp_path: Path, model: Path) -> None:
    drawing = drawing_of(model)
    own = Codes.of_seeds(drawing, [3]).values[0]
    still = vary("3", out=tmp_path / "a", model=model, count=2, strength=0.0).run()
    assert torch.allclose(still.values, own.expand(3, -1, -1), atol=1e-6)
    rows = own.shape[0]
    far = []
    for strength in (0.1, 0.3):
        codes = vary("3", out=tmp_path / "b", model=model, count=4, strength=strength, keep="0-1").run()
        assert torch.equal(codes.values[1:, :2], own[:2].expand(4, -1, -1))
        assert not torch.equal(codes.values[1, 2:], own[2:])
        far.append(float((codes.values[1:] - own).norm()))
    assert far[1] == pytest.approx(3 * far[0], rel=1e-4)
    default = vary("3", out=tmp_path / "c", model=model, count=1).run()
    kept = [row for row in range(rows) if torch.equal(default.values[1, row], own[row])]
    assert kept == list(range((rows + 1) // 3))
    free = vary("3", out=tmp_path / "d", model=model, count=1, keep="none").run()
    length = free.values[1, 0, :8].square().mean().item()
    assert length == pytest.approx(1, abs=1e-3), "lite's latent stays on its sphere"
    assert not torch.equal(free.values[1, 0], own[0])


def test_what_it_writes(tmp_path: Path, model: Path, photo: Path) -> None:
    out = tmp_path / "out"
    codes = vary(str(photo), out=out, model=model, count=3, steps=5).run()
    assert sorted(path.name for path in out.iterdir()) == [
        "face.png", "vary.png", "vary001.png", "vary002.png", "vary003.png", "vary_w.npz",
    ]  # fmt: skip
    again = Codes.read(out / "vary_w.npz", drawing_of(model))
    assert torch.equal(again.values, codes.values)
    pictures = again.draw(drawing_of(model)).permute(0, 2, 3, 1).numpy()
    assert alike(read_picture(out / "vary002.png"), pictures[2])
    mark = verify(out / "vary.png")
    assert mark is not None
    assert mark.model.startswith("lite-")
    assert read_picture(out / "vary.png").shape == (32, 32, 3)


def test_models_without_w_vary_in_z(tmp_path: Path) -> None:
    model = generator_file(tmp_path, "plain")
    near = vary("3", out=tmp_path / "a", model=model, count=8, strength=0.2).run()
    far = vary("3", out=tmp_path / "b", model=model, count=8, strength=0.8).run()
    assert near.space == "z"

    def cosine(codes: Codes) -> float:
        return float(torch.cosine_similarity(codes.values[:1], codes.values[1:]).mean())

    assert 1 > cosine(near) > cosine(far) > 0
    with pytest.raises(InputError, match="--keep coarse: a lite model has no layers of w"):
        vary("3", out=tmp_path / "c", model=model, keep="coarse").run()


def test_a_projection_can_be_varied(tmp_path: Path, model: Path) -> None:
    generated(model, out=tmp_path / "p", seeds="0", options=QUICK).run()
    file = tmp_path / "p" / "seed0000" / "projected_w.npz"
    vary(str(file), out=tmp_path / "v", model=model, count=1).run()
    face = read_picture(tmp_path / "v" / "face.png")
    assert alike(face, read_picture(file.with_name("proj.png")))


@pytest.mark.parametrize(
    ("face", "changes", "says"),
    [
        ("nobody.jpg", {}, "'nobody.jpg' is neither a seed like 0-3 nor a file of latents or a photo"),
        ("", {}, "'' is neither a seed"),
        ("none.npz", {}, "none.npz: no latents can be read from it"),
        ("3", {"count": 0}, "--count 0 --strength 0.4: between 1 and 1024, 0 and 2"),
        ("3", {"strength": -1.0}, "--strength -1.0"),
        ("3", {"which": "all"}, "--face all: faces near one are drawn; give its number"),
        ("3", {"keep": "9"}, "--keep 9: a range must rise, and this model has layers 0-2"),
        ("3-2", {}, "must rise"),
    ],
)
def test_bad_input(tmp_path: Path, model: Path, face: str, changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        vary(face, out=tmp_path / "out", model=model, **changes).run()  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_labels_of_z_are_kept_in_files(tmp_path: Path) -> None:
    model = generator_file(tmp_path, "plain", labels=("woman", "man"))
    drawing = Drawing.of(model, trunc=1.0, label=("woman",))
    codes = Codes.of_seeds(drawing, [0, 1])
    with_labels = Codes(codes.values, "z", codes.model, torch.tensor([[0.0, 1], [1, 0]]))
    with_labels.save(tmp_path / "z.npz")
    again = Codes.read(tmp_path / "z.npz", drawing)
    assert torch.equal(again.labels, with_labels.labels)  # type: ignore[arg-type]
    assert torch.equal(again.draw(drawing)[1], codes.draw(drawing)[1])
    assert not torch.equal(again.draw(drawing)[0], codes.draw(drawing)[0])
    np.savez(tmp_path / "bad.npz", z=codes.values.numpy(), label=np.zeros((1, 2), np.float32))
    with pytest.raises(InputError, match=r"labels of shape \(1, 2\), and here they are \(2, 2\)"):
        Codes.read(tmp_path / "bad.npz", drawing)
