"""MP4 films: size, rate, colours and the mark read back; damaged ones refused."""

from pathlib import Path

import numpy as np
import pytest

from mien.core.errors import InputError, MienError
from mien.core.picture import Pixels
from mien.core.provenance import Provenance, SourceType, packet, verify, xmp_box
from mien.latent.film import check_film, write_film

av = pytest.importorskip("av", reason="the extra video is not installed")
MARK = Provenance("stylegan2-0123456789ab", None, "mien test & <more>")
COLOURS = ((200, 40, 60), (30, 180, 70), (60, 80, 220), (128, 128, 128), (255, 255, 255), (0, 0, 0))


def frames(size: tuple[int, int] = (32, 48)) -> list[Pixels]:
    """One of each colour, uint8 [32, 48, 3]."""
    return [np.full((*size, 3), colour, np.uint8) for colour in COLOURS]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "faces.mp4"
    assert write_film(path, frames(), MARK, fps=12) == len(COLOURS)
    return path


def test_a_film_reads_back(film: Path) -> None:
    with av.open(str(film)) as opened:
        stream = opened.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (48, 32)
        assert stream.average_rate == 12
        seen = [(frame.colorspace, frame.to_ndarray(format="rgb24")) for frame in opened.decode(stream)]
        assert opened.metadata["title"] == "Synthetic faces (trainedAlgorithmicMedia)"
        assert opened.metadata["comment"].startswith(
            "trainedAlgorithmicMedia; model stylegan2-0123456789ab; "
        )
    assert len(seen) == len(COLOURS)
    for (space, picture), colour in zip(seen, COLOURS, strict=True):
        assert space == 1, "BT.709 is written down, so that no player has to guess"
        assert np.abs(picture.astype(int) - colour).max() <= 4, colour


def test_the_first_bytes_let_it_play_before_it_is_whole(film: Path) -> None:
    data = film.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_mark_of_a_film(film: Path) -> None:
    assert verify(film) == MARK
    renamed = film.rename(film.with_suffix(".MOV"))
    assert verify(renamed) == MARK


def test_a_film_without_mark_and_another_tools(film: Path) -> None:
    data = film.read_bytes()
    film.write_bytes(data[: -len(xmp_box(packet(MARK)))])
    assert verify(film) is None
    theirs = Provenance("", None, "another", SourceType.COMPOSITE)
    film.write_bytes(film.read_bytes() + xmp_box(packet(theirs)))
    assert verify(film) == theirs


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[:-10], "damaged or cut off"),
        (lambda data: b"", "not an MP4"),
        (lambda data: b"hello, this is text and no film at all", "not an MP4"),
        (lambda data: data[:40], "damaged or cut off"),
        (lambda data: xmp_free(data) + b"\0\0\0\4free", "damaged or cut off"),
        (lambda data: data[:32] + b"\0\0\0\1mdat" + b"\xff" * 8 + data, "damaged or cut off"),
        (lambda data: data[:24] + b"\0\0\0\x08free" * 100_001, "more than 100,000 parts|damaged"),
        (lambda data: xmp_free(data) + xmp_box(b"x" * (1 << 21)), "larger than 1 MiB"),
        (lambda data: xmp_free(data) + xmp_box(b"<!DOCTYPE x [<!ENTITY y 'z'>]><x>&y;</x>"), "hostile"),
        (lambda data: xmp_free(data) + xmp_box(b""), "damaged"),
    ],
)
def test_films_that_are_none(film: Path, change: object, says: str) -> None:
    film.write_bytes(change(film.read_bytes()))  # type: ignore[operator]
    with pytest.raises(InputError, match=says) as caught:
        verify(film)
    assert str(film) in str(caught.value)


def xmp_free(data: bytes) -> bytes:
    return data[: -len(xmp_box(packet(MARK)))]


def test_a_box_of_no_stated_size_reaches_to_the_end(film: Path) -> None:
    film.write_bytes(xmp_free(film.read_bytes()) + b"\0\0\0\0" + xmp_box(packet(MARK))[4:])
    assert verify(film) == MARK


def test_no_film() -> None:
    with pytest.raises(InputError, match="no such file"):
        verify(Path("nowhere.mp4"))


@pytest.mark.parametrize(("size", "says"), [((31, 48), "even sides"), ((8194, 2), "at most 8192")])
def test_sizes_that_h264_cannot_hold(size: tuple[int, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_film(size[1], size[0])


def test_frames_that_make_no_film_leave_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "faces.mp4"
    path.write_bytes(b"an older film")
    with pytest.raises(ValueError, match="a film needs a frame"):
        write_film(path, [], MARK, fps=12)
    odd = [np.zeros((33, 33, 3), np.uint8)]  # of which H.264 with halved colours takes none
    with pytest.raises(MienError, match=r"faces\.mp4: the film could not be written \("):
        write_film(path, odd, MARK, fps=12)
    assert path.read_bytes() == b"an older film"
    assert [entry.name for entry in tmp_path.iterdir()] == ["faces.mp4"]


def test_an_interruption_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> object:
        yield from frames()
        raise KeyboardInterrupt

    path = tmp_path / "faces.mp4"
    path.write_bytes(b"an older film")
    with pytest.raises(KeyboardInterrupt):
        write_film(path, interrupted(), MARK, fps=12)  # type: ignore[arg-type]
    assert [entry.name for entry in tmp_path.iterdir()] == ["faces.mp4"]
    assert path.read_bytes() == b"an older film"


def test_names_are_files_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("tcp:x") / "100%d é.mp4"
    write_film(path, frames(), MARK, fps=12)
    assert verify(path) == MARK


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_film(tmp_path / name, frames(), MARK, fps=12)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_without_pyav_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    for attempt in (lambda: check_film(2, 2), lambda: write_film(tmp_path / "a.mp4", [], MARK, fps=1)):
        with pytest.raises(InputError, match=r"^an \.mp4 needs PyAV .*pip install .*'\.\[video\]'"):
            attempt()
