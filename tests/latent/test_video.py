"""`mien video`: what is on the film, its size and rate, and what is refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from drawers import alike, plain_file, styled_file, styled_network
from mien.cli import main
from mien.core.errors import InputError
from mien.core.events import Event, Progress
from mien.core.image import resize, to_hwc, to_uint8
from mien.core.picture import Pixels, read_picture
from mien.core.provenance import verify
from mien.core.sampling import latents
from mien.core.types import Spec
from mien.generation.generate import generate
from mien.latent.video import video


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return styled_file(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_file(tmp_path_factory.mktemp("model"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Pixels]:
    """The frames of the next film as they were before any codec."""
    frames: list[Pixels] = []
    monkeypatch.setattr("mien.latent.film.save_animation", lambda out, given, mark, **_: frames.extend(given))
    return frames


def faces(model: Path, seeds: str, folder: Path, *, trunc: float = 1.0) -> list[Pixels]:
    return [read_picture(path) for path in generate(model, out=folder, seeds=seeds, trunc=trunc).run()]


@pytest.mark.parametrize("trunc", [1.0, 0.6])
@pytest.mark.parametrize(
    "walk", [{"space": "z"}, {"space": "w"}, {"space": "w", "curve": "straight", "loop": True, "ease": True}]
)
def test_at_the_keys_the_seeds_own_faces(
    styled: Path, tmp_path: Path, drawn: list[Pixels], walk: dict[str, Any], trunc: float
) -> None:
    film = video(styled, out=tmp_path / "a.webp", seeds="3,7,5", frames=4, trunc=trunc, **walk).run()
    assert film.num_frames == len(drawn) == (12 if "loop" in walk else 9)
    assert film.space == walk["space"]
    for frame, face in zip(drawn[::4], faces(styled, "3,7,5", tmp_path, trunc=trunc), strict=True):
        assert alike(frame, face)
    assert not alike(drawn[1], drawn[0])


def test_half_way_in_z_and_w(styled: Path, tmp_path: Path, drawn: list[Pixels]) -> None:
    """The middle frame is what the network draws of the middle latent, in either space."""
    network = styled_network(Spec(16))
    z = latents([0, 1], 8)
    lengths = z.norm(dim=1)
    way = z / lengths[:, None]
    middle = (way.sum(0) / way.sum(0).norm()) * lengths.mean()
    ws = network.mapping(z, None).mean(dim=0, keepdim=True)
    for space, floats in (("z", network(middle[None])), ("w", network.synthesis(ws, noise="const"))):
        drawn.clear()
        curve = "straight" if space == "w" else None
        video(styled, out=tmp_path / "a.webp", seeds="0,1", frames=2, space=space, curve=curve).run()
        assert alike(drawn[1], to_hwc(to_uint8(floats)[0])), space


def test_several_at_once(styled: Path, tmp_path: Path, drawn: list[Pixels]) -> None:
    """Columns by rows: each cell walks through its own seeds, the first cell through the first."""
    film = video(styled, out=tmp_path / "a.webp", seeds="0-11", frames=2, loop=True, grid="3x2").run()
    assert (film.width, film.height, film.num_frames) == (48, 32, 4)
    one = faces(styled, "0-11", tmp_path)
    for key in (0, 1):
        expected = np.concatenate(
            [
                np.concatenate([one[(row * 3 + column) * 2 + key] for column in range(3)], 1)
                for row in range(2)
            ]
        )
        assert alike(drawn[key * 2], expected)


def test_models_without_styles_walk_in_z(plain: Path, tmp_path: Path, drawn: list[Pixels]) -> None:
    film = video(plain, out=tmp_path / "a.webp", seeds="0,1", frames=3).run()
    assert film.space == "z"
    for frame, face in zip(drawn[::3], faces(plain, "0,1", tmp_path), strict=True):
        assert alike(frame, face)


def test_gray_models_and_labels(tmp_path: Path, drawn: list[Pixels]) -> None:
    gray = styled_file(tmp_path, names=("woman", "man"), channels=1)
    pictures = []
    for label in ("woman", "man"):
        drawn.clear()
        video(gray, out=tmp_path / "a.webp", seeds="0,1", frames=1, label=label).run()
        assert drawn[0].shape == (16, 16, 3)
        assert (drawn[0][..., 0] == drawn[0][..., 2]).all()
        pictures.append(drawn[0])
    assert not alike(*pictures)
    with pytest.raises(InputError, match="conditional; say which with --label: woman, man"):
        video(gray, out=tmp_path / "a.webp", seeds="0,1", frames=1).run()


def test_an_mp4_from_the_command_line(
    styled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    av = pytest.importorskip("av", reason="the extra video is not installed")
    out = tmp_path / "faces.mp4"
    words = ["--seeds", "0-3", "--frames", "5", "--fps", "24", "--size", "40", "--loop", "--out", str(out)]
    assert main(["video", str(styled), *words]) == 0
    assert "20 frames, 0.8 s, 40x40, walked in w" in capsys.readouterr().out
    with av.open(str(out)) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (40, 40, 24)
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
    assert len(pictures) == 20
    own = faces(styled, "0-3", tmp_path)
    for frame, face in zip(pictures[::5], own, strict=True):
        # Chroma is halved in an .mp4: what remains to compare is how light it is
        light = np.array([0.2126, 0.7152, 0.0722])
        assert np.abs((frame - resize(face, 40).astype(float)) @ light).mean() < 12
    assert verify(out).model.startswith("stylegan2-")  # type: ignore[union-attr]
    assert main(["verify", str(out)]) == 0
    assert "trainedAlgorithmicMedia" in capsys.readouterr().out


def test_a_webp(styled: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.webp"
    video(styled, out=out, seeds="0-2", frames=3, fps=25, ease=True).run()
    with Image.open(out) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (7, (16, 16), 0)
        film.load()
        assert film.info["duration"] == 40
    assert verify(out).model.startswith("stylegan2-")  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["a.mp4", "a.webp"])
def test_stopped_half_way_it_leaves_nothing(styled: Path, tmp_path: Path, name: str) -> None:
    if name == "a.mp4":
        pytest.importorskip("av", reason="the extra video is not installed")

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.done == event.total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video(styled, out=tmp_path / name, seeds="0-2", frames=20).run(stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.webp"])
def test_the_same_command_gives_the_same_bytes(styled: Path, tmp_path: Path, name: str) -> None:
    if name == "a.mp4":
        pytest.importorskip("av", reason="the extra video is not installed")
    for folder in ("one", "two"):
        video(styled, out=tmp_path / folder / name, seeds="0-2", frames=4).run()
    one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "a.gif"], "a.gif: films are written as .mp4 or .webp"),
        (["--space", "z", "--curve", "smooth"], "--curve smooth: a walk in z follows the sphere"),
        (["--seeds", "3"], "--seeds: a walk needs at least two seeds"),
        (["--seeds", "0-4", "--grid", "2x1"], "--seeds: 5 do not share out among 2 cells"),
        (["--seeds", "0-1", "--grid", "2x1"], "2 of them at least 4"),
        (["--grid", "2"], "--grid '2': columns x rows, like 4x2"),
        (["--grid", "0x1"], "--grid '0x1'"),
        (["--grid", "9999x9999"], "at most 1024 faces"),
        (["--frames", "0"], "--frames 0 --fps 30: between"),
        (["--fps", "0"], "--frames 60 --fps 0: between"),
        (["--size", "0"], "--size 0: between 1 and 2048"),
        (["--size", "33", "--out", "a.mp4"], "33x33: an .mp4 has even sides; choose --size"),
        (["--size", "2000"], "write an .mp4"),
        (
            ["--seeds", "0-17", "--grid", "9x1", "--size", "2000", "--frames", "1"],
            "a.webp: a WebP has sides of at most 16,383; 18000x2000 has more",
        ),
        (["--trunc", "nan"], "--trunc nan: psi is a number"),
        (["--label", "x"], "--label: this model was trained without labels"),
        (["--seeds", "@none.txt"], "seeds @none.txt: the file cannot be read"),
    ],
)
def test_bad_input(
    styled: Path,
    tmp_path: Path,
    words: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "a.mp4" in words:
        pytest.importorskip("av", reason="the extra video is not installed")
    out = [] if "--out" in words else ["--out", "a.webp"]
    assert main(["video", str(styled), *out, *words]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert "\n" not in error
    assert not list(tmp_path.iterdir())


def test_w_of_a_model_without_it(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", str(plain), "--space", "w", "--out", str(tmp_path / "a.webp")]) == 2
    error = capsys.readouterr().err.strip()
    assert re.fullmatch(r"mien: --space w: a lite model has z alone, no w; .*", error)


def test_an_unknown_space(styled: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--space v: z or w"):
        video(styled, out=tmp_path / "a.webp", seeds="0,1", space="v").run()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--curve round: straight or smooth"):
        video(styled, out=tmp_path / "a.webp", seeds="0,1", curve="round").run()  # type: ignore[arg-type]
    assert torch.is_grad_enabled()
