"""The whole of prepare: heads in, a packed dataset out, and every broken file named."""

import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.core import artefacts
from mien.core.artefacts import download
from mien.core.atomic import file_sha256
from mien.core.errors import InputError, MienError
from mien.core.events import Progress, Written
from mien.core.packed import PackReader
from mien.core.picture import read_picture
from mien.faces.finder import needed_artefacts, open_finder
from mien.prepare.judge import Rules
from mien.prepare.prepare import prepare
from rendered_heads import heads

pytestmark = pytest.mark.usefixtures("warm_workers")


@pytest.fixture(scope="session")
def finder():
    """The name of the best finder that works without the network."""
    cached = all(artefacts.artefact_path(name) for name in needed_artefacts("mesh"))
    return "mesh" if cached else "haar"


@pytest.fixture(scope="session")
def found(finder):
    """Heads in which that finder finds a face."""
    eye = open_finder(finder)
    pictures = [picture for picture in heads()[0] if eye.find(picture)]
    assert len(pictures) >= 4
    return [Image.fromarray(picture) for picture in pictures]


def save(folder, name, image, **options):
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / name, **options)


@pytest.fixture
def photos(tmp_path, found):
    """Four good photos, one landscape without a face, one broken file."""
    folder = tmp_path / "photos"
    for number, image in enumerate(found[:4]):
        save(folder, f"head{number}.jpg", image, quality=92)
    y, x = np.mgrid[0:120, 0:200]
    save(folder, "hills.png", Image.fromarray(np.dstack([x, y, x // 2]).astype(np.uint8)))
    (folder / "broken.jpg").write_bytes(b"<html></html>")
    return folder


@pytest.mark.slow
def test_faces_are_packed_and_every_input_has_a_verdict(photos, tmp_path, finder):
    heard = []
    out, sheet = tmp_path / "out.zip", tmp_path / "out-sheet.jpg"
    result = prepare(photos, out, finder=finder).run(heard.append)
    assert (result.kept, result.total) == (4, 6)
    assert result.dropped == {"no-face": 1, "not-a-picture": 1}
    counted = [(event.done, event.total) for event in heard if isinstance(event, Progress)]
    assert counted == [(number, 6) for number in range(1, 7)]
    assert [event.path for event in heard if isinstance(event, Written)] == [out]
    assert (tmp_path / "out-report.html").stat().st_size > 1000
    pack = PackReader(out)
    assert len(pack.names) == 4
    assert {read_picture(pack.read(index)).shape for index in range(4)} == {(64, 64, 3)}
    assert pack.labels is None
    records = {record["source"]: record for record in pack.all_records}
    assert sorted(records) == sorted(path.name for path in photos.iterdir())
    assert records["broken.jpg"]["file"] is None
    assert "web page" in records["broken.jpg"]["detail"]
    kept = records["head0.jpg"]
    assert (kept["verdict"], kept["reason"], kept["width"]) == ("kept", None, 160)
    assert kept["sha256"] == file_sha256(photos / "head0.jpg")
    assert set(kept["landmarks"]) == {"eye_left", "eye_right", "nose", "mouth_left", "mouth_right"}
    assert 0.1 < kept["measurements"]["coverage"] < 0.6
    x, y, width, height = kept["box"]
    assert x < kept["landmarks"]["nose"][0] < x + width
    assert y < kept["landmarks"]["nose"][1] < y + height
    assert read_picture(sheet).shape[1] > 600


@pytest.mark.slow
def test_same_input_gives_the_same_bytes_for_any_number_of_workers(photos, tmp_path, finder):
    outs = [tmp_path / f"{count}.zip" for count in (1, 2, 3)]
    for count, out in enumerate(outs, 1):
        prepare(photos, out, finder=finder, workers=count).run()
    assert len({out.read_bytes() for out in outs}) == 1


@pytest.mark.slow
def test_a_zip_of_the_photos_gives_the_same_faces(photos, tmp_path, finder):
    archive = tmp_path / "photos-in.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in photos.iterdir():
            file.write(path, path.name)
    prepare(photos, tmp_path / "a.zip", finder=finder).run()
    prepare(archive, tmp_path / "b.zip", finder=finder).run()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.slow
def test_class_folders_become_labels_in_pack_and_manifest(tmp_path, found, finder):
    for number, image in enumerate(found[:4]):
        save(tmp_path / "photos" / ("young" if number % 2 else "aged"), f"{number}.png", image)
    prepare(tmp_path / "photos", tmp_path / "out.zip", finder=finder).run()
    pack = PackReader(tmp_path / "out.zip")
    assert pack.class_names == ("aged", "young")
    assert pack.labels == [0, 0, 1, 1]
    assert [record["labels"]["class"] for record in pack.records] == ["aged", "aged", "young", "young"]
    rules = Rules(min_face=5)
    again = prepare(tmp_path / "out.zip", tmp_path / "again.zip", finder=finder, size=32, rules=rules).run()
    assert again.kept >= 3
    assert PackReader(tmp_path / "again.zip").class_names == ("aged", "young")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": 512}, "too-small"),
        ({"rules": Rules(min_face=150)}, "too-small"),
        ({"rules": Rules(min_coverage=0.7, max_coverage=0.9)}, "covers-too-little"),
        ({"rules": Rules(min_coverage=0.0, max_coverage=0.05)}, "covers-too-much"),
    ],
)
def test_each_rule_drops_by_name_and_no_dataset_is_written(photos, tmp_path, finder, options, reason):
    with pytest.raises(MienError, match=f"no face was kept of 6 files .*4 {reason}"):
        prepare(photos, tmp_path / "out.zip", finder=finder, **options).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.work", "photos"]


@pytest.mark.slow
def test_center_alignment_is_upright_and_larger_sizes_work(photos, tmp_path, finder):
    result = prepare(photos, tmp_path / "out.zip", finder=finder, layout="center", size=128).run()
    assert result.kept == 4
    assert read_picture(PackReader(tmp_path / "out.zip").read(0)).shape == (128, 128, 3)


@pytest.mark.slow
def test_large_jpeg_gives_the_same_face_as_a_small_one_and_true_coordinates(tmp_path, found, finder):
    large = found[0].resize((2560, 2560), Image.Resampling.BICUBIC)
    save(tmp_path / "photos", "large.jpg", large, quality=90)
    save(tmp_path / "photos", "small.png", large.resize((640, 640), Image.Resampling.BOX))
    prepare(tmp_path / "photos", tmp_path / "out.zip", finder=finder, size=512, keep_duplicates=True).run()
    pack = PackReader(tmp_path / "out.zip")
    one, two = pack.records
    assert (one["width"], two["width"]) == (2560, 640)
    assert np.allclose(one["landmarks"]["nose"], np.multiply(two["landmarks"]["nose"], 4), atol=40)
    ratio = one["measurements"]["face_size"] / two["measurements"]["face_size"]
    assert ratio == pytest.approx(4, rel=0.05)
    faces = [read_picture(pack.read(index)).astype(float) for index in range(2)]
    assert np.abs(faces[0] - faces[1]).mean() < 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 100}, "size 100 is no power of two"),
        ({"size": 0}, "size 0 is no power of two"),
        ({"layout": "tight"}, "'tight' is no layout"),
        ({"finder": "dlib"}, "'dlib' is no finder"),
        ({"size": (64, 64)}, "one is named twice"),
        ({"where": "yaw <"}, "not a condition"),
        ({"where": "jaw < 3"}, "nothing is called 'jaw'; known are: .*yaw"),
    ],
)
def test_bad_arguments_are_one_line_before_any_work(photos, tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        prepare(photos, tmp_path / "out.zip", **options).run()
    assert not (tmp_path / "out.zip").exists()


def test_bad_sources_and_targets(photos, tmp_path):
    with pytest.raises(InputError, match="no such zip or folder"):
        prepare(tmp_path / "gone", tmp_path / "out.zip").run()
    with pytest.raises(InputError, match=r"ending in \.zip"):
        prepare(photos, tmp_path / "out.tar").run()


def test_finder_that_is_not_cached_is_fetched_or_explained(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_run", lambda *_: 1)  # pip's exit code, without a network
    heard = []
    with pytest.raises(MienError, match=r"could not download mediapipe.*mien artefacts add FILE"):
        prepare(photos, tmp_path / "out.zip").run(heard.append)
    assert "Apache-2.0" in heard[0].text


def encode(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def bomb():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    compressor = zlib.compressobj(1)
    rows = b"".join(compressor.compress(bytes(30_001)) for _ in range(30_000)) + compressor.flush()
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def exif_turned(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image.transpose(TURNS[orientation]), "JPEG", exif=exif, quality=92)


@pytest.fixture(scope="session")
def four_hundred(tmp_path_factory, found):
    """200 good photos and 20 of each of ten odd kinds."""
    folder = tmp_path_factory.mktemp("four-hundred")
    rng = np.random.default_rng(0)
    for number in range(200):
        data = encode(found[number % len(found)], "JPEG", quality=80 + number % 16)
        (folder / f"good{number:03d}.jpg").write_bytes(data)
    big = bomb()
    for number in range(20):
        image = found[number % len(found)]
        jpeg = encode(image, "JPEG", quality=90)
        gray = np.asarray(image.convert("L")).astype(np.uint16) * 257
        odd = {
            "truncated.jpg": jpeg[: int(rng.integers(10, len(jpeg) * 3 // 4))],
            "empty.jpg": b"",
            "html.jpg": b"<!DOCTYPE html><html><body>not found</body></html>",
            "png.jpg": encode(image, "PNG"),
            "cmyk.jpg": encode(image.convert("CMYK"), "JPEG", quality=92),
            "sixteen.png": encode(Image.fromarray(gray), "PNG"),
            "animated.webp": encode(image, "WEBP", save_all=True, append_images=[image.rotate(180)]),
            "exif.jpg": exif_turned(image, 2 + number % 7),
            "bomb.png": big,
            "text.txt": b"a note about these photos\n",
        }
        for name, data in odd.items():
            (folder / f"odd{number:02d}-{name}").write_bytes(data)
    return folder


EXPECTED = {
    "truncated.jpg": "truncated",
    "empty.jpg": "empty",
    "html.jpg": "not-a-picture",
    "png.jpg": None,
    "cmyk.jpg": None,
    "sixteen.png": None,
    "animated.webp": None,
    "exif.jpg": None,
    "bomb.png": "too-many-pixels",
    "text.txt": "not-a-picture",
}


@pytest.mark.slow
def test_two_hundred_odd_files_among_four_hundred(four_hundred, tmp_path, finder):
    result = prepare(four_hundred, tmp_path / "out.zip", finder=finder, keep_duplicates=True).run()
    pack = PackReader(tmp_path / "out.zip")
    assert result.total == len(pack.all_records) == 400
    kept_good = kept_odd = 0
    for record in pack.all_records:
        if record["source"].startswith("good"):
            kept_good += record["verdict"] == "kept"
            continue
        reason = EXPECTED[record["source"].partition("-")[2]]
        assert record["reason"] in ({reason} if reason else {None, "no-face"}), record
        assert record["detail"] if record["reason"] else record["file"]
        kept_odd += record["verdict"] == "kept"
    assert kept_good >= 196  # a strong JPEG may hide one face from the finder
    assert kept_odd >= 96
    compare_turned(pack, finder)


@pytest.mark.slow
def test_photos_turned_by_exif_are_read_upright(four_hundred):
    """Before any finder: the pixels are those of the upright picture, but for JPEG noise."""
    for number in range(20):
        turned, upright = (
            read_picture(four_hundred / f"odd{number:02d}-{kind}.jpg").astype(float)
            for kind in ("exif", "png")
        )
        assert turned.shape == upright.shape
        assert np.abs(turned - upright).mean() < 8


def compare_turned(pack, finder):
    """Photos turned by EXIF end up as the upright ones of the same head do, and not as those turned over."""
    by_source = {record["source"]: index for index, record in enumerate(pack.records)}
    differences = []
    for number in range(20):
        turned, upright = (by_source.get(f"odd{number:02d}-{kind}.jpg") for kind in ("exif", "png"))
        if turned is not None and upright is not None:
            faces = [read_picture(pack.read(index)).astype(float) for index in (turned, upright)]
            differences.append(np.abs(faces[0] - faces[1]).mean())
            assert differences[-1] < np.abs(faces[0] - np.rot90(faces[1], 2)).mean() / 2
    assert len(differences) >= 18
    # JPEG noise moves Haar's eyes, and its crops with them, by a pixel or two: half must hold the bound.
    assert (max(differences) if finder == "mesh" else np.median(differences)) < 8


MEASURE = """
import json, sys
from pathlib import Path
from mien.prepare.sources import Reader, list_inputs
from mien.prepare.extract import CropConfig, extract

def peak():
    line = next(l for l in open("/proc/self/status") if l.startswith("VmHWM"))
    return int(line.split()[1]) // 1024

class Nobody:
    name = "nobody"
    def find(self, image, *, most=8):
        return []

folder = Path(sys.argv[1])
before, reader = peak(), Reader(folder)
for file in list_inputs(folder).files:
    extract(file, reader, Nobody(), CropConfig((64,)))
print(json.dumps([before, peak(), "torch" in sys.modules]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_memory_is_bounded_and_workers_do_without_torch(four_hundred):
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(four_hundred)],
        capture_output=True,
        text=True,
        check=True,
        env=paths,
    )
    before, after, torch_loaded = json.loads(done.stdout)
    assert after - before < 100, "a 30000x30000 picture alone would need 900 MB"
    assert not torch_loaded


@pytest.mark.slow
def test_real_photos_are_nearly_all_kept(shared_data, tmp_path, finder):
    folder = tmp_path / "some"
    folder.mkdir()
    for path in sorted((shared_data / "photos").glob("*.jpg"))[::6]:
        (folder / path.name).symlink_to(path)
    result = prepare(folder, tmp_path / "out.zip", finder=finder).run()
    assert result.kept >= 0.97 * result.total
    assert all(drop["reason"] and drop["detail"] for drop in result.drops)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["faces/female-asian", "expressions/smiling", "portraits-cc0"])
def test_default_bounds_keep_other_kinds_of_portraits(shared_data, tmp_path, finder, part):
    folder = tmp_path / "some"
    folder.mkdir()
    for path in sorted((shared_data / part).glob("*.jpg"))[:24]:
        (folder / path.name).symlink_to(path)
    assert prepare(folder, tmp_path / "out.zip", finder=finder).run().kept >= 23
