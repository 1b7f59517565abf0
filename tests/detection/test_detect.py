"""From pictures to a detector, and from a detector to verdicts: small, with a finder that knows the faces."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from detection.test_detection_scores import bright
from drawers import plain_file
from latent.test_paste import known_face
from mien.attributes.agreement import auc
from mien.cli import main
from mien.core.checkpoint import DatasetInfo, NetworkHeader, save_generator
from mien.core.errors import InputError, MienError
from mien.core.events import Event, Events
from mien.core.network import load_network
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.picture import Pixels
from mien.core.provenance import Provenance, save_picture
from mien.core.run import RunFolder
from mien.core.types import Lesson, Spec
from mien.datasets.opening import open_dataset
from mien.detection import crops, judge
from mien.detection import detect as detecting
from mien.detection import scores as scoring
from mien.detection.detect import detect
from mien.detection.detector_kind import DetectorOutputs
from mien.detection.scores import DetectorExamination
from mien.detection.train import evaluate, train, write_set
from mien.faces.face import Face
from mien.generation.drawing import Drawing, rgb
from mien.models import detector as family
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
    both = ("detector", "train", "--real", real, "--synthetic", folders[1], "--out", tmp_path / "o")
    for option in (("--kimg", "0"), ("--count", "19")):
        assert "--kimg: more than 0; --count: 20 or more" in fails(*both, *option)
    assert not (tmp_path / "o" / "faces.zip").exists()
    with pytest.raises(InputError, match="name sources with --real and with --synthetic"):
        write_set(tmp_path / "faces.zip", [str(real)], [], Events())


# --- What a worker of a cluster does, here ---


def detector_file(folder: Path, *, seed: int = 0) -> Path:
    """A tiny detector that learnt nothing: its odds say how a face's traces fell out."""
    config, spec = family.PRESETS["tiny"], Spec(64, 3, 1, (family.LABEL,))
    torch.manual_seed(seed)
    network = family.build_product(config, spec)
    network.quantiles.copy_(torch.linspace(-1, 1, len(network.quantiles)))
    network.slope.fill_(3.0)
    header = NetworkHeader(
        kind=family.KIND, family="detector", config=config.model_dump(), spec=spec, nimg=0, tool="mien test"
    )
    path = folder / f"detector{seed}.safetensors"
    save_generator(path, network.state_dict(), header)
    return path


def _same(one: detecting.Detected, other: detecting.Detected) -> None:
    """Equal in all they hold; faces hold arrays, which no == compares."""
    assert (one.path, one.mark, one.problem) == (other.path, other.mark, other.problem)
    assert len(one.faces) == len(other.faces)
    for ours, theirs in zip(one.faces, other.faces, strict=True):
        assert ours.box == theirs.box
        assert np.array_equal(ours.crop, theirs.crop)
        assert np.array_equal(ours.judgement.heat, theirs.judgement.heat)
        assert ours.crop.dtype == theirs.crop.dtype
        plain, other_plain = (vars(face.judgement) | {"heat": None} for face in (ours, theirs))
        assert plain == other_plain


def test_what_a_worker_says_is_what_is_judged_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard's answers, there and back as JSON: marks, faces, maps, and why a picture was not judged."""
    monkeypatch.setattr(detecting, "open_finder", lambda name: Middle())
    detecting._opened.cache_clear()
    save_picture(tmp_path / "marked.png", checked(blobs(1)), Provenance("m", 7, "a tool"))
    Image.fromarray(blobs(2, 128)).save(tmp_path / "plain.jpg")
    Image.fromarray(blobs(3)[:40]).save(tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    paths = [Path(name) for name in ("marked.png", "plain.jpg", "none.png", "bad.png", "gone.png")]
    here = judge.open_detector(detector_file(tmp_path), false_alarms=0.1)
    assert here.path is not None
    setup = [*detecting.shared(here.path), here.model, 0.1, "middle"]
    text = detecting.judge_shard(setup, [detecting._state(path) for path in paths])
    found = [detecting._from_plain(*pair) for pair in zip(paths, json.loads(text), strict=True)]
    for path, one in zip(paths, found, strict=True):
        _same(one, detecting.judge_picture(path, Middle(), here))
    assert found[0].mark == Provenance("m", 7, "a tool")
    assert [len(one.faces) for one in found] == [1, 1, 0, 0, 0]
    assert found[0].faces[0].judgement.heat.shape == (64, 64)
    assert len({one.faces[0].judgement.probability for one in found[:2]}) == 2
    assert found[3].problem.startswith("bad.png")
    assert "no face" in found[2].problem

    other = judge.open_detector(detector_file(tmp_path, seed=1), false_alarms=0.1)
    with pytest.raises(MienError, match=r"detector0\.safetensors: another on a worker than here"):
        detecting.judge_shard([*detecting.shared(here.path), other.model, 0.1, "middle"], [])


# --- Sources of faces ---


def test_faces_of_a_generator_are_drawn_at_three_strengths(tmp_path: Path) -> None:
    """By seed from the first on, at psi .5, .7 and 1 in turn; each is the picture that psi and seed draw."""
    model = plain_file(tmp_path, resolution=64)
    found = crops.crops_of(str(model), Events(), count=5, first_seed=4)
    assert found.names == ("seed4 psi0.7", "seed5 psi1", "seed6 psi0.5", "seed7 psi0.7", "seed8 psi1")
    drawing = Drawing.of(model, trunc=0.5, label=())
    picture = rgb(drawing.faces([6])[0])
    assert np.array_equal(found.pixels[2], crops.face_crop(picture, Middle().find(picture)[0]))
    later = crops.crops_of(str(model), Events(), count=5, first_seed=5)
    assert later.names[0] == "seed5 psi1"
    assert np.array_equal(later.pixels[:4], found.pixels[1:])


@pytest.mark.parametrize("channels", [1, 3])
def test_faces_of_a_dataset_are_evenly_spread_and_in_colour(tmp_path: Path, channels: int) -> None:
    pictures = [blobs(seed)[..., :channels] for seed in range(9)]
    with PackWriter(tmp_path / "set.zip") as writer:
        for picture in pictures:
            writer.add_png(encode_png(picture), None)
    found = crops.crops_of(str(tmp_path / "set.zip"), Events(), count=3)
    assert len(found) == 3
    assert found.names[0] == "0"
    for name, pixels in zip(found.names, found.pixels, strict=True):
        picture = np.broadcast_to(pictures[int(name)], (64, 64, 3))
        assert np.array_equal(pixels, crops.face_crop(picture, Middle().find(picture)[0]))
    distances = np.diff([int(name) for name in found.names])
    assert (distances >= 3).all()


def test_a_folder_s_bad_picture_costs_itself_and_one_without_faces_is_refused(
    tmp_path: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    class Sees(Middle):
        def find(self, image: Pixels, *, most: int = 8) -> list[Face]:
            return super().find(image) if image.any() else []

    monkeypatch.setattr(crops, "open_face_finder", lambda events: Sees())
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(blobs(1)).save(photos / "a.png")
    (photos / "b.png").write_bytes(b"no picture")
    Image.fromarray(blobs(2)[:40]).save(photos / "c.png")
    found = crops.crops_of(str(photos), Events())
    assert (found.names, found.missed) == (("a.png",), 2)
    (photos / "a.png").unlink()
    command = ["detector", "train", "--real", photos, "--synthetic", folders[1], "--out", tmp_path / "o"]
    assert f"{photos}: no face found in it" in fails(*command)


# --- Tests of a detector ---


def labelled_set(path: Path, counts: tuple[int, int], *, splits: tuple[str, ...] = ()) -> Path:
    """So many real faces (dark) and synthetic ones (bright). splits: of the pictures, in turn."""
    with PackWriter(path, class_names=(family.LABEL,)) as writer:
        for label, count in enumerate(counts):
            for index in range(count):
                pixels = np.full((64, 64, 3), 40 + 160 * label + index, np.uint8)
                record = {"source": f"source {label}", "input": f"{label}-{index}"}
                record |= {"split": splits[index % len(splits)]} if splits else {}
                writer.add_png(encode_png(pixels), [float(label)], record)
    return path


@pytest.mark.parametrize(("sign", "accuracy"), [(1.0, 1.0), (-1.0, 0.0), (0.0, 0.5)])
def test_while_it_trains_its_accuracy_is_that_on_the_faces_to_calibrate_by(
    tmp_path: Path, sign: float, accuracy: float
) -> None:
    """Bright faces are synthetic here: who says so is right, who says the opposite is wrong."""
    dataset = open_dataset(str(labelled_set(tmp_path / "set.zip", (12, 4), splits=("val", "test"))))
    network = bright()
    network.slope.fill_(sign)
    network.offset.fill_(-0.5 if sign == 0 else 0.0)
    training: Any = SimpleNamespace(averages=SimpleNamespace(networks={family.PRODUCT: network}))
    lesson = Lesson(dataset, dataset, None, "", ())
    run = RunFolder.create(tmp_path / "runs", "detector")
    outputs = DetectorOutputs(run, training, dataset, lesson, family="detector", events=Events())
    assert outputs.show().values == {"Eval/accuracy": accuracy}


def detector_run(folder: Path, dataset: str | None = None) -> Path:
    """A run folder with a tiny detector that was trained on nothing, or says it was on `dataset`."""
    run = RunFolder.create(folder / "runs", "detector")
    run.write_config({"family": "detector"})
    loaded = load_network(detector_file(folder), family.KIND)
    header = loaded.header
    if dataset is not None:
        known = open_dataset(dataset)
        info = DatasetInfo(name=known.name, content_hash=known.content_hash, num_images=len(known))
        header = header.model_copy(update={"dataset": info})
    save_generator(run.product(family.KIND, 1000), loaded.network.state_dict(), header)
    return run.path


def test_a_run_is_tested_on_the_set_that_its_page_is_asked_of(
    tmp_path: Path, fails: Callable[..., str]
) -> None:
    """Of its own set only on the part for tests; then the page can be made again without a set."""
    data = str(labelled_set(tmp_path / "own.zip", (8, 4), splits=("train", "val", "test", "train", "test")))
    run = detector_run(tmp_path, data)
    assert "it was not evaluated yet; name a set with --data" in fails("report", run)
    assert main(["report", str(run), "--data", data]) == 0
    (examination,) = DetectorExamination.of_run(RunFolder(run))
    assert (examination.how, examination.kept_out) == ("4 faces, kept out by picture", True)
    assert {(one.source, one.count) for one in examination.scores} == {("source 0", 3), ("source 1", 1)}
    assert "4 faces, kept out by picture" in (run / "report.html").read_text("utf-8")
    other = str(labelled_set(tmp_path / "other.zip", (5, 5), splits=("train", "test")))
    assert main(["evaluate", str(run), "--data", other]) == 0
    assert main(["report", str(run)]) == 0
    newest = DetectorExamination.newest(RunFolder(run))
    assert newest is not None
    assert (newest.how, newest.kept_out) == ("10 faces", False)
    assert "10 faces" in (run / "report.html").read_text("utf-8")


def test_a_detector_is_tested_on_another_set(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    """The share found and the AUC are those of its odds; nothing of a set it never met is kept out."""
    model = detector_file(tmp_path)
    steps: list[Event] = []
    examination = evaluate(
        model, real=(str(folders[0]),), synthetic=(str(folders[1]),), out=tmp_path / "o", device="cpu"
    ).run(steps.append)
    dataset = open_dataset(str(tmp_path / "o" / "faces.zip"))
    assert dataset.labels is not None
    truth = dataset.labels[:, 0] > 0.5
    network = load_network(model, family.KIND).network
    pixels = dataset.images(np.arange(len(dataset))).transpose(0, 2, 3, 1)
    odds = scoring.log_odds(network, scoring.parts_of(network, pixels))
    assert (examination.how, examination.kept_out) == (f"{len(dataset)} faces", False)
    assert examination.dataset_hash == dataset.content_hash
    assert examination.accuracy == pytest.approx(((odds[truth] >= 0).mean() + (odds[~truth] < 0).mean()) / 2)
    (plain,) = [one for one in examination.scores if one.synthetic and one.history == "as it is"]
    assert plain.auc is not None
    assert plain.auc.value == pytest.approx(auc(truth.astype(float), odds))
    called = (odds[truth] >= network.threshold(examination.false_alarms)).mean()
    assert plain.called.value == pytest.approx(called)
    histories = {one.history for one in examination.scores}
    assert histories == set(scoring.HISTORIES)
    assert any("testing" in str(step) for step in steps), "how far it is, is told"


def test_a_detector_is_tested_on_both_kinds(tmp_path: Path) -> None:
    path = labelled_set(tmp_path / "fakes.zip", (0, 3))
    with pytest.raises(InputError, match="tested on real and on synthetic faces"):
        scoring.evaluate(detector_file(tmp_path), str(path), device=torch.device("cpu"))
