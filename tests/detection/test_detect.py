"""From pictures to a detector, and from a detector to verdicts: small, with a finder that knows the faces."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from detection.test_detection_scores import bright
from latent.test_paste import known_face
from mien.attributes.agreement import auc
from mien.cli import main
from mien.core.events import Event, Events
from mien.core.packed import PackReader
from mien.core.picture import Pixels
from mien.core.provenance import Provenance, save_picture
from mien.core.run import RunFolder
from mien.detection import crops, judge
from mien.detection.detect import detect
from mien.detection.scores import DetectorExamination
from mien.detection.train import train, write_set
from mien.faces.face import Face
from rendered_heads import heads

_POINTS = {
    "eye_left": (0.38, 0.45),
    "eye_right": (0.62, 0.45),
    "nose": (0.5, 0.57),
    "mouth_left": (0.41, 0.7),
    "mouth_right": (0.59, 0.7),
}


class Middle:
    """Finds a face in the middle of every square picture, and none in others."""

    name = "middle"

    def find(self, image: Pixels, *, most: int = 8) -> list[Face]:
        height, width = image.shape[:2]
        if height != width:
            return []
        return [known_face({name: (x * width, y * width) for name, (x, y) in _POINTS.items()})]


@pytest.fixture(autouse=True)
def _known_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for module in ("crops", "detect"):
        monkeypatch.setattr(f"mien.detection.{module}.open_face_finder", lambda events: Middle())


def blobs(seed: int, side: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(30, 220, (7, 7, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def checked(pixels: np.ndarray) -> np.ndarray:
    """With the pattern that a bad up-sampling leaves, in blocks of four so that a resize keeps it."""
    pattern = np.indices(pixels.shape[:2]).sum(0) // 4 % 2 * 40
    return np.clip(pixels.astype(int) + pattern[..., None] - 20, 0, 255).astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Real ones are large JPEGs with EXIF, synthetic ones small PNGs with a mark: nothing may go by that."""
    real, fake = tmp_path / "real", tmp_path / "fake"
    real.mkdir()
    fake.mkdir()
    for seed in range(60):
        picture = Image.fromarray(blobs(seed, 160))
        exif = picture.getexif()
        exif[0x010F] = "a camera"
        picture.save(real / f"{seed}.jpg", quality=70 + seed % 25, exif=exif)
        save_picture(fake / f"{seed}.png", checked(blobs(1000 + seed)), Provenance("m", seed, "t"))
    return real, fake


def test_metadata_of_the_set_gives_chance(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    """Format, mode, size, compression, and every text of a stored picture are alike in both classes."""
    path = tmp_path / "faces.zip"
    write_set(path, [str(folders[0])], [str(folders[1])], Events())
    reader = PackReader(path)
    rows, labels = [], []
    for index in range(len(reader.names)):
        png = reader.read(index)
        with Image.open(io.BytesIO(png)) as image:
            told = (image.format, image.mode, *image.size, len(image.info), len(image.getexif()))
        rows.append([hash(told) % 997, image.size[0], len(image.info)])
        labels.append(float(np.asarray(reader.labels)[index].ravel()[0]))
    features = np.array(rows, float)
    assert len(set(map(tuple, rows))) == 1
    guess = cross_val_predict(LogisticRegression(), features, np.array(labels), method="predict_proba")[:, 1]
    assert auc(np.array(labels), np.round(guess, 6)) == pytest.approx(0.5, abs=0.1)


def test_large_and_small_faces_end_in_the_same_step() -> None:
    """A face that fills 64 px and the same at 512 px give crops that differ by less than a mild JPEG."""
    picture = heads(1)[0][0]
    large = np.asarray(Image.fromarray(picture).resize((512, 512), Image.Resampling.BICUBIC))
    one, other = (crops.face_crop(image, Middle().find(image)[0]) for image in (picture, large))
    assert one.shape == (64, 64, 3)
    assert np.abs(one.astype(int) - other).mean() < 3


def test_sources_are_searched_once(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    first = crops.crops_of(str(folders[0]), Events(), count=20)
    steps: list[object] = []
    again = crops.crops_of(str(folders[0]), Events(steps.append), count=20)
    assert len(first) == 20
    assert np.array_equal(first.pixels, again.pixels)
    assert steps == []


@pytest.fixture
def run(tmp_path: Path, folders: tuple[Path, Path]) -> Path:
    real, fake = map(str, folders)
    job = train(
        real=(real,),
        synthetic=(fake,),
        out=tmp_path / "out",
        kimg=1.6,
        preset="tiny",
        set=("spoilt=0", "histories=false", "ema_half_life_nimg=100", "lr=0.005"),
        device="cpu",
    )
    return job.run().path


@pytest.mark.slow
def test_from_pictures_to_verdicts(
    run: Path, tmp_path: Path, folders: tuple[Path, Path], fails: Callable[..., str]
) -> None:
    """Train, look at its scores and its page, judge pictures; a bad file costs itself alone."""
    (examination,) = DetectorExamination.of_run(RunFolder(run))
    areas = [score.auc.value for score in examination.scores if score.auc and score.history == "as it is"]
    assert areas
    assert min(areas) > 0.9
    assert main(["report", str(run)]) == 0
    assert "False alarms" in (run / "report.html").read_text("utf-8")

    save_picture(tmp_path / "a.png", checked(blobs(5000)), Provenance("m", 1, "a tool"))
    Image.fromarray(blobs(6000, 128)).save(tmp_path / "b.jpg")
    Image.fromarray(blobs(6000)[:40]).save(tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    files = [tmp_path / name for name in ("a.png", "b.jpg", "none.png", "bad.png")]
    lines = tmp_path / "lines.jsonl"
    found = detect(tuple(files), detector=run, json=lines, heat=tmp_path / "heat").run()
    told = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert [line["file"] for line in told] == list(map(str, files))
    assert told[0]["mark"]["tool"] == "a tool"
    assert told[1]["mark"] is None
    fake, real = found[0].faces[0].judgement, found[1].faces[0].judgement
    assert fake.probability > 0.6 > 0.4 > real.probability
    assert real.verdict == "no sign"
    assert "no face" in told[2]["problem"]
    assert "bad.png" in told[3]["problem"]
    assert len(list((tmp_path / "heat").glob("*.png"))) == 2
    assert "nothing to judge" in fails("detect", tmp_path / "bad.png", "--detector", run)


class _Verdicts(judge.Detector):
    """A detector whose answers to a face and its re-encodings are given."""

    def __init__(self, odds: list[float]) -> None:
        network = bright()
        network.quantiles.fill_(1.0)
        super().__init__(network, "given")
        self.odds = odds


@pytest.mark.parametrize(
    ("odds", "verdict"),
    [
        ([2, 2, 2, 2, 2], "synthetic"),
        ([2, 2, 0, 2, 2], "unsure"),
        ([0, 0, 2, 0, 0], "unsure"),
        ([0.5, 0.5, 0.5, 0.5, 0.5], "unsure"),
        ([-1, -1, -1, -1, -1], "no sign"),
    ],
)
def test_a_verdict_that_flips_is_none(
    odds: list[float], verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = _Verdicts(odds)

    def parts_of(network: object, pixels: np.ndarray, change: object = None) -> np.ndarray:
        values = odds if len(pixels) == len(odds) else [odds[0]] * len(pixels)
        return np.column_stack([values, np.zeros((len(values), 2))])

    monkeypatch.setattr(judge, "parts_of", parts_of)
    told = detector.judge(blobs(1), side=64)
    assert told.verdict == verdict
    if verdict == "unsure":
        assert ("resized to 80 %" if 2 in odds else "short of the threshold, 73.11%") in told.reasons[-1]
    assert detector.judge(blobs(1), side=20).verdict == "unsure", "too small to judge"


def test_of_several_faces_the_picture_shows_which_is_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boxes in the colours of the verdicts; how many got which is said."""

    class Two(Middle):
        def find(self, image: Pixels, *, most: int = 8) -> list[Face]:
            if len(image) < 3200:  # a tile
                return []
            (face,) = super().find(image)
            return [replace(face, box=(40.0, 40.0, 400.0, 400.0)), replace(face, box=(1600, 1500, 300, 300))]

    faces = iter(["synthetic", "no sign"])
    heat = np.zeros((64, 64), np.float32)
    monkeypatch.setattr("mien.detection.detect.open_face_finder", lambda events: Two())
    monkeypatch.setattr(
        judge.Detector, "judge", lambda *_: judge.Judgement(next(faces), 0.9, 0.8, 0.9, {}, heat, ())
    )
    Image.new("RGB", (3200, 3200), "gray").save(tmp_path / "two.png")
    events: list[Event] = []
    detect((tmp_path / "two.png",), heat=tmp_path / "heat").run(events.append)
    assert any("of 2 faces: 1 synthetic, 0 unsure, 1 no sign" in str(event) for event in events)
    shown = np.asarray(Image.open(tmp_path / "heat" / "0001-two-all.png"))
    assert shown.shape == (1600, 1600, 3)
    assert tuple(shown[120, 20]) == (240, 70, 50)
    assert tuple(shown[860, 800]) == (150, 195, 235)
    assert tuple(shown[600, 600]) == (128, 128, 128)


def test_the_heat_lies_where_the_evidence_is() -> None:
    """A face is told by a bright spot: covering that loses it."""
    face = np.zeros((64, 64, 3), np.uint8)
    face[8:20, 40:56] = 255
    heat = judge.Detector(bright(), "bright")._heat(face, 0.0)
    top, left = np.unravel_index(heat.argmax(), heat.shape)
    assert 0 <= top <= 28
    assert 32 <= left <= 63


def test_the_options_have_bounds(
    fails: Callable[..., str], tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    real = folders[0]
    assert "cannot be real and synthetic" in fails(
        "detector", "train", "--real", real, "--synthetic", real, "--out", tmp_path / "o"
    )
    assert "--false-alarms" in fails("detect", real / "0.jpg", "--false-alarms", "0.9")
