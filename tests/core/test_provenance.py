import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mien.core.errors import InputError
from mien.core.provenance import (
    Provenance,
    SourceType,
    encode_picture,
    save_animation,
    save_picture,
    verify,
)

MARK = Provenance(model="lite-0123456789ab", seed=41, tool="mien 0.1.0")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
EXT = 'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LINES = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=60).map(str.strip)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def with_xmp(path, packet):
    Image.fromarray(noise(8, 8, 3)).save(path, format="WEBP", xmp=packet)
    return path


def description(attributes="", content=""):
    return (
        f"<rdf:RDF {RDF}><rdf:Description {EXT} {attributes}>{content}</rdf:Description></rdf:RDF>".encode()
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(16, 20, 3), (16, 20, 1), (16, 20)])
def test_the_mark_comes_back(tmp_path, suffix, shape):
    path = tmp_path / f"seed0041{suffix}"
    save_picture(path, noise(*shape), MARK)
    assert verify(path) == MARK
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_standard_words_are_in_the_file(suffix):
    data = encode_picture(noise(8, 8, 3), suffix, MARK)
    for words in (TRAINED, "Iptc4xmpExt:DigitalSourceType", "lite-0123456789ab", ">41<", "mien 0.1.0"):
        assert words.encode() in data


def test_pillow_sees_the_mark_where_the_standards_put_it(tmp_path):
    for suffix in SUFFIXES:
        with Image.open(io.BytesIO(encode_picture(noise(8, 8, 3), suffix, MARK))) as picture:
            found = picture.getxmp()["xmpmeta"]["RDF"]["Description"]
        assert found["DigitalSourceType"] == TRAINED


@settings(max_examples=40)
@given(LINES, st.none() | st.integers(-(2**70), 2**70), LINES, st.sampled_from(SourceType))
def test_every_mark_comes_back(tmp_path_factory, model, seed, tool, source_type):
    mark = Provenance(model, seed, tool, source_type)
    for suffix in (".png", ".jpg", ".webp"):
        path = tmp_path_factory.mktemp("x") / f"a{suffix}"
        save_picture(path, noise(4, 4, 3), mark)
        assert verify(path) == mark


@pytest.mark.parametrize("text", ["two\nlines", " padded", "bell\a", "x" * 201, "a\u2028b", "\ud800"])
def test_texts_that_would_not_come_back_are_refused(text):
    with pytest.raises(ValueError, match="printable"):
        Provenance(model=text, seed=0, tool="mien")


@pytest.mark.parametrize("count", [1, 3])
def test_animations_carry_it_too(tmp_path, count):
    path = tmp_path / "timelapse.webp"
    frames = [np.full((16, 16, 3), 60 * i, np.uint8) for i in range(count)]
    save_animation(path, frames, MARK, milliseconds=40)
    assert verify(path) == MARK
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == count
        picture.seek(count - 1)
        assert abs(np.asarray(picture.convert("RGB")).mean() - 60 * (count - 1)) < 4


def test_png_keeps_every_pixel_and_the_others_nearly(tmp_path):
    image = np.repeat(np.repeat(noise(6, 6, 3), 8, 0), 8, 1)
    for suffix in SUFFIXES:
        save_picture(tmp_path / f"a{suffix}", image, MARK)
        with Image.open(tmp_path / f"a{suffix}") as picture:
            difference = np.abs(np.asarray(picture.convert("RGB")).astype(int) - image).mean()
        assert difference == 0 if suffix == ".png" else difference < 8


def test_encoding_is_the_same_every_time():
    for suffix in SUFFIXES:
        assert encode_picture(noise(8, 8, 3), suffix, MARK) == encode_picture(noise(8, 8, 3), suffix, MARK)


def test_other_suffixes_and_types_are_refused(tmp_path):
    with pytest.raises(InputError, match="gif"):
        save_picture(tmp_path / "a.gif", noise(8, 8, 3), MARK)
    with pytest.raises(InputError, match="webp"):
        save_animation(tmp_path / "a.gif", [noise(8, 8, 3)], MARK)
    with pytest.raises(ValueError, match="frame"):
        save_animation(tmp_path / "a.webp", [], MARK)
    with pytest.raises(TypeError, match="uint8"):
        save_picture(tmp_path / "a.png", np.zeros((8, 8, 3)), MARK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pictures_without_a_mark_have_none(tmp_path, form):
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a", format=form)
    assert verify(tmp_path / "a") is None


@pytest.mark.parametrize(
    "packet",
    [
        description(f'e:DigitalSourceType="{TRAINED}"'),
        description(content=f"<e:DigitalSourceType>\n  {TRAINED}\n</e:DigitalSourceType>"),
        description(content=f'<e:DigitalSourceType rdf:resource="{TRAINED}"/>'),
        description(content=f"<e:DigitalSourceType>{TRAINED}/</e:DigitalSourceType>"),
        description(content=f"<e:DigitalSourceType>{TRAINED.replace('http', 'https')}</e:DigitalSourceType>"),
        description(
            content=f"<e:DigitalSourceType><rdf:Bag><rdf:li>{TRAINED}</rdf:li></rdf:Bag></e:DigitalSourceType>"
        ),
        b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        + description(f'e:DigitalSourceType="{TRAINED}"')
        + b'<?xpacket end="w"?>\0\0',
    ],
)
def test_other_tools_forms_are_understood(tmp_path, packet):
    assert verify(with_xmp(tmp_path / "a.webp", packet)) == Provenance("", None, "")


def test_other_tools_names_are_given_but_cannot_steer_the_terminal(tmp_path):
    packet = description(
        f'e:DigitalSourceType="{TRAINED}" xmlns:x="http://ns.adobe.com/xap/1.0/"'
        f' x:CreatorTool="Some&#10;Tool &#x9b;31m{"y" * 500}"'
    )
    found = verify(with_xmp(tmp_path / "a.webp", packet))
    assert found.tool.startswith("Some Tool  31myyy")
    assert len(found.tool) <= 200


@pytest.mark.parametrize("kind", ["digitalCapture", "", "trainedAlgorithmicMediaX"])
def test_cameras_and_unknown_kinds_are_no_mark(tmp_path, kind):
    packet = description(f'e:DigitalSourceType="{TRAINED.rpartition("/")[0]}/{kind}"')
    assert verify(with_xmp(tmp_path / "a.webp", packet)) is None


BOMB = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(9))


@pytest.mark.parametrize(
    "packet",
    [
        f'<!DOCTYPE x [<!ENTITY a0 "ha">{BOMB}]><x>&a9;</x>'.encode(),
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><x/>',
        b"<not closed",
        b"\xff\xfe\x00garbage",
        b'<?xml version="1.0" encoding="nonsense"?><x/>',
        b"<x>" + b" " * (1 << 20) + b"</x>",
    ],
    ids=["billion laughs", "external entity", "external dtd", "cut", "binary", "encoding", "huge"],
)
def test_hostile_xmp_is_refused(tmp_path, packet):
    with pytest.raises(InputError, match=r"a\.webp.*XMP"):
        verify(with_xmp(tmp_path / "a.webp", packet))


def test_deep_xmp_is_read_in_no_time_and_without_recursion(tmp_path):
    depth = 100_000
    assert verify(with_xmp(tmp_path / "a.webp", b"<a>" * depth + b"</a>" * depth)) is None


def test_a_mark_behind_the_pixels_of_a_png_is_found(tmp_path):
    path = tmp_path / "a.png"
    save_picture(path, noise(8, 8, 3), MARK)
    data = path.read_bytes()
    start = data.index(b"iTXt") - 4
    stop = start + 12 + struct.unpack(">I", data[start : start + 4])[0]
    end = data.index(b"IEND") - 4
    path.write_bytes(data[:start] + data[stop:end] + data[start:stop] + data[end:])
    assert verify(path) == MARK


def test_a_compressed_text_bomb_in_a_png_is_refused(tmp_path):
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "x" * 50_000_000, zip=True)
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.png", pnginfo=text)
    assert (tmp_path / "a.png").stat().st_size < 100_000
    with pytest.raises(InputError, match=r"a\.png"):
        verify(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF"])
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png.*not a picture"):
        verify(tmp_path / "a.png")


def test_a_missing_file_a_folder_and_a_truncated_picture_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        verify(tmp_path / "absent.png")
    with pytest.raises(InputError, match="not a picture"):
        verify(tmp_path)
    Image.fromarray(noise(64, 64, 3)).save(tmp_path / "cut.png")
    data = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.png"):
        verify(tmp_path / "cut.png")


def test_a_picture_of_nine_hundred_megapixels_is_refused_unread(tmp_path):
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    body = b"IDAT" + zlib.compress(bytes(1000))
    data += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(InputError, match=r"bomb\.png"):
        verify(tmp_path / "bomb.png")
