"""Colour profiles: true colours come out as sRGB, worked out here by hand from the standards."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from mien.core.picture import decode

# Chromaticities of red, green and blue and the white point D65, as the standards give them.
SPACES = {
    "display p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "adobe rgb": ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060)),
    "srgb": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
}
D65 = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
GAMMA = {"display p3": None, "adobe rgb": 563 / 256, "srgb": None}  # None: sRGB's curve


def to_xyz(space):
    """Linear RGB to XYZ under D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in SPACES[space]]).T
    return columns * np.linalg.solve(columns, D65)


def linear(values, space):
    gamma = GAMMA[space]
    if gamma is not None:
        return values**gamma
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(values):
    """sRGB's curve, forwards."""
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def expected(pixels, space):
    """What pixels uint8 of a space look like as sRGB, 0 to 255."""
    light = linear(pixels / 255, space) @ to_xyz(space).T
    return encoded(light @ np.linalg.inv(to_xyz("srgb")).T) * 255


def fixed(value):
    return struct.pack(">i", round(value * 65536))


def xyz_tag(values):
    return b"XYZ \0\0\0\0" + b"".join(fixed(value) for value in values)


def curve_tag(space):
    gamma = GAMMA[space]
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(fixed(number) for number in numbers)


def build_profile(colour_space, tags):
    """An ICC profile, version 4, of a display: header, table, tags."""
    words = b"mluc\0\0\0\0" + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", 8, 28)
    words += "test".encode("utf-16-be")
    tags = {b"desc": words, b"cprt": words, b"wtpt": xyz_tag(D50), **tags}
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    header = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"\0\0\0\0", 0x04200000, b"mntr", colour_space, b"XYZ "
    )
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + b"".join(map(fixed, D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def colour_profile(space):
    gain = (BRADFORD @ D50) / (BRADFORD @ D65)
    adapted = np.linalg.inv(BRADFORD) @ np.diag(gain) @ BRADFORD @ to_xyz(space)
    tags = {name: xyz_tag(adapted[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return build_profile(b"RGB ", tags | {name: curve_tag(space) for name in (b"rTRC", b"gTRC", b"bTRC")})


def gray_profile(gamma):
    return build_profile(b"GRAY", {b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))})


def encode(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def skin_tones():
    """Colours of skin, hair and lips, a gray ramp and some stronger ones, in patches of 8 pixels."""
    rng = np.random.default_rng(0)
    skin = np.array([[224, 172, 145], [141, 85, 60], [90, 56, 40], [190, 90, 90], [60, 45, 35]])
    grays = np.repeat(np.arange(0, 256, 28)[:, np.newaxis], 3, axis=1)
    others = rng.integers(60, 196, (17, 3))
    colours = np.concatenate([skin, grays, others])[:32].astype(np.uint8)
    colours = np.resize(colours, (32, 3))
    return colours.reshape(4, 8, 3).repeat(8, axis=0).repeat(8, axis=1)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("space", ["display p3", "adobe rgb"])
def test_wide_colours_come_out_as_srgb(space, form):
    pixels = skin_tones()
    options = {"lossless": True} if form == "WEBP" else {}
    picture = decode(encode(Image.fromarray(pixels), form, icc_profile=colour_profile(space), **options))
    truth = expected(pixels, space)
    assert np.abs(picture.pixels - truth).max() <= 3
    assert np.abs(pixels - truth).max() > 15, "the profile makes a difference"
    assert picture.notes == ()


def test_a_jpeg_with_a_profile_keeps_it_when_decoded_smaller():
    pixels = skin_tones().repeat(8, axis=0).repeat(8, axis=1)
    data = encode(Image.fromarray(pixels), "JPEG", quality=98, icc_profile=colour_profile("display p3"))
    picture = decode(data, near=100)
    assert picture.scale > 1
    centres = picture.pixels[4::8, 4::8][:, : picture.pixels.shape[1] // 8]
    truth = expected(skin_tones(), "display p3")[4::8, 4::8]
    step = picture.pixels.shape[0] // 4
    centres = picture.pixels[step // 2 :: step, step // 2 :: step]
    assert np.abs(centres - truth).max() <= 5


def test_srgb_itself_changes_nothing():
    pixels = skin_tones()
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, colour_profile("srgb")):
        picture = decode(encode(Image.fromarray(pixels), "PNG", icc_profile=profile))
        assert (picture.pixels == pixels).all()
        assert picture.notes == ()


@pytest.mark.parametrize("mode", ["RGBA", "P", "L"])
def test_other_modes_with_a_colour_profile(mode):
    pixels = skin_tones()
    image = Image.fromarray(pixels)
    if mode == "RGBA":
        image.putalpha(128)
    elif mode == "P":
        image = image.quantize(32, dither=Image.Dither.NONE)
        pixels = np.asarray(image.convert("RGB"))
    else:
        image = image.convert("L")
        pixels = np.asarray(image.convert("RGB"))
    picture = decode(encode(image, "PNG", icc_profile=colour_profile("adobe rgb")))
    truth = expected(pixels, "adobe rgb")
    if mode == "RGBA":
        truth = truth * (128 / 255) + 255 * (127 / 255)
    assert np.abs(picture.pixels - truth).max() <= 3


@pytest.mark.parametrize("bits", [8, 16])
def test_gray_profiles_are_applied(bits):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    stored = ramp if bits == 8 else ramp.astype(np.uint16) * 257
    picture = decode(encode(Image.fromarray(stored), "PNG", icc_profile=gray_profile(1.8)))
    truth = encoded((ramp / 255) ** 1.8) * 255
    assert np.abs(picture.pixels - truth[..., np.newaxis]).max() <= 3
    assert np.abs(ramp - truth).max() > 10


def test_sixteen_bits_a_colour_are_read_with_their_profile():
    colours = skin_tones()
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours.astype(np.uint32) * 257)
    picture = decode(png_of(rows, 64, 32, colour_profile("display p3")))
    assert np.abs(picture.pixels - expected(colours, "display p3")).max() <= 3


def png_of(rows, width, height, profile):
    """A PNG of 16 bits a channel, which Pillow reads but does not write."""
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    colours = chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))
    return b"\x89PNG\r\n\x1a\n" + header + colours + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


DAMAGED = {
    "cut off": colour_profile("display p3")[:200],
    "no profile": b"hello" * 50,
    "zeros": bytes(500),
    "for ink": build_profile(b"CMYK", {}),
    "too large": b"\0" * (5 << 20),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_profile_is_ignored_and_noted(kind):
    pixels = skin_tones()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="TIFF", icc_profile=DAMAGED[kind])
    picture = decode(buffer.getvalue())
    assert (picture.pixels == pixels).all()
    (note,) = picture.notes
    assert "profile" in note
    assert "ignored" in note


@pytest.mark.parametrize("adobe", [True, False])
def test_ink_is_read_by_adobes_marker_or_the_plain_way_without_it(adobe):
    """Adobe's programs store 255 for no ink and say so in a marker; others store 0 for it, as TIFF does."""
    colours = np.full((32, 32, 4), (40, 120, 160, 30), np.uint8)
    image = Image.frombytes("CMYK", (32, 32), colours.tobytes())
    data = encode(image, "JPEG", quality=98)  # Pillow writes Adobe's way
    marker = data.index(b"\xff\xee")
    assert data[marker + 4 : marker + 9] == b"Adobe"
    if not adobe:
        upside_down = Image.frombytes("CMYK", (32, 32), (255 - colours).tobytes())
        data = encode(upside_down, "JPEG", quality=98)
        length = struct.unpack(">H", data[marker + 2 : marker + 4])[0]
        data = data[:marker] + data[marker + 2 + length :]
    truth = (255 - colours[0, 0, :3].astype(int)) * (255 - colours[0, 0, 3]) / 255
    assert np.abs(decode(data).pixels[16, 16] - truth).max() <= 4
