"""Near-duplicates: who is kept of a group, no chains, an exact search, a hash that sees through copies."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.picture import decode, list_pictures
from mien.faces.align import crop, ffhq_square
from mien.faces.crop import cut
from mien.faces.face import Face
from mien.faces.finder import needed_artefacts, open_finder
from mien.faces.mesh import MeshNetwork
from mien.prepare import dedupe
from mien.prepare.dedupe import DEFAULT_THRESHOLD, NUM_BITS, find_duplicates, nearest, perceptual_hash
from rendered_heads import heads


def hashed(bits):
    """The hexadecimal hash of bits [..., 8 n]."""
    return np.packbits(np.asarray(bits, np.uint8)).tobytes().hex()


def ladder(*places, length=64):
    """One hash for each place: its first `place` bits are set, so places are as far apart as they differ."""
    return [hashed(np.arange(length) < place) for place in places]


def far(one, other):
    return (int(one, 16) ^ int(other, 16)).bit_count()


# ---- who is kept


def test_of_a_group_the_sharpest_is_kept():
    hashes = ladder(0, 40, 1, 2, 41)
    assert find_duplicates(hashes, [0.2, 0.5, 0.9, 0.1, 0.6], threshold=3) == [2, 4, 2, 2, 4]


def test_of_equally_sharp_ones_the_first_is_kept():
    assert find_duplicates(ladder(5, 5, 30, 5), [0.5] * 4, threshold=0) == [0, 0, 2, 0]


def test_a_picture_gives_way_to_the_nearest_of_two_kept_ones():
    assert find_duplicates(ladder(10, 20, 16), [0.9, 0.8, 0.1], threshold=6) == [0, 1, 1]


def test_threshold_is_the_last_distance_that_counts():
    hashes = ladder(0, 8)
    assert find_duplicates(hashes, [1, 0], threshold=8) == [0, 0]
    assert find_duplicates(hashes, [1, 0], threshold=7) == [0, 1]


def test_a_chain_of_small_steps_does_not_join_its_ends():
    """Each step is within the threshold; joined transitively, all 13 would be one."""
    places = range(0, 61, 5)
    keepers = find_duplicates(ladder(*places), [1.0] * 13, threshold=6)
    assert keepers == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12]


def by_definition(hashes, sharpness, threshold):
    """The rule in plain words, one pair at a time."""
    keeper, kept = {}, []
    for item in sorted(range(len(hashes)), key=lambda index: -sharpness[index]):
        near = min(kept, key=lambda other: far(hashes[item], hashes[other]), default=None)
        if near is not None and far(hashes[item], hashes[near]) <= threshold:
            keeper[item] = near
        else:
            keeper[item] = item
            kept.append(item)
    return [keeper[index] for index in range(len(hashes))]


@pytest.mark.parametrize("block", [1, 7, 64, 1024])
def test_search_in_blocks_equals_the_rule(monkeypatch, block):
    rng = np.random.default_rng(0)
    seeds = rng.integers(0, 2, (20, 96))
    bits = seeds[rng.integers(0, 20, 300)] ^ (rng.random((300, 96)) < 0.06)
    hashes, sharpness = [hashed(row) for row in bits], rng.integers(0, 5, 300) / 4
    expected = by_definition(hashes, sharpness, 14)
    assert 20 < len(set(expected)) < 200, "the case has groups and loners"
    monkeypatch.setattr(dedupe, "_BLOCK", block)
    found = find_duplicates(hashes, sharpness, threshold=14)
    assert set(found) == set(expected)
    # Of two equally near ones either will do.
    apart = [
        (far(hashes[i], hashes[one]), far(hashes[i], hashes[two]))
        for i, (one, two) in enumerate(zip(found, expected, strict=True))
    ]
    assert all(one == two for one, two in apart)


def test_thousands_of_one_picture_leave_one():
    assert set(find_duplicates(ladder(9) * 5000, [0.0] * 5000, threshold=4)) == {0}


def test_nothing_gives_nothing():
    assert find_duplicates([], [], threshold=4) == []


@pytest.mark.parametrize("hashes", [["ab", "abcd"], ["ab", "xy"], ["", ""], ["abc", "abc"]])
def test_hashes_that_cannot_be_compared_are_refused(hashes):
    with pytest.raises(InputError, match="cannot be compared"):
        find_duplicates(hashes, [0.0, 0.0], threshold=4)


def test_every_hash_needs_a_sharpness():
    with pytest.raises(InputError, match="2 hashes, but 1"):
        find_duplicates(["ab", "cd"], [0.5], threshold=4)


def test_nearest_of_others():
    assert nearest(ladder(11, 39), ladder(0, 10, 40)) == [(1, 1), (2, 1)]


# ---- the hash


@pytest.fixture(scope="module")
def faces():
    """Aligned crops of rendered people, by their true landmarks."""
    pictures, places = heads()
    squares = [ffhq_square(Face((0, 0, 1, 1), 1.0, 1.0, *place.values())) for place in places]
    return [crop(picture, square, 128) for picture, square in zip(pictures, squares, strict=True)]


def recompressed(pixels, quality):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return decode(buffer.getvalue()).pixels


COPIES = {
    "JPEG 50": lambda pixels: recompressed(pixels, 50),
    "darker": lambda pixels: np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(0.9)),
    "brighter": lambda pixels: np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(1.1)),
    "smaller": lambda pixels: np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.LANCZOS)),
    "larger": lambda pixels: np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC)),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_hashes_alike(faces, change):
    distances = [far(perceptual_hash(face), perceptual_hash(COPIES[change](face))) for face in faces]
    assert max(distances) <= DEFAULT_THRESHOLD


def test_people_hash_apart(faces):
    hashes = [perceptual_hash(face) for face in faces]
    assert {4 * len(text) for text in hashes} == {NUM_BITS}
    apart = [far(one, other) for i, one in enumerate(hashes) for other in hashes[:i]]
    assert min(apart) > 1.5 * DEFAULT_THRESHOLD


def test_a_mirrored_copy_is_another_picture(faces):
    for face in faces:
        mirrored = np.ascontiguousarray(face[:, ::-1])
        assert far(perceptual_hash(face), perceptual_hash(mirrored)) > DEFAULT_THRESHOLD


def test_the_heavy_libraries_load_when_they_are_used():
    code = "import sys, mien.prepare.dedupe; print([m for m in ('faiss', 'imagehash') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- the chain on real pictures


@pytest.fixture(scope="module")
def chain():
    """From a file's bytes to the hash, as `prepare` goes."""
    if any(artefacts.artefact_path(name) is None for name in needed_artefacts("mesh")):
        pytest.skip("the mesh finder is not in the cache (run `mien artefacts fetch face-mesh`)")
    finder, mesh = open_finder("mesh"), MeshNetwork()

    def hash_of(data):
        pixels = decode(data).pixels
        return perceptual_hash(cut(pixels, ffhq_square(finder.find(pixels)[0]), 128), mesh=mesh)

    return hash_of


def disturbed(path):
    """A copy as it comes from elsewhere: trimmed by 3%, smaller, darker, compressed."""
    image = Image.open(path).convert("RGB")
    image = image.crop((0, round(0.03 * image.height), round(0.97 * image.width), image.height))
    image = image.resize((round(image.width * 0.8), round(image.height * 0.8)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    ImageEnhance.Brightness(image).enhance(0.9).save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


@pytest.mark.slow
def test_disturbed_files_are_found_among_strangers(chain, shared_data):
    """60 faces and their copies: each copy falls to its original, no face to a stranger."""
    paths = list_pictures(shared_data / "faces")[::67]
    hashes = [chain(path.read_bytes()) for path in paths] + [chain(disturbed(path)) for path in paths]
    count = len(paths)
    keepers = find_duplicates(hashes, [1.0] * count + [0.5] * count, threshold=DEFAULT_THRESHOLD)
    assert keepers[:count] == list(range(count))
    found = sum(keeper == index for index, keeper in enumerate(keepers[count:]))
    assert found >= 0.98 * count


@pytest.mark.slow
def test_two_shots_of_one_sitting_are_not_copies(chain, shared_data):
    for name in ("neutral", "smiling"):
        assert (shared_data / "expressions" / name).is_dir()
    apart = []
    for path in list_pictures(shared_data / "expressions" / "neutral")[::5]:
        (other,) = (shared_data / "expressions" / "smiling").glob(path.name[:3] + "_*")
        apart.append(far(chain(path.read_bytes()), chain(other.read_bytes())))
    assert min(apart) > DEFAULT_THRESHOLD
