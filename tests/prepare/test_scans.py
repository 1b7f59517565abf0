"""Scans of one photo with other contrast are joined; other shots, other people and unlike hashes are not."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from mien.core.packed import encode_png
from mien.faces.align import crop, ffhq_square
from mien.faces.face import Face
from mien.prepare import dedupe
from mien.prepare.dedupe import SAME_DETAIL, join_scans, mirrored_bits, same_detail
from rendered_heads import heads


def aligned(index, *, moved=(0.0, 0.0)):
    """The crop of a head with the grain of a film, cut a little beside its place."""
    pictures, places = heads()
    grain = np.random.default_rng(index).normal(0, 30, (160, 160, 1))
    grain = cv2.GaussianBlur(grain, (0, 0), 1.2)[..., None]
    pictures = [(picture * 0.8 + 20 + grain).clip(0, 255).astype(np.uint8) for picture in pictures]
    shifted = {name: (x + moved[0], y + moved[1]) for name, (x, y) in places[index].items()}
    return crop(pictures[index], ffhq_square(Face((0, 0, 1, 1), 1.0, 1.0, *shifted.values())), 64)


TONES = {
    "gamma": lambda image: image.point([round(255 * (value / 255) ** 2.2) for value in range(256)] * 3),
    "equalised": ImageOps.equalize,
    "harder": lambda image: ImageEnhance.Contrast(image).enhance(1.5),
    "softer": lambda image: ImageEnhance.Contrast(image).enhance(0.4),
    "gray": lambda image: image.convert("L").convert("RGB"),
}


@pytest.mark.parametrize("tone", TONES.values(), ids=TONES)
def test_a_tone_curve_changes_no_detail_nor_does_a_small_shift(tone):
    other = np.asarray(tone(Image.fromarray(aligned(0, moved=(1.0, -0.6)))))
    assert same_detail(aligned(0), other) > SAME_DETAIL


def test_other_people_have_other_detail():
    found = [same_detail(aligned(one), aligned(two)) for one in range(4) for two in range(one)]
    assert max(found) < 0.6
    assert same_detail(aligned(0), np.full((64, 64, 3), 128, np.uint8)) < 0.6


def test_a_mouth_that_moved_is_another_shot():
    other = aligned(0).copy()
    other[42:52, 22:42] = other[42:52, 22:42][::-1]
    assert same_detail(aligned(0), other) < SAME_DETAIL


def hashed(bits):
    return np.packbits((np.arange(768) < bits).astype(np.uint8)).tobytes().hex()


@pytest.fixture
def joined(monkeypatch):
    """Joins crops whose people stand at places on a line."""

    def join(bits, people, crops, quality=None, keepers=None, mirrored=False):
        pngs = [encode_png(pixels) for pixels in crops]
        rows = {png: np.array([place], np.float32) for png, place in zip(pngs, people, strict=True)}
        monkeypatch.setattr(dedupe, "features", lambda found: np.stack([rows[png] for png in found]))
        count = range(len(bits))
        return join_scans(
            [b if isinstance(b, str) else hashed(b) for b in bits],
            quality or [1.0] * len(bits),
            keepers or list(count),
            pngs.__getitem__,
            mirrored=mirrored,
        )

    return join


def test_only_what_is_alike_in_all_three_is_joined_and_the_better_kept(joined):
    photo = aligned(0)
    scan = np.asarray(ImageOps.equalize(Image.fromarray(photo)))
    assert joined([0, 100], [0.0, 0.3], [photo, scan]) == [0, 0]
    assert joined([0, 100], [0.0, 0.3], [photo, scan], quality=[1.0, 2.0]) == [1, 1]
    assert joined([0, 130], [0.0, 0.3], [photo, scan]) == [0, 1], "hashes too far"
    assert joined([0, 100], [0.0, 0.6], [photo, scan]) == [0, 1], "other people"
    assert joined([0, 100], [0.0, 0.3], [photo, aligned(1)]) == [0, 1], "other detail"


def test_copies_of_a_scan_go_with_it(joined):
    photo = aligned(0)
    scan = np.asarray(ImageOps.equalize(Image.fromarray(photo)))
    found = joined(
        [0, 100, 101], [0.0, 0.1, 0.1], [photo, scan, scan + 0], quality=[3.0, 2.0, 1.0], keepers=[0, 1, 1]
    )
    assert found == [0, 0, 0]


def test_a_mirrored_scan_is_joined_on_request(joined):
    photo = aligned(0)
    scan = np.ascontiguousarray(np.asarray(ImageOps.equalize(Image.fromarray(photo)))[:, ::-1])
    turned = mirrored_bits(np.frombuffer(bytes.fromhex(hashed(100)), np.uint8)[None])[0].tobytes().hex()
    for order in (1, -1):
        bits, crops = [hashed(0), turned][::order], [photo, scan][::order]
        assert joined(bits, [0.0, 0.3], crops) == [0, 1]
        assert joined(bits, [0.0, 0.3], crops, mirrored=True) == [0, 0]
        assert joined(bits, [0.0, 0.6], crops, mirrored=True) == [0, 1], "other people"
    assert joined([hashed(0), turned], [0.0, 0.3], [photo, aligned(1)], mirrored=True) == [0, 1]
