"""Pictures of every readable kind come out upright, RGB and 8 bits; every other file has one named reason."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mien.core.errors import InputError
from mien.core.picture import MAX_BYTES, BadPicture, decode, list_pictures, read_picture, walk_files


def scene(width=48, height=32):
    """Red grows to the right, green downwards, a blue corner at the upper left: every turn shows."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 200 // width + 20, y * 200 // height + 20, np.full_like(x, 40)], axis=2)
    pixels[: height // 4, : width // 4, 2] = 250
    return pixels.astype(np.uint8)


def encode(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def difference(one, two):
    return np.abs(one.astype(int) - two.astype(int)).mean()


COLOUR = Image.fromarray(scene())
GRAY = np.asarray(COLOUR.convert("L"))
SEE_THROUGH = Image.fromarray(np.dstack([scene(), np.full((32, 48), 128, np.uint8)]))
KINDS = {
    "jpeg": (encode(COLOUR, "JPEG", quality=95), scene(), 6),
    "png": (encode(COLOUR, "PNG"), scene(), 0),
    "webp": (encode(COLOUR, "WEBP", lossless=True), scene(), 0),
    "bmp": (encode(COLOUR, "BMP"), scene(), 0),
    "ppm": (encode(COLOUR, "PPM"), scene(), 0),
    "tiff": (encode(COLOUR, "TIFF"), scene(), 0),
    "palette": (encode(COLOUR.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), scene(), 12),
    "cmyk jpeg": (encode(COLOUR.convert("CMYK"), "JPEG", quality=95), scene(), 8),
    "cmyk tiff": (encode(COLOUR.convert("CMYK"), "TIFF"), scene(), 2),
    "gray": (encode(COLOUR.convert("L"), "PNG"), np.dstack([GRAY] * 3), 0),
    "gray and alpha": (encode(COLOUR.convert("LA"), "PNG"), np.dstack([GRAY] * 3), 0),
    "16-bit png": (encode(Image.fromarray(GRAY.astype(np.uint16) * 257), "PNG"), np.dstack([GRAY] * 3), 1),
    "16-bit tiff": (encode(Image.fromarray(GRAY.astype(np.uint16) * 257), "TIFF"), np.dstack([GRAY] * 3), 1),
    "float tiff": (encode(Image.fromarray(GRAY.astype(np.float32) / 255), "TIFF"), np.dstack([GRAY] * 3), 1),
    "float tiff of -1 to 1": (
        encode(Image.fromarray(GRAY.astype(np.float32) / 127.5 - 1), "TIFF"),
        np.dstack([GRAY] * 3),
        1,
    ),
    "float tiff to 255": (encode(Image.fromarray(GRAY.astype(np.float32)), "TIFF"), np.dstack([GRAY] * 3), 1),
    "alpha": (encode(SEE_THROUGH, "PNG"), scene() * 0.5 + 127.5, 2),
    "animated gif": (
        encode(COLOUR.convert("P"), "GIF", save_all=True, append_images=[Image.new("P", (48, 32))]),
        scene(),
        30,
    ),
    "animated webp": (
        encode(COLOUR, "WEBP", save_all=True, append_images=[Image.new("RGB", (48, 32))], lossless=True),
        scene(),
        2,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_readable_kind_becomes_upright_rgb(kind):
    data, expected, tolerance = KINDS[kind]
    pixels = read_picture(data)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (32, 48, 3)
    assert difference(pixels, np.asarray(expected)) <= tolerance


def test_transparent_palette_entry_becomes_white():
    image = Image.fromarray(np.zeros((4, 4), np.uint8))
    image = image.convert("P")
    assert (read_picture(encode(image, "GIF", transparency=0)) == 255).all()


# How a camera stores an upright scene for each EXIF orientation (the inverse of what the tag asks for).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_undone(orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](scene())))
    picture = decode(encode(stored, form, exif=exif, quality=95))
    assert (picture.width, picture.height) == (48, 32)
    assert difference(picture.pixels, scene()) < 8


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 100_000)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


BIG = encode(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), "JPEG")
BAD = {
    "empty": (b"", "empty"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "not-a-picture"),
    "text": (b"a shopping list\n" * 20, "not-a-picture"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "not-a-picture"),
    "zeros": (b"\0" * 5000, "not-a-picture"),
    "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "not-a-picture"),
    "cut jpeg": (BIG[: len(BIG) // 2], "truncated"),
    "cut in header": (BIG[:20], "truncated"),
    "cut png": (encode(COLOUR, "PNG")[:-60], "truncated"),
    "cut gif": (encode(COLOUR, "GIF")[:-400], "truncated"),
    "cut bmp": (encode(COLOUR, "BMP")[:-400], "truncated"),
    "cut webp": (encode(COLOUR, "WEBP", lossless=True)[:-40], "truncated"),
    "bomb": (bomb(30_000, 30_000), "too-many-pixels"),
    "just too large": (bomb(12_000, 9_001), "too-many-pixels"),
}


@pytest.mark.parametrize("kind", BAD)
def test_every_bad_file_has_its_reason(kind, tmp_path):
    data, reason = BAD[kind]
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    with pytest.raises(BadPicture) as caught:
        read_picture(file)
    assert caught.value.reason == reason
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_missing_file_and_unreadable_path(tmp_path):
    with pytest.raises(BadPicture, match=r"gone\.jpg: the file cannot be read") as caught:
        read_picture(tmp_path / "gone.jpg")
    assert caught.value.reason == "unreadable"


def test_pixel_limit_is_the_callers():
    with pytest.raises(BadPicture, match="48x32"):
        read_picture(KINDS["png"][0], max_pixels=48 * 32 - 1)
    assert read_picture(KINDS["png"][0], max_pixels=48 * 32).shape == (32, 48, 3)


def test_near_decodes_a_large_jpeg_smaller_but_says_its_true_size():
    data = encode(Image.fromarray(scene(960, 640)), "JPEG", quality=95)
    picture = decode(data, near=150)
    assert picture.pixels.shape == (160, 240, 3)
    assert (picture.width, picture.height, picture.scale) == (960, 640, 4)
    assert difference(picture.pixels, scene(240, 160)) < 6
    assert decode(data, near=400).pixels.shape == (640, 960, 3)
    assert decode(encode(COLOUR, "PNG"), near=4).pixels.shape == (32, 48, 3)


@settings(max_examples=150)
@given(st.data())
def test_damage_anywhere_gives_a_picture_or_a_reason(data):
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    original = bytearray(KINDS[kind][0])
    for _ in range(data.draw(st.integers(1, 8))):
        original[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    cut_at = data.draw(st.integers(0, len(original)))
    try:
        pixels = read_picture(bytes(original[:cut_at]), max_pixels=1_000_000)
    except BadPicture as error:
        reason = error.reason
    else:
        reason = "picture" if pixels.dtype == np.uint8 and pixels.shape[2:] == (3,) else str(pixels.shape)
    assert reason in {"picture", "empty", "not-a-picture", "truncated", "too-many-pixels", "unreadable"}


def test_listing_is_sorted_and_leaves_out_hidden_and_other_files(tmp_path):
    names = ["b.JPG", "a/z.png", "a/a.webp", ".hidden.jpg", ".git/x.jpg", "__MACOSX/y.jpg", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)]
    assert found == ["a/a.webp", "a/z.png", "b.JPG"]
    with pytest.raises(InputError, match="no such folder"):
        list_pictures(tmp_path / "gone")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.cr2", b"II*\0" + bytes(100), "a camera's raw file, which is not read; export it as JPEG"),
        ("a.mov", b"\0\0\0\x14ftypqt  " + bytes(50), "a film"),
        ("a.psd", b"8BPS" + bytes(50), "a Photoshop file or a PDF"),
        ("a.jpg", b"%PDF-1.4" + bytes(50), "a Photoshop file or a PDF"),
        ("a.parquet", b"PAR1" + bytes(50), "a parquet file; .* parquet:FOLDER reads it"),
    ],
)
def test_what_lies_beside_photos_is_named(name, data, words):
    with pytest.raises(BadPicture, match=words):
        decode(data, where=name)


@pytest.mark.parametrize(
    "orientation",
    [(2, 4, b"abc\0"), (7, 4, b"\1\2\3\4"), (11, 1, struct.pack("<f", float("nan")))],
    ids=["text", "bytes", "not a number"],
)
def test_an_orientation_that_is_no_number_costs_no_picture(orientation):
    """The tag of EXIF has a type, a count and a value of four bytes."""
    tag = struct.pack("<HHHI4s", 1, 274, *orientation)
    plain = encode(COLOUR, "JPEG", quality=95)
    strange = encode(COLOUR, "JPEG", quality=95, exif=b"Exif\0\0II*\0\x08\0\0\0" + tag + bytes(4))
    assert np.array_equal(decode(strange).pixels, decode(plain).pixels)
    third = struct.pack("<HHHI4s", 1, 274, 3, 1, b"\3\0\0\0")
    turned = encode(COLOUR, "JPEG", quality=95, exif=b"Exif\0\0II*\0\x08\0\0\0" + third + bytes(4))
    assert np.array_equal(decode(turned).pixels, decode(plain).pixels[::-1, ::-1])


def test_a_file_far_too_large_for_a_picture_is_not_read(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(COLOUR, "PNG"))
    os.truncate(path, MAX_BYTES + 1)  # a hole, which takes no place
    with pytest.raises(BadPicture) as caught:
        decode(path)
    assert caught.value.reason == "too-large"
    assert f"larger than {MAX_BYTES >> 20} MiB; it was not read" in str(caught.value)


def test_a_folder_that_cannot_be_listed_is_noted_and_the_others_are(tmp_path):
    """One whose path is longer than the system takes is one such for everybody, root included."""
    (tmp_path / "a.png").write_bytes(b"x")
    place = os.open(tmp_path, os.O_RDONLY)
    for level in range(20):
        os.mkdir("f" * 250, dir_fd=place)
        inner = os.open("f" * 250, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
        if level == 0:
            os.close(os.open("b.png", os.O_WRONLY | os.O_CREAT, dir_fd=place))
            os.symlink("c.png", "c.png", dir_fd=place)
    os.close(place)
    files, notes = walk_files(tmp_path)
    assert files == [tmp_path / "a.png", tmp_path / ("f" * 250) / "b.png"]
    (note,) = notes
    assert note.startswith("not followed: 2 links or folders, first ffff")
