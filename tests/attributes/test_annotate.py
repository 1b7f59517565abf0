"""An attribute model from training to manifest: honest figures, a report, predictions written once."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import forked
from mien.attributes import agreement, predictions
from mien.attributes.agreement import Number, OneOf, YesNo
from mien.attributes.annotate import measure_faces
from mien.attributes.predictions import CHUNK, given, merged, open_model, read_labels, read_shard
from mien.attributes.scores import AttributeExamination, evaluate, load, read
from mien.cli import main
from mien.core.artefacts import artefact_path
from mien.core.checkpoint import read_header
from mien.core.cluster import Cluster, Shard
from mien.core.errors import InputError, MienError
from mien.core.manifest import continuation, read_continuation
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.run import RunFolder, find_runs
from mien.core.storage import shared
from mien.datasets.opening import open_dataset
from rendered_heads import heads

QUICK = [
    *("--model", "attributes", "--set", "width=8", "--set", "batch_size=50", "--set", "lr=0.004"),
    *(
        "--set",
        "labels=dark,coin,hue,level",
        "--precision",
        "fp32",
        "--device",
        "cpu",
        "--snapshot-kimg",
        "2",
    ),
]


def write_blobs(path: Path, *, count: int = 420, size: int = 16, gray: bool = False, seed: int = 0) -> Path:
    """Three pictures of each person. dark, hue and level can be seen; coin is thrown anew for each."""
    rng = np.random.default_rng(seed)
    with PackWriter(path) as pack:
        for index in range(count):
            dark, coin, hue = (int(rng.integers(2)) for _ in range(3))
            level = int(rng.integers(40, 160))
            picture = rng.integers(0, 60, (4, 4, 3)).repeat(size // 4, 0).repeat(size // 4, 1)
            picture[..., 1] += level
            picture[: size // 2, :, 0] += 120 * (1 - dark)
            picture[size // 2 :, :, 2] += 120 * hue
            labels = {"dark": bool(dark), "coin": bool(coin), "hue": ("warm", "cold")[hue], "level": level}
            if index % 10 == 0:
                del labels["dark"]  # not known, which is not the same as light
            record = {"labels": {**labels, "person": index // 3}}
            pixels = picture[..., :1] if gray else picture
            pack.add_png(encode_png(pixels.astype(np.uint8)), None, record)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunFolder, Path]]:
    """A run of some seconds and its dataset."""
    root = tmp_path_factory.mktemp("attributes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("MIEN_CACHE", str(root / "cache"))
        data = write_blobs(root / "blobs.zip")
        assert main(["train", str(data), "--kimg", "6", *QUICK]) == 0
        (run,) = find_runs(root / "runs")
        yield run, data


@pytest.fixture
def copied(trained: tuple[RunFolder, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The model's file, and a dataset of its own to write into."""
    run, data = trained
    return run.newest_product("attributes"), Path(shutil.copy(data, tmp_path / "blobs.zip"))


def found(run: RunFolder) -> AttributeExamination:
    return AttributeExamination.of_run(run)[0]


@pytest.mark.slow
def test_what_can_be_seen_is_learnt_and_a_coin_is_not(trained: tuple[RunFolder, Path]) -> None:
    readings = {reading.name: reading for reading in found(trained[0]).readings}
    dark, coin, hue, level = (readings[name] for name in ("dark", "coin", "hue", "level"))
    assert isinstance(dark, YesNo)
    assert isinstance(coin, YesNo)
    assert isinstance(hue, OneOf)
    assert isinstance(level, Number)
    assert dark.auc is not None
    assert coin.auc is not None
    assert dark.auc.value > 0.95
    assert coin.auc.low < 0.5 < coin.auc.high
    assert hue.accuracy.low > hue.most_common
    assert level.mae.high < level.mae_of_median / 2
    assert level.rmse.value > level.mae.value


@pytest.mark.slow
def test_figures_are_of_people_kept_out(trained: tuple[RunFolder, Path]) -> None:
    run, _ = trained
    examination = found(run)
    assert examination.kept_out
    assert examination.how == "kept out of training by person"
    assert examination.num_pictures == 3 * examination.num_people
    assert 60 <= examination.num_pictures <= 110
    dark = next(reading for reading in examination.readings if reading.name == "dark")
    assert dark.count < examination.num_pictures  # of some it is not known
    assert read_header(run.newest_product("attributes")).kind == "attributes"
    tick = next(record for record in run.read_log() if "event" not in record)
    assert {"Eval/auc", "Eval/mae/level", "Eval/accuracy/hue", "Loss/net/loss"} <= set(tick)


def test_evaluating_again_gives_the_same_and_other_data_is_owned_up_to(
    trained: tuple[RunFolder, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = trained
    assert main(["evaluate", str(run.path), "--data", str(data), "--device", "cpu"]) == 0
    assert "kept out of training by person" in " ".join(capsys.readouterr().out.split())
    first, again = AttributeExamination.of_run(run)[:: len(AttributeExamination.of_run(run)) - 1]
    assert first.readings == again.readings
    other = evaluate(
        run.newest_product("attributes"), str(write_blobs(tmp_path / "o.zip", seed=1)), device="cpu"
    )  # type: ignore[arg-type]
    assert not other.kept_out
    assert other.num_pictures == 420


def test_the_report_tells_the_figures_and_stands_alone(trained: tuple[RunFolder, Path]) -> None:
    run, _ = trained
    assert main(["report", str(run.path)]) == 0
    page = run.report.read_text("utf-8")
    examination = found(run)
    dark = next(one for one in examination.readings if isinstance(one, YesNo) and one.name == "dark")
    assert dark.auc is not None
    ends = f"{dark.auc.low:.3f}-{dark.auc.high:.3f}"
    assert f'{dark.auc.value:.3f}<span class="better">{ends}</span>' in page
    assert "Not told from guessing: coin." in page
    assert page.count("said 0.") >= 8
    assert "http" not in page.replace("http-equiv", "")


def page_of(run: RunFolder, *more: str) -> str:
    assert main(["report", str(run.path), *more]) == 0
    return " ".join(run.report.read_text("utf-8").split())


def test_a_report_says_what_is_not_measured_or_not_to_be_relied_on(tmp_path: Path) -> None:
    """Of a run without a model yet: first nothing is known, then figures that are poor and may flatter."""
    run = RunFolder.create(tmp_path / "runs", "attributes-faces")
    run.write_config({"family": "attributes", "dataset": {"name": "faces"}})
    page = page_of(run)
    assert "How well it reads has not been measured yet." in page
    assert "There is nothing to show without a model, its figures and the pictures." in page
    assert "Training diverged" not in page
    truth = np.arange(400) % 2
    people = [str(index) for index in range(400)]
    said = np.clip(0.08 * truth + np.random.default_rng(0).uniform(0.2, 0.7, 400), 0, 1)
    weak = agreement.yes_no("weak", truth, said, people)
    assert weak.auc is not None
    assert 0.5 < weak.auc.low < weak.auc.value < 0.7
    AttributeExamination(
        model_id="attributes-0",
        nimg=1000,
        dataset_name="faces",
        dataset_hash="0" * 64,
        how="some that people who know no names might flatter",
        num_pictures=400,
        num_people=400,
        readings=(weak,),
    ).append(run)
    run.append_log({"event": "rescue", "kind": "nan", "text": "went back", "nimg": 1000})
    page = page_of(run)
    assert "not been measured" not in page
    assert f"On other pictures its mean AUC is {weak.auc.value:.3f}, over 1 labels" in page
    assert f"Read poorly: weak {weak.auc.value:.2f}." in page
    assert "These pictures are some that people who know no names might flatter." in page
    assert "No person is known, so the same face may be on both sides; the figures may flatter." in page
    assert "Training diverged on the way; see the warnings." in page


def test_a_report_without_the_pictures_shows_no_mistakes_and_says_why(
    trained: tuple[RunFolder, Path], tmp_path: Path
) -> None:
    run = RunFolder.open(Path(shutil.copytree(trained[0].path, tmp_path / "run")))
    page = page_of(run, "--data", str(tmp_path / "gone.zip"))
    assert re.search(r"The pictures are not at hand: [^<]*gone\.zip: ", page)
    assert "Not told from guessing: coin." in page  # what was measured stays


@pytest.mark.parametrize(
    "verb", [["generate", "--out", "x"], ["evaluate", "--data", "DATA", "--metric", "swd"]]
)
def test_verbs_of_generators_say_in_a_line_that_this_is_none(
    verb: list[str], trained: tuple[RunFolder, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = trained
    arguments = [str(data) if one == "DATA" else one for one in verb[1:]]
    for source in (run.path, run.newest_product("attributes")):
        capsys.readouterr()
        assert main([verb[0], str(source), *arguments]) == 2
        error = capsys.readouterr().err.strip()
        assert "\n" not in error
        assert "attributes" in error


@pytest.mark.slow
def test_killed_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by kill -9 and started again by the same command, it ends at its budget with whole files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    data = write_blobs(tmp_path / "blobs.zip", count=90)
    command = [sys.executable, "-m", "mien", "train", str(data), "--kimg", "8", *QUICK]
    with forked.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "3.0 kimg " not in (line := process.stdout.readline()):
            assert line
        process.send_signal(signal.SIGKILL)
    (run,) = find_runs(tmp_path / "runs")
    assert main(["train", str(data), "--kimg", "8", *QUICK]) == 0
    assert len(find_runs(tmp_path / "runs")) == 1
    seen = [record["nimg"] for record in run.read_log() if "event" not in record]
    assert seen == list(range(1000, 9000, 1000))
    assert [load(path).header.nimg for path in run.products()] == [2000, 4000, 6000, 8000]
    assert AttributeExamination.of_run(run)[-1].nimg == 8000


def test_predictions_are_what_the_model_reads(copied: tuple[Path, Path]) -> None:
    model, data = copied
    assert read_labels(data, model) == (420, 420)
    loaded, pack = load(model), PackReader(data)
    rows = read(loaded.network, open_dataset(str(data)), np.arange(420))
    names = list(loaded.header.spec.class_names)
    for row, record in zip(rows, pack.records, strict=True):
        said = record["predictions"]
        assert said["dark"] == pytest.approx(row[names.index("dark")], abs=1e-4)
        assert said["level"] == pytest.approx(row[names.index("level:number")], rel=1e-4)
        assert said["hue"] == ("cold", "warm")[int(said["hue=warm"] > 0.5)]
        assert said["predicted_by"] == {loaded.model: ["dark", "coin", "hue", "level"]}
        assert record["labels"]["level"]  # what was known stays
    right = [said["predictions"]["hue"] == said["labels"]["hue"] for said in pack.records]
    assert np.mean(right) > 0.9


def test_annotating_again_writes_nothing_and_a_stopped_one_is_finished(copied: tuple[Path, Path]) -> None:
    model, data = copied
    read_labels(data, model)
    path = continuation(data)
    whole = path.read_bytes()
    assert read_labels(data, model) == (0, 420)
    assert path.read_bytes() == whole
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:300]) + lines[300][:40])  # as a kill in the middle of a write leaves it
    assert read_labels(data, model) == (120, 420)
    assert {json.dumps(record) for record in read_continuation(data)} == {
        json.dumps(json.loads(line)) for line in lines
    }
    assert read_labels(data, model, again=True) == (420, 420)


class AsWorkers:
    """Does a cluster's work in this process, with arguments that went over the wire."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], list[int]]] = []

    def map(self, function: Callable[..., Any], shards: Iterable[Shard]) -> Iterator[Any]:
        for shard in shards:
            setup, indexes = json.loads(json.dumps(shard.arguments))
            self.asked.append((setup, indexes))
            yield function(setup, indexes)


@pytest.mark.slow
def test_what_workers_read_is_what_is_read_here_and_of_the_same_model_and_pictures(
    copied: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = copied
    alone, pool = Path(shutil.copy(data, tmp_path / "alone.zip")), AsWorkers()
    assert read_labels(alone, model) == read_labels(data, model, pool=cast(Cluster, pool)) == (420, 420)
    assert continuation(alone).read_text().splitlines() == continuation(data).read_text().splitlines()
    assert [len(indexes) for _, indexes in pool.asked] == [CHUNK, 420 - CHUNK]
    setup = pool.asked[0][0]
    write_blobs(data, count=30, seed=5)
    predictions._opened.cache_clear()  # as in a process that opens it for the first time
    with pytest.raises(MienError, match=r"blobs\.zip: other pictures on a worker than here"):
        read_shard(setup, [0])
    name = load(model).model
    with pytest.raises(MienError, match="another model on a worker than here"):
        open_model(str(alone), *shared(model), name + "x", "cpu")
    assert len(open_model(str(alone), *shared(model), name, "cpu")([3, 1])) == 2


def test_each_label_says_which_model_gave_it_last(copied: tuple[Path, Path], tmp_path: Path) -> None:
    record = {
        "predictions": {"dark": 0.5, "age": 30.0, "predicted_by": {"old": ["dark", "age"], "older": ["coin"]}}
    }
    loaded = load(copied[0])
    by = merged({}, record, loaded.model, ["dark", "coin", "hue", "level"])["predicted_by"]
    assert by == {"old": ["age"], loaded.model: ["dark", "coin", "hue", "level"]}
    assert given({"predictions": {"predicted_by": by}}, "old") == {"age"}


def test_pictures_of_another_size_are_resized_and_gray_ones_refused(
    copied: tuple[Path, Path], tmp_path: Path
) -> None:
    model, _ = copied
    large = write_blobs(tmp_path / "large.zip", count=60, size=32)
    assert read_labels(large, model) == (60, 60)
    right = [r["predictions"]["hue"] == r["labels"]["hue"] for r in PackReader(large).records]
    assert np.mean(right) > 0.9
    with pytest.raises(InputError, match="is gray, the model reads coloured"):
        read_labels(write_blobs(tmp_path / "gray.zip", count=9, gray=True), model)
    assert not continuation(tmp_path / "gray.zip").exists()
    with pytest.raises(InputError, match="no such zip or folder"):
        read_labels(tmp_path / "absent.zip", model)
    assert main(["annotate", str(large)]) == 2  # with what?


@pytest.mark.slow
@pytest.mark.skipif(artefact_path("face-mesh") is None, reason="the face mesh is not here")
def test_measuring_fills_in_what_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, _ = heads()
    data = tmp_path / "heads.zip"
    with PackWriter(data) as pack:
        for picture in pictures[:4]:
            pack.add_png(encode_png(picture), None, {"measurements": {"coverage": 0.123}})
        pack.add_png(encode_png(np.zeros_like(pictures[0])), None, {})
    assert measure_faces(data) == (5, 5)
    records = PackReader(data).records
    for record in records[:4]:
        assert record["measurements"]["coverage"] == 0.123  # of the photo, which is gone
        assert record["measurements"]["score"] > 0.5
        assert -90 < record["measurements"]["roll"] < 90
    assert records[4]["measurements"] == {"score": 0.0}
    before = continuation(data).read_bytes()
    assert measure_faces(data) == (0, 5)
    assert continuation(data).read_bytes() == before
    assert measure_faces(data, again=True) == (5, 5)
    assert PackReader(data).records[0]["measurements"]["coverage"] == 0.123


def test_pictures_of_any_shape_are_annotated_where_they_lie(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(encode_png(np.full((8, 8 + number, 3), number, np.uint8)))
    (tmp_path / "given.csv").write_text("file,age\n0.png,20\n1.png,30\n")
    source = f"folder:{tmp_path}?size=8"
    assert main(["annotate", source, "--labels", str(tmp_path / "given.csv")]) == 0
    assert {r["file"]: r["labels"]["age"] for r in read_continuation(tmp_path)} == {"0.png": 20, "1.png": 30}
