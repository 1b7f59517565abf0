"""Pictures through a network: names, sizes, labels and marks; a bad input costs that input only."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien.core.errors import InputError
from mien.core.events import Event, Events, Notice, Progress
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.picture import read_picture
from mien.core.provenance import SourceType, verify
from mien.core.types import Spec
from mien.translation.transform import Operation, open_inputs, transform, transform_inputs

OP = Operation(lambda images: -images, Spec(16), "test-0123456789ab", SourceType.ENHANCED)


def picture(seed: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def test_a_folder_becomes_a_folder_of_the_same_names(tmp_path: Path) -> None:
    images = {name: picture(seed) for seed, name in enumerate(["a.png", "deep/b.png", "a.bmp"])}
    for name, image in images.items():
        write(tmp_path / "in" / name, image)
    done = transform([str(tmp_path / "in")], tmp_path / "out", OP)
    assert done == (3, ())
    for name, result in [("a.png", "a.png.png"), ("deep/b.png", "deep/b.png"), ("a.bmp", "a.bmp.png")]:
        found = read_picture(tmp_path / "out" / result).astype(int)
        assert np.abs(255 - images[name].astype(int) - found).max() <= 1
        mark = verify(tmp_path / "out" / result)
        assert mark is not None
        assert (mark.model, mark.source_type) == (OP.model, SourceType.ENHANCED)


def test_a_dataset_keeps_every_label_and_record(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "in.zip", class_names=("gaze", "open")) as pack:
        for seed in range(40):  # more than one batch
            pack.add_png(
                encode_png(picture(seed)), (seed / 2, 1.0), {"labels": {"person": seed}, "licence": "CC0-1.0"}
            )
    transform([str(tmp_path / "in.zip")], tmp_path / "out.zip", OP)
    before, after = PackReader(tmp_path / "in.zip"), PackReader(tmp_path / "out.zip")
    assert (after.labels, after.class_names) == (before.labels, before.class_names)
    for index, record in enumerate(after.records):
        assert record["labels"] == {"person": index}
        assert record["made_by"] == OP.model  # type: ignore[typeddict-item]
        changed = read_picture(after.read(index)).astype(int)
        assert np.abs(255 - picture(index).astype(int) - changed).max() <= 1


def test_what_cannot_be_read_costs_that_picture_alone(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path / "in" / f"{seed}.png", picture(seed))
    good = (tmp_path / "in/1.png").read_bytes()
    (tmp_path / "in/1.png").write_bytes(good[: len(good) // 2])
    for out in ("out", "out.zip"):
        done = transform([str(tmp_path / "in")], tmp_path / out, OP)
        assert done.written == 2
        assert len(done.problems) == 1
        assert "1.png" in done.problems[0]
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["0.png", "2.png"]
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        lines = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
    assert [line["verdict"] for line in lines] == ["kept", "dropped", "kept"]


@pytest.mark.parametrize("out", ["out", "out.zip"])
def test_where_no_picture_can_be_read_nothing_is_written_and_the_first_are_named(
    tmp_path: Path, out: str
) -> None:
    for number in range(7):
        good = write(tmp_path / "in" / f"{number}.png", picture(number)).read_bytes()
        (tmp_path / "in" / f"{number}.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match=r"nothing could be read: .*0\.png.*; .*1\.png") as caught:
        transform([str(tmp_path / "in")], tmp_path / out, OP)
    assert "6.png" not in str(caught.value)
    assert not (tmp_path / out).exists()


def test_files_folders_and_zips_are_taken_together(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "a.zip", class_names=("dull", "bright")) as pack:
        pack.add_png(encode_png(picture(0)), 1, {"licence": "CC0-1.0"})
    write(tmp_path / "in/b.png", picture(1))
    write(tmp_path / "c.png", picture(2))
    sources = [str(tmp_path / name) for name in ("a.zip", "in", "c.png")]
    inputs = open_inputs(sources)
    assert [each.name for each in inputs.pictures] == ["00000/img00000000.png", "b.png", "c.png"]
    assert inputs.class_names == ()  # of several there is no one list of labels
    assert transform(sources, tmp_path / "out", OP) == (3, ())
    for seed, name in enumerate(["00000/img00000000.png", "b.png", "c.png"]):
        changed = read_picture(tmp_path / "out" / name).astype(int)
        assert np.abs(255 - picture(seed).astype(int) - changed).max() <= 1


def test_a_size_that_only_decoding_tells_costs_that_picture_alone(tmp_path: Path) -> None:
    """HEIC, whose header is read by its extra alone."""
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(picture(0, 64))).save(tmp_path / "large.heic")
    write(tmp_path / "b.png", picture(1))
    done = transform([str(tmp_path / name) for name in ("large.heic", "b.png")], tmp_path / "out", OP)
    assert done.written == 1
    assert done.problems == (f"{tmp_path / 'large.heic'}: it is 64x64",)


def test_a_job_names_each_input_left_out_and_counts_the_rest(tmp_path: Path) -> None:
    good = write(tmp_path / "in/0.png", picture(0))
    (tmp_path / "in/1.png").write_bytes(good.read_bytes()[:50])
    events: list[Event] = []
    done = transform_inputs(Events(events.append), "testing", str(tmp_path / "in"), tmp_path / "out", OP)
    assert done.written == 1
    *progress, left_out, last = events
    assert progress[-1] == Progress("testing", 2, 2)
    assert isinstance(left_out, Notice)
    assert (left_out.text, left_out.tone) == (f"left out: {done.problems[0]}", "warning")
    assert last == Notice(f"wrote 1 picture(s) to {tmp_path / 'out'}")


def test_another_size_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    write(tmp_path / "in/a.png", picture(0))
    write(tmp_path / "in/b.png", picture(1, 20))
    with pytest.raises(InputError, match=r"16x16.*b\.png \(20x20\).*--resize"):
        transform([str(tmp_path / "in")], tmp_path / "out", OP)
    assert not (tmp_path / "out").exists()
    done = transform([str(tmp_path / "in")], tmp_path / "out", replace(OP, resize=True))
    assert done.written == 2
    assert read_picture(tmp_path / "out/b.png").shape == (16, 16, 3)


def test_any_size_comes_through_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "in/a.png", picture(0))
    write(tmp_path / "in/b.png", picture(1, 20)[:9])
    transform([str(tmp_path / "in")], tmp_path / "out", replace(OP, any_size=True))
    assert read_picture(tmp_path / "out/b.png").shape == (9, 20, 3)


def test_a_gray_network_sees_gray(tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def change(images: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(images.shape))
        return images

    image = write(tmp_path / "a.png", picture(0))
    transform([str(image)], tmp_path / "out", replace(OP, spec=Spec(16, 1), change=change))
    assert seen == [(1, 1, 16, 16)]


def test_results_never_fall_upon_their_inputs(tmp_path: Path) -> None:
    image = write(tmp_path / "in/a.png", picture(0))
    for sources in ([str(image)], [str(tmp_path / "in")]):
        with pytest.raises(InputError, match="go elsewhere"):
            transform(sources, tmp_path / "in", OP)
    assert np.array_equal(read_picture(image), picture(0))


@pytest.mark.parametrize("sources", [[], ["nowhere"], ["nowhere.png", "nor-here.png"]])
def test_nothing_there_is_said(sources: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError):
        transform(sources, tmp_path / "out", OP)
    assert not (tmp_path / "out").exists()


def test_any_dataset_can_be_the_input() -> None:
    inputs = open_inputs(["rendered:2:32"])
    assert [one.name for one in inputs.pictures] == ["00000000.png", "00000001.png"]
    assert inputs.pictures[0].read().shape == (32, 32, 3)
    assert inputs.pictures[0].size() == (32, 32)
    assert len(inputs.pictures[0].label or ()) == len(inputs.class_names) > 0  # type: ignore[arg-type]
