"""`mien mosaic` and `mien mix`: geometry, marks, memory, what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from drawers import alike, plain_file, styled_file
from mien.cli import main
from mien.core.events import Event, Progress
from mien.core.image import resize
from mien.core.picture import Pixels, read_picture
from mien.core.provenance import verify
from mien.generation.generate import generate
from mien.generation.mosaic import mosaic
from mien.latent.mix import mix


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return styled_file(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_file(tmp_path_factory.mktemp("model"))


def faces(model: Path, seeds: str, folder: Path) -> list[Pixels]:
    return [read_picture(path) for path in generate(model, out=folder, seeds=seeds).run()]


def cell(picture: Pixels, row: int, column: int, side: int) -> Pixels:
    return picture[row * side : (row + 1) * side, column * side : (column + 1) * side]


@pytest.mark.parametrize("side", [16, 24])
def test_a_wall(plain: Path, tmp_path: Path, side: int) -> None:
    (tmp_path / "kept.txt").write_text("# kept\n0,5\n17-19\n5\n")
    out = tmp_path / "wall.png"
    kept = str(tmp_path / "kept.txt")
    assert mosaic(plain, out=out, keep=kept, columns=4, cell=side).run() == (2, 4)
    wall = read_picture(out)
    assert wall.shape == (2 * side, 4 * side, 3)
    for place, face in enumerate(faces(plain, "0,5,17-19,5", tmp_path / "one")):
        expected = face if side == 16 else resize(face, side)
        assert alike(cell(wall, place // 4, place % 4, side), expected)
    assert not wall[side:, 2 * side :].any(), "what is left over is black"
    mark = verify(out)
    assert mark is not None
    assert mark.model.startswith("lite-")
    assert mark.seed is None


@pytest.mark.parametrize(
    ("keep", "shape"), [("7", (1, 1)), ("0-8", (3, 3)), ("0-9", (3, 4)), ("0-99", (10, 10))]
)
def test_about_a_square(plain: Path, tmp_path: Path, keep: str, shape: tuple[int, int]) -> None:
    assert mosaic(plain, out=tmp_path / "wall.png", keep=keep).run() == shape
    assert read_picture(tmp_path / "wall.png").shape == (shape[0] * 16, shape[1] * 16, 3)


MEASURE = """
import resource, sys
from pathlib import Path
from mien.generation.mosaic import mosaic
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
model, out = Path(sys.argv[1]), Path(sys.argv[2])
mosaic(model, out=out, keep="0-79", columns=20, cell=160).run()
before = peak()
mosaic(model, out=out, keep="0-1199", columns=20, cell=160).run()
print(peak() - before, 1200 * 160 * 160 * 3)
"""


@pytest.mark.slow
def test_a_large_wall_needs_no_more_memory_than_a_small_one(plain: Path, tmp_path: Path) -> None:
    """92 MB of faces are laid out with the memory that four rows of them needed."""
    words = [sys.executable, "-c", MEASURE, str(plain), str(tmp_path / "wall.png")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    more, laid = map(int, done.stdout.split())
    assert more < laid / 6, f"{more:,} bytes more for {laid:,} bytes of faces"


def test_interrupted_there_is_no_wall(plain: Path, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.done >= event.total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mosaic(plain, out=tmp_path / "wall.png", keep="0-99").run(stop)
    assert not list(tmp_path.iterdir())


def test_a_mixing_grid(styled: Path, tmp_path: Path) -> None:
    """Rows give, columns take; the own faces stand left and above, a gap apart."""
    out = tmp_path / "mix.png"
    assert mix(styled, out=out, rows="0,1", columns="1,0,2", layers="0-1").run() == (0, 1)
    grid = read_picture(out)
    side, gap = 16, 2
    assert grid.shape == (3 * side + gap, 4 * side + gap, 3)
    own = faces(styled, "0-2", tmp_path / "one")
    assert (grid[: side + gap, :side] == 255).all()
    assert (grid[side : side + gap] == 255).all()
    assert (grid[:, side : side + gap] == 255).all()
    above, left, inside = (
        grid[:side, side + gap :],
        grid[side + gap :, :side],
        grid[side + gap :, side + gap :],
    )
    for column, seed in enumerate((1, 0, 2)):
        assert alike(cell(above, 0, column, side), own[seed])
        for row in (0, 1):
            same = alike(cell(inside, row, column, side), own[seed])
            assert same == (row == seed), "a face mixed with itself is itself, with another it is not"
    for row in (0, 1):
        assert alike(cell(left, row, 0, side), own[row])
    assert verify(out) is not None


def test_taking_all_layers(styled: Path, tmp_path: Path) -> None:
    out = tmp_path / "mix.png"
    mix(styled, out=out, rows="0,1", columns="2", layers="0-5").run()
    grid = read_picture(out)
    assert alike(grid[18:, :16], grid[18:, 18:])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mosaic", "PLAIN", "--keep", "0", "--out", "a.jpg"], "a.jpg: mosaics are written as .png"),
        (
            ["mosaic", "PLAIN", "--keep", "none.txt", "--out", "a.png"],
            "seeds @none.txt: the file cannot be read",
        ),
        (["mosaic", "PLAIN", "--keep", "0", "--columns", "0", "--out", "a.png"], "--columns 0: between"),
        (["mosaic", "PLAIN", "--keep", "0", "--cell", "9999", "--out", "a.png"], "--cell 9999: between"),
        (
            ["mix", "PLAIN", "--rows", "0", "--columns", "1", "--out", "a.png"],
            "mixing styles: a lite model has",
        ),
        (["mix", "STYLED", "--rows", "0", "--columns", "1", "--out", "a.gif"], "not '.gif'"),
        (
            ["mix", "STYLED", "--rows", "0", "--columns", "1", "--layers", "deep", "--out", "a.png"],
            "coarse, mid",
        ),
        (
            ["mix", "STYLED", "--rows", "0", "--columns", "1", "--layers", "fine", "--out", "a.png"],
            "0-5 only",
        ),
        (["mix", "STYLED", "--rows", "x", "--columns", "1", "--out", "a.png"], "'x' is neither a seed"),
        (["mix", "STYLED", "--rows", "0-99", "--columns", "0-99", "--out", "a.png"], "10,000 mixed faces"),
        (["mix", "none", "--rows", "0", "--columns", "1", "--out", "a.png"], "none"),
    ],
)
def test_bad_input(
    styled: Path,
    plain: Path,
    tmp_path: Path,
    words: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    models = {"PLAIN": str(plain), "STYLED": str(styled)}
    assert main([models.get(word, word) for word in words]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert "\n" not in error
    assert not list(tmp_path.iterdir())
