"""Edits, strips, films: what is written, that it is marked, and bad input."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from projecting import without_artefacts
from test_paste import KnownFaces, known_face

from drawers import alike, plain_file, styled_file
from mien.core.errors import InputError, MienError
from mien.core.events import Event, Notice
from mien.core.image import to_hwc
from mien.core.packed import encode_png
from mien.core.picture import read_picture
from mien.core.provenance import SourceType, verify
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes, moved, shape_of, space_of
from mien.latent.directions.direction import Direction, Directions, combined
from mien.latent.editing.edit import edit, parse_edits, safe_name
from mien.latent.layers import layer_blocks, row_groups
from mien.latent.strips import amounts, strip, wave
from packaged_model import CONFIG, package
from rendered_heads import heads
from served import ended_by_ctrl_c, started


def _with_directions(model: Path) -> Drawing:
    """Two random directions beside a generator's file; of one it is known how far it goes."""
    drawing = Drawing.of(model, trunc=1, label=())
    rng = torch.Generator().manual_seed(0)
    several = tuple(
        Direction.of(torch.randn(shape_of(drawing), generator=rng), name, reach=reach)
        for name, reach in (("smile", (-1.0, 2.0)), ("a/b", None))
    )
    known = Directions(several, space_of(drawing), drawing.loaded.model)
    known.save(model.with_name(f"{model.stem}.directions.safetensors"))
    return drawing


@pytest.fixture
def styled(tmp_path: Path) -> tuple[Path, Drawing]:
    model = styled_file(tmp_path)
    return model, _with_directions(model)


def test_what_is_written(styled: tuple[Path, Drawing], tmp_path: Path) -> None:
    model, drawing = styled
    out = tmp_path / "out"
    written = edit(model, out=out, seeds="3,5", set=("smile=2", "a/b=-1"), strip=("a/b",), steps=5).run()
    assert {path.name for path in written} == {
        "seed0003-edited.png",
        "seed0005-edited.png",
        "pairs.png",
        "edited.npz",
        "strip-a_b.png",
    }
    for path in written:
        if path.suffix == ".png":
            mark = verify(path)
            assert mark is not None
            assert mark.model == drawing.loaded.model
    assert read_picture(out / "pairs.png").shape == (32, 32, 3)
    known = Directions.read(tmp_path / "styled.directions.safetensors")
    step = 2 * known["smile"].step - known["a/b"].step
    expected = Codes.of_seeds(drawing, [3, 5]).moved(step)
    saved = Codes.read(out / "edited.npz", drawing)
    assert torch.allclose(saved.values, expected.values, atol=1e-5)
    image = expected.draw(drawing)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(read_picture(out / "seed0003-edited.png"), image)
    pair = read_picture(out / "pairs.png")
    assert np.array_equal(pair[:16, 16:], image)
    assert np.array_equal(pair[:16, :16], Codes.of_seeds(drawing, [3]).draw(drawing)[0].permute(1, 2, 0))


def test_photos_are_changed_and_put_back(
    styled: tuple[Path, Drawing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo is projected and changed like a seed; the rest of it stays; one of no face is named."""
    without_artefacts(monkeypatch)
    pictures, points = heads(1)
    me, wall = tmp_path / "me.png", tmp_path / "wall.png"
    me.write_bytes(encode_png(pictures[0]))
    wall.write_bytes(encode_png(np.full((40, 40, 3), 90, np.uint8)))
    finder = KnownFaces({(160, 160): [known_face(points[0])]})
    monkeypatch.setattr("mien.latent.projection.targets.open_face_finder", lambda events: finder)
    heard: list[Event] = []
    more = {"set": ("smile=1",), "paste": True, "project_steps": 8}
    edit(styled[0], photo=(wall, me), out=tmp_path / "out", **more).run(heard.append)  # type: ignore[arg-type]
    assert any("wall.png: no face" in event.text for event in heard if isinstance(event, Notice))
    pasted = tmp_path / "out" / "me-pasted.png"
    mark = verify(pasted)
    assert mark is not None
    assert mark.source_type == SourceType.COMPOSITE
    pixels = read_picture(pasted)
    assert np.array_equal(pixels[:12], pictures[0][:12])
    assert not np.array_equal(pixels, pictures[0])
    edit(styled[0], photo=(me,), out=tmp_path / "as-found", project_steps=8).run()
    base = Codes.read(tmp_path / "as-found" / "edited.npz", styled[1])
    step = Directions.read(tmp_path / "styled.directions.safetensors")["smile"].step
    changed = Codes.read(tmp_path / "out" / "edited.npz", styled[1])
    assert torch.allclose(changed.values, base.values + step, atol=1e-5)


def test_edits_go_on_from_latents(styled: tuple[Path, Drawing], tmp_path: Path) -> None:
    """Two edits in turn are one of their sum."""
    model, _ = styled
    edit(model, out=tmp_path / "one", seeds="1", set=("smile=1",)).run()
    edit(model, out=tmp_path / "two", latent=tmp_path / "one" / "edited.npz", set=("smile=1",)).run()
    edit(model, out=tmp_path / "both", seeds="1", set=("smile=2",)).run()
    two, both = (read_picture(path) for path in (
        tmp_path / "two" / "latent0000-edited.png", tmp_path / "both" / "seed0001-edited.png"))  # fmt: skip
    assert np.abs(two.astype(int) - both).max() <= 1


def test_layers_limit_an_edit(styled: tuple[Path, Drawing], tmp_path: Path) -> None:
    model, drawing = styled
    edit(model, out=tmp_path / "out", seeds="1", set=("smile=3",), layers="0-1").run()
    change = Codes.read(tmp_path / "out" / "edited.npz", drawing).values - Codes.of_seeds(drawing, [1]).values
    assert (change[0, :2].abs().sum(1) > 0).all()
    assert (change[0, 2:] == 0).all()


def test_what_goes_beyond_the_reach_is_said_and_marked(styled: tuple[Path, Drawing], tmp_path: Path) -> None:
    def said(**options: object) -> list[str]:
        heard: list[Event] = []
        edit(styled[0], out=tmp_path / "out", seeds="1", **options).run(heard.append)  # type: ignore[arg-type]
        return [event.text for event in heard if isinstance(event, Notice) and event.tone == "warning"]

    assert said(set=("smile=2", "a/b=50")) == []
    assert said(set=("smile=2.5",)) == ["faces stay whole from smile -1 to 2; what is set goes beyond"]
    (line,) = said(strip=("smile",), steps=3)
    assert line == "faces stay whole from smile -1 to 2; an amber bar marks what lies beyond"
    assert said(strip=("smile",), reach=1.0) == []
    drawing, step = styled[1], torch.ones(shape_of(styled[1]))
    codes = Codes.of_seeds(drawing, [0, 1])
    plain = strip(drawing, codes, step, amounts(7), 16)
    marked = strip(drawing, codes, step, amounts(7), 16, (-1.0, 2.0))
    assert np.array_equal(marked[: len(plain)], plain)
    bar = (marked[-1] != 255).any(axis=1)
    columns = [bar[left : left + 16].all() for left in (0, 16, 32, 50, 68, 84, 100)]
    assert columns == [True, True, False, False, False, False, True]


def test_a_strip_has_the_face_itself_in_its_middle(styled: tuple[Path, Drawing]) -> None:
    _, drawing = styled
    codes = Codes.of_seeds(drawing, [0, 1])
    pixels = strip(drawing, codes, torch.randn(shape_of(drawing)), amounts(5), 16)
    gap = 2
    assert pixels.shape == (32, 5 * 16 + 2 * gap, 3)
    own = codes.draw(drawing)
    assert np.array_equal(pixels[:16, 2 * 16 + gap : 3 * 16 + gap], own[0].permute(1, 2, 0))
    assert np.array_equal(pixels[16:, 2 * 16 + gap : 3 * 16 + gap], own[1].permute(1, 2, 0))
    assert (pixels[:, 2 * 16 : 2 * 16 + gap] == 255).all()
    assert amounts(7) == [-3, -2, -1, 0, 1, 2, 3]
    with pytest.raises(InputError, match="--steps 4"):
        amounts(4)


def test_a_film_loops_and_is_marked(styled: tuple[Path, Drawing], tmp_path: Path) -> None:
    model, _ = styled
    film = tmp_path / "smile.webp"
    edit(model, out=tmp_path / "out", seeds="1", strip=("smile",), video=film, frames=8).run()
    assert verify(film) is not None
    along = wave(8)
    assert along[0] == 0
    assert along[2] == pytest.approx(3)
    assert along[6] == pytest.approx(-3)
    assert np.roll(along, 4) == pytest.approx(-along)


def test_without_w(tmp_path: Path) -> None:
    model = plain_file(tmp_path)
    drawing = _with_directions(model)
    edit(model, out=tmp_path / "out", seeds="2", set=("smile=1",), strip=("all",)).run()
    step = Directions.read(tmp_path / "plain.directions.safetensors")["smile"].step
    saved = Codes.read(tmp_path / "out" / "edited.npz", drawing)
    assert torch.allclose(saved.values, Codes.of_seeds(drawing, [2]).values + step)
    with pytest.raises(InputError, match="no w"):
        edit(model, out=tmp_path / "out", set=("smile=1",), layers="0").run()


def test_lites_latent_stays_on_its_sphere(tmp_path: Path) -> None:
    drawing = Drawing.of(package(tmp_path, config=CONFIG), trunc=1, label=())
    codes = Codes.of_seeds(drawing, [0, 1, 2])
    there = moved(drawing, codes, torch.randn(shape_of(drawing)) * 3)
    size = there.values[:, 0, : CONFIG.z_dim].square().mean(1)
    assert torch.allclose(size, torch.ones(3), atol=1e-4)
    assert not torch.allclose(there.values[:, 0], codes.values[:, 0], atol=0.1)
    assert row_groups(drawing)[0] == (0,)


def test_layers_that_belong_together(styled: tuple[Path, Drawing]) -> None:
    _, drawing = styled
    rows = shape_of(drawing)[0]
    assert row_groups(drawing) == (tuple(range(rows)),)
    assert layer_blocks([(0,), (1, 2, 3, 4)]) == [(0,), (1,), (2, 3), (4,)]
    blocks = layer_blocks(row_groups(drawing))
    assert sorted(row for block in blocks for row in block) == list(range(rows))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "say what to change"),
        ({"set": ("smile",)}, "--set 'smile'"),
        ({"set": ("smile=",)}, "--set 'smile='"),
        ({"set": ("smile=nan",)}, "--set 'smile=nan'"),
        ({"set": ("smile=1e9",)}, "--set 'smile=1e9'"),
        ({"set": ("hat=1",)}, "no direction 'hat'; there are: smile, a/b"),
        ({"strip": ("hat",)}, "no direction 'hat'"),
        ({"set": ("smile=1",), "seeds": "1", "latent": Path("x.npz")}, "give one of them"),
        ({"set": ("smile=1",), "latent": Path("x.npz")}, "x.npz: no latents can be read"),
        ({"set": ("smile=1",), "video": Path("x.mp4")}, "say which with --strip"),
        ({"strip": ("smile",), "video": Path("x.gif")}, "written as .mp4 or .webp"),
        ({"strip": ("smile",), "video": Path("x.webp"), "frames": 1}, "--frames 1 --fps"),
        (
            {"strip": ("smile",), "video": Path("x.webp"), "fps": 241},
            "--fps 241: 2 to 10,000 frames",
        ),
        ({"strip": ("smile",), "reach": 0.0}, "--reach 0"),
        ({"set": ("smile=1",), "seeds": "0-512"}, "--seeds: 513 faces at once; at most 512"),
        ({"strip": ("smile",), "seeds": "0-511", "size": 2048}, "more than 16,384 px"),
        ({"set": ("smile=1",), "layers": "99"}, "--layers 99"),
        ({"set": ("smile=1",), "paste": True}, "name them with --photo"),
        ({"set": ("smile=1",), "photo": (Path("x.jpg"),), "seeds": "1"}, "give one of them"),
        ({"set": ("smile=1",), "photo": (Path("x.jpg"),)}, "x.jpg"),
        ({"set": ("smile=1",), "serve": True}, "the page has them"),
        ({"set": ("smile=1",), "directions": Path("no.safetensors")}, "mien directions learn makes them"),
    ],
)
def test_bad_input(
    styled: tuple[Path, Drawing], tmp_path: Path, options: dict[str, object], says: str
) -> None:
    change: Callable[..., object] = edit
    with pytest.raises(InputError, match=says):
        change(styled[0], out=tmp_path / "out", **options).run()  # type: ignore[attr-defined]
    assert not (tmp_path / "out").exists()


def test_latents_of_another_generator_are_refused(styled: tuple[Path, Drawing], tmp_path: Path) -> None:
    """By the model's id, and by shape where the file names none."""
    model, drawing = styled
    path = tmp_path / "x.npz"
    Codes(torch.zeros(1, *shape_of(drawing)), "w", "other-1").save(path)
    with pytest.raises(InputError, match="latents are of other-1"):
        edit(model, out=tmp_path / "out", latent=path, set=("smile=1",)).run()
    Codes(torch.zeros(1, 3, 5), "w").save(path)
    with pytest.raises(InputError, match="latents of shape"):
        edit(model, out=tmp_path / "out", latent=path, set=("smile=1",)).run()


def test_latents_come_in_files_of_many_kinds(styled: tuple[Path, Drawing], tmp_path: Path) -> None:
    """.npz or .npy; a row for each layer, or one for all of them."""
    _, drawing = styled
    values = Codes.of_seeds(drawing, [3, 4]).values
    path = tmp_path / "x.npy"
    for rows in (values, values[:, :1], values[:, 0]):
        np.save(path, rows.numpy())
        codes = Codes.read(path, drawing)
        assert (codes.space, codes.model, len(codes)) == ("w", "", 2)
        expected = values if rows is values else values[:, :1].expand_as(values)
        assert torch.equal(codes.values, expected)

    def refused(says: str) -> None:
        with pytest.raises(InputError, match=says):
            Codes.read(path, drawing)

    broken = values.numpy().copy()
    broken[1, 0, 0] = np.nan
    np.save(path, broken)
    refused(r"x\.npy: its latents hold numbers that are not finite")
    path = tmp_path / "z.npz"
    np.savez(path, z=np.zeros((1, 8), np.float32), model="")
    refused("no array 'w' in it; it has: model, z")
    np.savez(path, other=np.zeros(3))
    refused("no array 'w' in it; it has: none")
    with path.open("wb") as file:
        file.truncate((256 << 20) + 1)  # a hole, which takes no disk
    refused("larger than 256 MiB, which no file of latents is")


def test_a_film_of_a_strip_as_mp4(styled: tuple[Path, Drawing], tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra video is not installed")
    film = tmp_path / "smile.mp4"
    how: dict[str, Any] = {"video": film, "frames": 6, "fps": 12, "size": 64}
    edit(styled[0], out=tmp_path / "out", seeds="1,2", strip=("smile",), **how).run()
    with av.open(str(film)) as opened:
        stream = opened.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (128, 64, 12)
        assert len(list(opened.decode(stream))) == 6
    assert verify(film) is not None


@pytest.mark.slow
def test_the_page_is_served_until_ctrl_c(styled: tuple[Path, Drawing], tmp_path: Path) -> None:
    """It begins with the latents that it was given; what is kept is counted, and the code is 0."""
    pytest.importorskip("uvicorn", reason="the extra curate is not installed")
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    model, drawing = styled
    latents = tmp_path / "given.npz"
    Codes.of_seeds(drawing, [8, 9]).save(latents)
    out = tmp_path / "out"
    (out / "faces").mkdir(parents=True)
    (out / "faces" / "odd.npz").write_bytes(b"no latents")
    command = ("-m", "mien", "edit", model, "--serve", "--port", "0", "--out", out, "--latent", latents)
    with started(*command, says=r"(odd\.npz: .*)") as (process, problem):
        assert "no latents can be read from it" in problem
        assert process.stdout is not None
        address = next(line.strip() for line in process.stdout if "http://" in line)
        with httpx.Client(base_url=address, headers={"x-mien": "edit"}) as client:
            state = client.get("state").json()
            assert {"latent0000", "latent0001"} <= set(state["faces"])
            drawn = read_picture(client.get("picture", params={"edit": '{"face": "latent0001"}'}).content)
            assert alike(drawn, to_hwc(drawing.faces([9])[0]))
            assert client.post("kept", json={"face": "latent0001"}).status_code == 200
        code, said, complaints = ended_by_ctrl_c(process)
    assert code == 0
    assert "kept 1 face\n" in said
    assert str(out / "kept") in said
    assert "Traceback" not in said + complaints
    assert alike(read_picture(out / "kept" / "0001.png"), drawn)
    saved = Codes.read(out / "faces" / "latent0000.npz", drawing)
    assert torch.equal(saved.values, Codes.of_seeds(drawing, [8, 9]).values[:1])


def test_without_the_extra_the_page_says_what_to_install(
    styled: tuple[Path, Drawing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MienError, match=r"the slider page needs: pip install 'mien\[curate\]'"):
        edit(styled[0], out=tmp_path / "out", serve=True).run()


def test_names_and_amounts() -> None:
    assert parse_edits(["a=1", "hair=black=-2", "a=.5"]) == {"a": 1.5, "hair=black": -2.0}
    assert safe_name("../../etc/x") == "_.._etc_x"
    assert safe_name("...") == "direction"
    step = torch.ones(2, 3)
    known = Directions((Direction.of(step, "x"),), "w")
    assert torch.allclose(combined(known, {"x": 2.0}), 2 * step)
