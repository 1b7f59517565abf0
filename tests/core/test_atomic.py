"""Files are written whole or not at all, and a place that cannot be written is named in one line."""

from pathlib import Path

import pytest

from mien.core.atomic import drop_cut_line, locked, move, open_replacing, write_bytes, write_text
from mien.core.errors import MienError


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"here")
    for path, why in {
        tmp_path / "file" / "a.txt": "File exists",  # a folder of that name cannot be made
        tmp_path / ("x" * 300) / "a.txt": "File name too long",
    }.items():
        with pytest.raises(MienError) as caught:
            write_text(path, "text")
        assert str(caught.value) == f"{path}: cannot write there ({why})"
    with pytest.raises(MienError) as caught, locked(tmp_path / "none" / ".lock"):
        pass
    assert str(caught.value) == f"{tmp_path / 'none'}: cannot write there (No such file or directory)"
    with pytest.raises(MienError) as caught:
        move(tmp_path / "none", tmp_path / "to")
    assert str(caught.value) == f"{tmp_path / 'to'}: cannot write there (No such file or directory)"
    (tmp_path / "folder").mkdir()
    with pytest.raises(MienError) as caught:
        move(tmp_path / "file", tmp_path / "folder")
    assert str(caught.value) == f"{tmp_path / 'folder'}: cannot write there (Is a directory)"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"here"


def test_an_error_of_which_nothing_is_known_stays_as_it_is(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        write_bytes(loop / "in" / "a.bin", b"x")


def test_a_file_is_as_it_was_where_writing_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"
    write_bytes(path, b"first")

    def break_off() -> None:
        with open_replacing(path) as file:
            file.write(b"second")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert path.read_bytes() == b"first"
    move(path, tmp_path / "other" / "b.bin")
    assert (tmp_path / "other" / "b.bin").read_bytes() == b"first"
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "left"), [(b"", b""), (b"cut", b""), (b"a\nb\n", b"a\nb\n"), (b"a\nb\n\nc", b"a\nb\n\n")]
)
def test_a_cut_line_goes_and_whole_ones_stay(tmp_path: Path, data: bytes, left: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(data)
    with open(path, "r+b") as file:
        drop_cut_line(file.fileno())
    assert path.read_bytes() == left
