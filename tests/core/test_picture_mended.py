"""Pictures whose pixels are all there are read, whatever else is damaged; others are not."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mien.core import picture as picture_module
from mien.core.picture import BadPicture, decode, list_pictures

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[0:96, 0:128]
    noise = np.random.default_rng(0).integers(0, 60, (96, 128, 3))
    return Image.fromarray((np.dstack([x, y * 2, x // 2 + y]) + noise).clip(0, 255).astype(np.uint8))


def encode(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind, body, *, crc=None):
    right = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", right if crc is None else crc)


def with_chunk(png, extra):
    """Put in after the header."""
    return png[:33] + extra + png[33:]


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}]
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_without_its_end_marker_is_whole(picture, options, mode):
    data = encode(picture.convert(mode), "JPEG", quality=90, **options)
    assert data.endswith(b"\xff\xd9")
    whole, cut = decode(data), decode(data[:-2])
    assert np.array_equal(whole.pixels, cut.pixels)
    assert whole.notes == ()
    assert "end marker" in cut.notes[0]


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("missing", [4, 10, 100, 1500])
def test_a_jpeg_that_lacks_pixels_too_is_truncated(picture, options, missing):
    data = encode(picture, "JPEG", quality=90, **options)
    with pytest.raises(BadPicture) as caught:
        decode(data[:-missing])
    assert caught.value.reason == "truncated"


def test_a_progressive_jpeg_that_ends_between_two_scans_is_truncated(picture):
    data = encode(picture, "JPEG", quality=90, progressive=True)
    last = data.rfind(b"\xff\xda")
    before = data.rfind(b"\xff\xc4", 0, last)  # the last scan's table
    with pytest.raises(BadPicture) as caught:
        decode(data[: min(before, last) if before > 0 else last])
    assert caught.value.reason == "truncated"


BIG = zlib.compress(bytes(3 << 20))
DAMAGE = {
    "huge compressed text": chunk(b"zTXt", b"Comment\0\0" + BIG),
    "huge international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + BIG),
    "text with a wrong checksum": chunk(b"tEXt", b"Comment\0hello", crc=1),
    "text that is no zlib stream": chunk(b"zTXt", b"Comment\0\0nonsense"),
    "text with a length beyond the file": struct.pack(">I", 1 << 30) + b"tEXtComment\0hello????",
    "unknown chunk with a wrong checksum": chunk(b"abCd", b"1234", crc=7),
    "time with a wrong checksum": chunk(b"tIME", bytes(7), crc=7),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_png_with_damage_outside_its_pixels_is_whole(picture, damage):
    read = decode(with_chunk(encode(picture, "PNG"), damage))
    assert np.array_equal(read.pixels, np.asarray(picture))
    assert all("outside its pixels" in note for note in read.notes)


def test_what_pillow_alone_refuses_is_noted(picture):
    for name in ("huge compressed text", "text with a wrong checksum", "text with a length beyond the file"):
        assert decode(with_chunk(encode(picture, "PNG"), DAMAGE[name])).notes, name


def test_colour_and_turn_survive_the_mending(picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = picture.convert("RGBA")
    alpha.putalpha(0)
    turned = decode(with_chunk(encode(alpha, "PNG", exif=exif), DAMAGE["text with a wrong checksum"]))
    assert turned.pixels.shape == (128, 96, 3)
    assert (turned.pixels == 255).all(), "transparent parts are white"
    palette = encode(picture.quantize(16), "PNG")
    expected = decode(palette).pixels
    assert np.array_equal(
        decode(palette[:33] + DAMAGE["time with a wrong checksum"] + palette[33:]).pixels, expected
    )


def test_a_png_with_damaged_pixels_is_not_read(picture):
    data = bytearray(encode(picture, "PNG"))
    at = data.find(b"IDAT") + 2000
    data[at] ^= 255
    with pytest.raises(BadPicture):
        decode(bytes(data))
    with pytest.raises(BadPicture):
        decode(bytes(data[: at + 20]))
    palette = bytearray(encode(picture.quantize(16), "PNG"))
    palette[palette.find(b"PLTE") + 5] ^= 255
    with pytest.raises(BadPicture):
        decode(bytes(palette))


@pytest.mark.slow
def test_a_bomb_in_a_text_is_not_unpacked(picture):
    bomb = zlib.compress(bytes(200 << 20), 9)
    read = decode(with_chunk(encode(picture, "PNG"), chunk(b"zTXt", b"Comment\0\0" + bomb)))
    assert np.array_equal(read.pixels, np.asarray(picture))


@pytest.mark.parametrize(("form", "suffix"), [("AVIF", ".avif"), ("JPEG2000", ".jp2")])
def test_avif_and_jpeg_2000_are_pictures(picture, form, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(
        encode(picture.convert("RGB"), form, quality=95) if form == "AVIF" else encode(picture, form)
    )
    read = decode(path)
    assert read.format == form
    assert np.abs(read.pixels.astype(int) - np.asarray(picture).astype(int)).mean() < 12
    assert list_pictures(tmp_path) == [path]
    assert decode(path, max_pixels=128 * 96).width == 128
    with pytest.raises(BadPicture) as caught:
        decode(path, max_pixels=128 * 96 - 1)
    assert caught.value.reason == "too-many-pixels"


def test_heic_is_read_where_its_extra_is_there():
    heif = pytest.importorskip("pillow_heif")
    ramp = np.zeros((48, 96, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 250, 96)
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(ramp)).save(buffer, quality=90)
    picture = decode(buffer.getvalue())
    assert (picture.width, picture.height) == (96, 48)
    assert np.abs(picture.pixels.astype(int) - ramp).mean() < 4
    with pytest.raises(BadPicture) as caught:
        decode(buffer.getvalue()[:200])
    assert caught.value.reason in ("truncated", "unreadable", "not-a-picture")


def test_heic_without_the_extra_names_it(monkeypatch, request):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    picture_module._reads_heif.cache_clear()
    request.addfinalizer(picture_module._reads_heif.cache_clear)
    with pytest.raises(BadPicture, match=r"HEIC.*pip install .*'\.\[heic\]'"):
        decode(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(64))


def test_text_limit_of_pillow_is_as_it_was():
    """The limit that makes it refuse large texts protects us: mending goes round it without lifting it."""
    assert PngImagePlugin.MAX_TEXT_CHUNK <= 1 << 20
