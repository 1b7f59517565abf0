"""Sizes, layouts, rules anew, conditions, doubles, labels from elsewhere: on faces that a stub finds."""

import json
import shutil
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mien.core.errors import InputError, MienError
from mien.core.events import Events
from mien.core.manifest import append_records
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.picture import read_picture
from mien.faces.crop import Square, scaled
from mien.faces.face import Face
from mien.labels.split import split_people
from mien.prepare import run
from mien.prepare.candidates import StoredFaces
from mien.prepare.extract import CropConfig, copy_quality, extract, own_sharpness
from mien.prepare.judge import Rules
from mien.prepare.pool import Answer
from mien.prepare.prepare import prepare
from mien.prepare.sources import Input, Reader, list_inputs
from mien.prepare.store import Store
from mien.prepare.where import Where
from rendered_heads import heads

EASY = Rules(min_sharpness=None, min_exposure=None, max_exposure=None, max_coverage=0.95, max_yaw=None)


class Everywhere:
    """A finder that sees a face in the middle of every picture but dark ones."""

    name = "everywhere"

    def find(self, image, *, most=8):
        height, width = image.shape[:2]
        if image.mean() < 5:
            return []
        at = [
            (width * x, height * y)
            for x, y in ((0.35, 0.4), (0.65, 0.4), (0.5, 0.55), (0.4, 0.7), (0.6, 0.7))
        ]
        box = (width * 0.2, height * 0.2, width * 0.6, height * 0.7)
        return [Face(box, width * 0.6, 0.9, *at)]


class Here:
    """A pool in this process. looked_at: names of the inputs it was given."""

    looked_at: list[str] = []  # noqa: RUF012 - shared on purpose; the fixture empties it

    def __init__(self, setup, *, count, patience_seconds):
        self._config = CropConfig(**setup["config"])
        self._source, self._store = setup["source"], setup["store"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def run(self, tasks):
        from pathlib import Path

        store = Store(Path(self._store))
        with Reader(Path(self._source)) as reader:
            for number, task in enumerate(tasks):
                self.looked_at.append(task["name"])
                file = Input(task["name"], task["at"], task["key"])
                finder = None if self._config.finder == "none" else Everywhere()
                outcome = extract(file, reader, finder, self._config)
                if outcome.record["sha256"] is None:
                    yield number, Answer(outcome.record)
                else:
                    store.add(file.key, outcome.record, crops=outcome.crops, thumb=outcome.thumb)
                    yield number, Answer({})
        store.close()


@pytest.fixture(autouse=True)
def _stub(monkeypatch):
    monkeypatch.setattr(run, "Pool", Here)
    monkeypatch.setattr(run, "needed_artefacts", lambda name: ())
    Here.looked_at.clear()


def noise(seed, side=96):
    coarse = np.random.default_rng(seed).integers(40, 220, (12, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.NEAREST)


@pytest.fixture
def photos(tmp_path):
    """Six pictures of growing size, one dark one, one file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        noise(number, 64 + 32 * number).save(folder / f"{number}.png")
    Image.new("RGB", (50, 50)).save(folder / "dark.png")
    (folder / "note.txt").write_text("no picture\n")
    return folder


def prepare_here(inputs, out, *, finish=lambda packed: None, **options):
    """The work below the command, for inputs with labels from elsewhere."""
    chosen = run.Options((16,), rules=EASY, **options)
    return run.prepare_inputs(inputs, out, chosen, events=Events(), finish=finish)


def sources(pack):
    return [record["source"] for record in pack.records]


def test_several_sizes_are_one_pass_and_a_zip_each(photos, tmp_path):
    result = prepare(photos, tmp_path / "out.zip", size=(16, 64, 128), rules=EASY).run()
    assert sorted(Here.looked_at) == sorted(path.name for path in photos.iterdir())
    assert [pack.path.name for pack in result.packs] == ["out-16.zip", "out-64.zip", "out-128.zip"]
    packs = [PackReader(pack.path) for pack in result.packs]
    assert [read_picture(pack.read(0)).shape[0] for pack in packs] == [16, 64, 128]
    # The crop is 1.2 times the picture's width here, and a crop may be enlarged by two thirds.
    assert sources(packs[1]) == [f"{number}.png" for number in range(6)]
    assert sources(packs[2]) == [
        f"{number}.png" for number in range(6) if 1.2 * (64 + 32 * number) >= 0.6 * 128
    ]
    alone = prepare(photos, tmp_path / "alone.zip", size=64, rules=EASY).run()
    assert alone.packs[0].path.read_bytes() == packs[1].path.read_bytes()
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.slow
def test_a_size_without_pictures_is_said_and_the_others_are_written(photos, tmp_path):
    result = prepare(photos, tmp_path / "out.zip", size=(64, 1024), rules=EASY).run()
    assert [pack.size for pack in result.packs] == [64]
    assert any("out-1024.zip was not written" in note and "too-small" in note for note in result.notes)


def test_small_crops_are_antialiased(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    stripes = np.full((600, 600, 3), 40, np.uint8)
    stripes[:, ::2] = 215
    Image.fromarray(stripes).save(folder / "a.png")
    prepare(folder, tmp_path / "out.zip", size=(16, 64, 256), rules=EASY).run()
    for size in (16, 64):
        inner = read_picture(PackReader(tmp_path / f"out-{size}.zip").read(0))[
            size // 4 : -size // 4, size // 4 : -size // 4
        ]
        assert inner.astype(float).std() < 6


def test_other_rules_and_conditions_need_no_pixel_again(photos, tmp_path):
    out = tmp_path / "out.zip"
    first = prepare(photos, out, size=16, rules=EASY).run()
    assert (first.kept, first.measured) == (6, 8)
    Here.looked_at.clear()
    shutil.move(photos / "0.png", tmp_path / "0.png")  # reading it would fail
    (photos / "0.png").symlink_to(tmp_path / "0.png")
    second = prepare(photos, out, size=16, rules=EASY, where="width > 100 and not face_size > 120").run()
    assert set(Here.looked_at) <= {"note.txt"} | {"0.png"}
    assert [record["width"] for record in PackReader(out).records] == [128, 160, 192]
    assert second.dropped == {"where": 3, "no-face": 1, "not-a-picture": 1}
    bytes_of_first = [prepare(photos, out, size=16, rules=EASY).run().kept, out.read_bytes()]
    assert bytes_of_first == [
        6,
        prepare(photos, tmp_path / "new.zip", size=16, rules=EASY).run().packs[0].path.read_bytes(),
    ]


def test_a_changed_file_is_looked_at_again_and_a_new_one_too(photos, tmp_path):
    out = tmp_path / "out.zip"
    prepare(photos, out, size=16, rules=EASY).run()
    Here.looked_at.clear()
    noise(77, 70).save(photos / "0.png")
    noise(78, 70).save(photos / "new.png")
    result = prepare(photos, out, size=16, rules=EASY).run()
    assert sorted(Here.looked_at) == ["0.png", "new.png"]
    assert (result.measured, result.kept) == (2, 7)


def test_work_is_forgotten_on_request(photos, tmp_path):
    prepare(photos, tmp_path / "out.zip", size=16, rules=EASY, keep_work=False).run()
    left = ["out-report.html", "out-sheet.jpg", "out.zip", "photos"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_condition_that_some_cannot_answer_counts_them(photos, tmp_path):
    extra = {f"{number}.png": {"labels": {"age": 10 * number}} for number in range(4)}
    inputs = replace(list_inputs(photos), extra=extra)
    result = prepare_here(inputs, tmp_path / "out.zip", where=Where("age >= 20"))
    assert result.kept == 2
    assert (result.dropped["where"], result.dropped["where-unknown"]) == (2, 2)
    (detail, *_) = [drop["detail"] for drop in result.drops if drop["reason"] == "where-unknown"]
    assert "age, which this picture lacks" in detail


def test_labels_and_keys_from_elsewhere(photos, tmp_path):
    labels = {f"{number}.png": number % 2 for number in range(5)}
    extra = {"0.png": {"licence": "CC0", "source_url": "https://example.org/0", "labels": {"age": 31}}}
    inputs = replace(list_inputs(photos), labels=labels, class_names=("no", "yes"), extra=extra)
    result = prepare_here(inputs, tmp_path / "out.zip")
    pack = PackReader(tmp_path / "out.zip")
    assert pack.labels == [0, 1, 0, 1, 0]
    assert pack.class_names == ("no", "yes")
    assert pack.records[0]["labels"] == {"class": "no", "age": 31}
    assert (pack.records[0]["licence"], pack.records[0]["source_url"]) == ("CC0", "https://example.org/0")
    assert result.dropped["no-label"] == 1


@pytest.mark.parametrize(
    ("labels", "names", "in_records"),
    [
        ([0, 1, 0, 1, 0], ("no", "yes"), {"class": "no"}),
        ([3, 1, 3, 1, 3], (), {"class": 3}),
        ([(0.5, 1.0), (1.0, 0.0)] * 2 + [(0.5, 1.0)], ("tall", "old"), {"tall": 0.5, "old": 1.0}),
        ([(0.5, 1.0), (1.0, 0.0)] * 2 + [(0.5, 1.0)], (), {"label0": 0.5, "label1": 1.0}),
    ],
    ids=["named classes", "numbered classes", "named columns", "numbered columns"],
)
def test_what_a_rule_dropped_has_its_label_again_where_looser_rules_keep_it(
    photos, tmp_path, labels, names, in_records
):
    """A dataset's own list has labels of what was kept alone; the others' are told by their records."""
    labelled = {f"{number}.png": label for number, label in enumerate(labels)}
    inputs = replace(list_inputs(photos), labels=labelled, class_names=names)
    strict, loose = tmp_path / "strict.zip", tmp_path / "loose.zip"
    dropped = prepare_here(inputs, strict, where=Where("width > 100")).dropped
    assert (dropped["where"], dropped["no-label"]) == (2, 1)  # 0 and 1; 5, which has none
    assert PackReader(strict).labels == labels[2:]
    Here.looked_at.clear()
    again = prepare(strict, loose, rules=EASY).run()
    assert (Here.looked_at, again.kept, again.dropped["no-label"]) == ([], 5, 1)
    pack = PackReader(loose)
    assert pack.labels == labels
    assert sources(pack) == [f"{number}.png" for number in range(5)]
    assert pack.records[0]["labels"] == in_records


def test_what_workers_did_not_live_to_store_is_dropped_with_its_reason(photos, tmp_path):
    """It counts for this run alone: the store knows nothing of it, so that the next one tries again."""
    inputs, store = list_inputs(photos), Store(tmp_path / "store.sqlite")
    gone = {"source": "2.png", "sha256": None, "verdict": "dropped", "reason": "unreadable", "detail": "gone"}
    faces = StoredFaces(inputs, store)
    for number, answer in enumerate((Answer(None, "crashed"), Answer(None, "timed-out"), Answer(gone))):
        faces.take(number, answer)
    records = [faces.record(number) for number in range(3)]
    assert [record["source"] for record in records] == ["0.png", "1.png", "2.png"]
    assert [record["verdict"] for record in records] == ["dropped"] * 3
    assert [record["reason"] for record in records] == ["crashed", "timed-out", "unreadable"]
    assert "the process that prepared it died" in records[0]["detail"]
    assert "took too long and was stopped" in records[1]["detail"]
    assert faces.crops(0, 16) == []
    assert faces.thumb(0) == b""
    assert faces.missing() == list(range(len(inputs.files)))
    store.close()


@pytest.mark.slow
def test_a_dataset_that_is_not_measured_or_damaged_is_looked_at_like_photos(tmp_path):
    """Only what `mien prepare` measured, and of which the first picture can be read, is judged again."""
    for name, measured, first in (
        ("bare", {}, encode_png(np.asarray(noise(0, 16)))),
        ("broken", {"yaw": 0.0}, b"\x89PNG no more"),
    ):
        with PackWriter(tmp_path / f"{name}.zip") as pack:
            for png in (first, *(encode_png(np.asarray(noise(seed, 16))) for seed in (1, 2))):
                pack.add_png(png, record={"source": "x", "measurements": measured})
    zipfile.ZipFile(tmp_path / "bare.zip").extractall(tmp_path / "bare")
    with tarfile.open(tmp_path / "bare.tar", "w") as archive:
        archive.add(tmp_path / "bare", ".")
    for name in ("bare.zip", "bare", "bare.tar", "broken.zip"):
        Here.looked_at.clear()
        prepare(tmp_path / name, tmp_path / "out" / f"{name}.zip", size=16, rules=EASY).run()
        assert len(Here.looked_at) == 3


def test_a_crawl_brings_fields_licence_and_address_and_only_its_own_files(photos, tmp_path):
    lines = [
        {"file": f"{number}.png", "source": f"https://e.org/{number}.png", "page": f"https://e.org/{number}",
         "record": str(number // 2), "site": "e", "purpose": "a test", "licence": "CC BY 4.0",
         "fields": {"height_cm": 150 + number, "name": "A"}, "sha256": "0"}
        for number in (0, 1, 2)
    ]  # fmt: skip
    lines.append({**lines[0], "fields": {"height_cm": 1}})  # the same picture on another page
    lines.append({**lines[0], "file": "gone.png"})
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"file": "3.png", "pa'
    (photos / "manifest.jsonl").write_text(text)
    result = prepare(photos, tmp_path / "out.zip", size=16, rules=EASY, where="height_cm > 150").run()
    assert result.total == 3
    assert "1 files that manifest.jsonl names are missing" in result.notes
    pack = PackReader(tmp_path / "out.zip")
    assert pack.labels is None
    record = pack.records[0]
    assert record["labels"] == {"height_cm": 151, "name": "A"}
    assert (record["licence"], record["source_url"]) == ("CC BY 4.0", "https://e.org/1.png")
    assert (record["record"], record["page"], record["site"]) == ("0", "https://e.org/1", "e")
    assert [record["person"] for record in pack.records] == ["e/0", "e/1"]
    again = prepare(photos, tmp_path / "out.zip", size=16, rules=EASY, where='record == "0"').run()
    split = split_people(PackReader(again.packs[0].path).records * 3 + pack.records, share=0.5)
    assert len(split.train) * len(split.held_out) > 0


def test_a_crawl_whose_site_file_says_who_is_shown(photos, tmp_path):
    lines = [
        {"file": f"{number}.png", "source": "s", "page": "p", "record": str(number), "site": "e",
         "person": person, "fields": {}}
        for number, person in enumerate(("e/family", "e/family", ""))
    ]  # fmt: skip
    (photos / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    prepare(photos, tmp_path / "out.zip", size=16, rules=EASY).run()
    records = PackReader(tmp_path / "out.zip").records
    assert [record.get("person") for record in records] == ["e/family", "e/family", None]


def test_doubles_give_way_to_the_one_with_more_real_pixels(photos, tmp_path):
    noise(2, 128).resize((64, 64), Image.Resampling.BOX).resize((128, 128), Image.Resampling.BICUBIC).save(
        photos / "a-soft-copy.png"
    )
    result = prepare(photos, tmp_path / "out.zip", size=32, rules=EASY).run()
    assert result.dropped["duplicate"] == 1
    pack = PackReader(tmp_path / "out.zip")
    (double,) = [record for record in pack.all_records if record.get("reason") == "duplicate"]
    assert (double["source"], double["duplicate_of"]) == ("a-soft-copy.png", "2.png")
    assert "2.png" in double["detail"]
    assert prepare(photos, tmp_path / "out.zip", size=32, rules=EASY, keep_duplicates=True).run().kept == 7


def dropped_as(path, reason="duplicate"):
    records = PackReader(path).all_records
    return {record["source"]: record for record in records if record.get("reason") == reason}


@pytest.mark.slow
def test_a_thumbnail_and_an_enlarged_copy_give_way_to_the_original(tmp_path):
    """The thumbnail is the sharpest at its size, the enlarged one has the most pixels."""
    original = Image.fromarray(heads()[0][0])
    folder = tmp_path / "photos"
    folder.mkdir()
    original.save(folder / "m-original.png")
    thumbnail = original.resize((80, 80), Image.Resampling.LANCZOS)
    thumbnail.save(folder / "a-thumbnail.png")
    thumbnail.resize((320, 320), Image.Resampling.BICUBIC).save(folder / "z-enlarged.png")
    prepare(folder, tmp_path / "out.zip", size=64, rules=EASY, finder="none", duplicates=100).run()
    pack = PackReader(tmp_path / "out.zip")
    sizes = {r["source"]: r["measurements"]["real_size"] for r in pack.all_records}
    assert sizes["a-thumbnail.png"] < sizes["m-original.png"]
    assert sizes["z-enlarged.png"] < 200, "it has 320, most of them not real"
    assert sources(pack) == ["m-original.png"]


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 1.5, 2.0, 3.0])
def test_neither_an_enlarged_nor_a_smaller_copy_wins(factor):
    square, wins = Square((80.0, 85.0), (90.0, 0.0)), 0
    for pixels in heads()[0]:
        shape = (round(160 * factor),) * 2
        copy = np.asarray(Image.fromarray(pixels).resize(shape, Image.Resampling.BICUBIC))
        own, other = (
            copy_quality({"face_size": area.side, "own_sharpness": own_sharpness(image, area)})
            for image, area in ((pixels, square), (copy, scaled(square, factor)))
        )
        wins += own > other
    assert wins >= 7


def test_a_double_in_two_classes_is_named(photos, tmp_path):
    for name, number in (("cats/2.png", 2), ("dogs/2-again.png", 2), ("cats/3.png", 3), ("dogs/4.png", 4)):
        (tmp_path / "classes" / name).parent.mkdir(parents=True, exist_ok=True)
        noise(number, 128).save(tmp_path / "classes" / name)
    result = prepare(tmp_path / "classes", tmp_path / "out.zip", size=16, rules=EASY).run()
    (note,) = result.notes
    assert "1 picture stands in two classes" in note
    assert all(word in note for word in ("cats/2.png (cats)", "dogs/2-again.png (dogs)"))
    assert "other labels (cats, here dogs)" in dropped_as(tmp_path / "out.zip")["dogs/2-again.png"]["detail"]


def test_mirrored_copies_are_doubles_on_request(photos, tmp_path):
    noise(2, 128).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photos / "z-mirrored.png")
    common = {"size": 16, "rules": EASY}
    assert prepare(photos, tmp_path / "out.zip", **common).run().kept == 7
    assert prepare(photos, tmp_path / "out.zip", **common, mirrored_duplicates=True).run().kept == 6
    assert dropped_as(tmp_path / "out.zip")["z-mirrored.png"]["duplicate_of"] == "2.png"


def test_looser_rules_reach_what_was_dropped_by_the_store_beside_the_zip(photos, tmp_path):
    made, out = tmp_path / "made.zip", tmp_path / "out.zip"
    prepare(photos, made, size=16, rules=replace(EASY, min_face=80), where="width < 200").run()
    assert sources(PackReader(made)) == ["3.png", "4.png"]
    Here.looked_at.clear()
    result = prepare(made, out, rules=EASY).run()
    assert Here.looked_at == []
    assert result.dropped == {"no-face": 1, "not-a-picture": 1}
    prepare(photos, tmp_path / "fresh.zip", size=16, rules=EASY).run()
    fresh, again = PackReader(tmp_path / "fresh.zip"), PackReader(out)
    assert sources(again) == sources(fresh)
    assert [again.read(at) for at in range(6)] == [fresh.read(at) for at in range(6)]
    # Other bounds give other reasons, not those of the first time.
    details = [record["detail"] for record in dropped_as(made, "too-small").values()]
    assert all("80 are needed" in detail for detail in details)
    prepare(made, out, rules=replace(EASY, min_face=60)).run()
    assert all("60 are needed" in record["detail"] for record in dropped_as(out, "too-small").values())
    shutil.rmtree(tmp_path / "made.work")
    result = prepare(made, out, rules=EASY).run()
    assert result.dropped == {"crop-gone": 4, "no-face": 1, "not-a-picture": 1}


def test_whole_pictures_without_a_finder(photos, tmp_path):
    wide = Image.new("RGB", (200, 100), (250, 20, 20))
    wide.paste(noise(50, 100), (50, 0))
    wide.save(photos / "wide.png")
    Image.new("L", (64, 64), 255).save(photos / "white.png")  # brighter than any face may be
    result = prepare(photos, tmp_path / "out.zip", finder="none", size=32).run()
    pack = PackReader(tmp_path / "out.zip")
    assert "dark.png" in sources(pack)
    assert "white.png" in sources(pack)
    assert result.dropped == {"not-a-picture": 1}
    middle = read_picture(pack.read(sources(pack).index("wide.png"))).astype(int)
    expected = np.asarray(noise(50, 100).resize((32, 32), Image.Resampling.BOX)).astype(int)
    assert np.abs(middle - expected).mean() < 12, "the middle square"
    record = pack.records[sources(pack).index("wide.png")]
    assert {"exposure", "contrast", "colour", "sharpness", "real_size"} < set(record["measurements"])
    assert not {"face_size", "coverage", "num_faces", "score", "yaw", "eyes_open"} & set(
        record["measurements"]
    )
    assert record["measurements"]["crop_side"] == 100
    assert prepare(photos, tmp_path / "dark.zip", finder="none", rules=Rules(max_exposure=0.5)).run().kept < 9
    for options in (
        {"layout": "ffhq"},
        {"faces": "all"},
        {"guess_person": True},
        {"duplicates_by": "identity"},
    ):
        with pytest.raises(InputError, match="--finder none"):
            prepare(photos, tmp_path / "out.zip", finder="none", **options).run()


def test_a_plain_folder_with_its_size_in_the_name(photos, tmp_path):
    prepare(f"folder:{photos}?size=32", tmp_path / "out.zip", rules=EASY).run()
    assert read_picture(PackReader(tmp_path / "out.zip").read(0)).shape == (32, 32, 3)
    with pytest.raises(InputError, match="not label="):
        prepare(f"folder:{photos}?label=a", tmp_path / "out.zip", rules=EASY).run()
    for source in ("", "  "):
        with pytest.raises(InputError, match="source is empty"):
            prepare(source, tmp_path / "out.zip").run()


def test_what_mien_wrote_beside_the_photos_is_no_input(photos, tmp_path):
    prepare(photos, photos / "one.zip", size=16, rules=EASY).run()
    prepare(photos, photos / "two.zip", size=(16, 32), rules=EASY).run()
    run_folder = photos / "runs" / "00000-a"
    run_folder.mkdir(parents=True)
    for name, text in (("config.json", "{}"), ("log.jsonl", "")):
        (run_folder / name).write_text(text)
    noise(9).save(run_folder / "grid-000010.png")
    noise(8).save(photos / "holiday-sheet.jpg")  # no zip of that name lies there
    result = prepare(photos, tmp_path / "out.zip", size=16, rules=EASY).run()
    assert result.total == 9
    assert any("left out what mien wrote: one-report.html" in note for note in result.notes)


def test_what_a_rule_drops_makes_no_double_of_what_passes(photos, tmp_path):
    """The sharper copy breaks a rule, so the other one stays."""
    noise(2, 128).resize((512, 512), Image.Resampling.NEAREST).save(photos / "large.png")
    result = prepare(photos, tmp_path / "out.zip", size=32, rules=EASY, where="width < 500").run()
    assert "2.png" in sources(PackReader(result.packs[0].path))


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_prepared_dataset_is_judged_again_and_its_pictures_copied(photos, tmp_path, kind):
    made, out = tmp_path / "made.zip", tmp_path / "out.zip"
    prepare(photos, made, size=16, rules=EASY).run()
    before = PackReader(made)
    if kind == "folder":
        made = tmp_path / "made"
        shutil.unpack_archive(tmp_path / "made.zip", made)
    append_records(made, [{"file": before.names[1], "verdict": "dropped", "reason": "ugly"},
                          {"file": before.names[2], "verdict": "dropped"},
                          {"file": before.names[3], "verdict": "dropped"},
                          {"file": before.names[3], "verdict": "kept"},
                          {"file": before.names[5], "predictions": {"age": 44}}])  # fmt: skip
    Here.looked_at.clear()
    result = prepare(made, out, rules=EASY, where="width > 64").run()
    assert (Here.looked_at, result.measured) == ([], 0)
    assert result.dropped == {"no-face": 1, "not-a-picture": 1, "tossed": 1, "ugly": 1, "where": 1}
    after = PackReader(out)
    assert sources(after) == ["3.png", "4.png", "5.png"]
    assert [after.read(number) for number in range(3)] == [before.read(number) for number in (3, 4, 5)]
    assert after.records[2]["predictions"] == {"age": 44}
    assert after.records[0]["sha256"] == before.records[3]["sha256"]
    assert len(after.all_records) == 8


def test_a_prepared_dataset_in_another_size_is_looked_at_like_photos(photos, tmp_path):
    prepare(photos, tmp_path / "made.zip", size=64, rules=EASY).run()
    Here.looked_at.clear()
    result = prepare(tmp_path / "made.zip", tmp_path / "out.zip", size=32, rules=EASY).run()
    assert result.measured == len(Here.looked_at) == 6


def test_eyes_are_two_pictures_a_face_with_their_roles(photos, tmp_path):
    prepare(photos, tmp_path / "out.zip", size=16, layout="eyes", rules=EASY).run()
    pack = PackReader(tmp_path / "out.zip")
    assert len(pack) == 12
    assert [record["role"] for record in pack.records[:4]] == ["eye-left", "eye-right"] * 2
    assert sources(pack)[:4] == ["0.png", "0.png", "1.png", "1.png"]
    faces = [read_picture(pack.read(number)).astype(int) for number in range(2)]
    assert np.abs(faces[0] - faces[1]).mean() > 10
    again = prepare(
        tmp_path / "out.zip", tmp_path / "again.zip", rules=EASY, where="width > 64", keep_duplicates=True
    ).run()
    assert again.kept == 10


def test_wild_keeps_the_picture_as_it_is(photos, tmp_path):
    prepare(photos, tmp_path / "out.zip", size=64, layout="wild", rules=EASY).run()
    pack = PackReader(tmp_path / "out.zip")
    first = read_picture(pack.read(0)).astype(int)
    assert np.abs(first - np.asarray(noise(0, 64)).astype(int)).mean() < 2


def test_a_dropped_face_can_still_be_shown(photos, tmp_path):
    shown = []

    def look(packed):
        records = PackReader(packed.path).all_records
        shown.extend((record["source"], packed.thumb(record)) for record in records)

    prepare_here(list_inputs(photos), tmp_path / "out.zip", where=Where("width > 100"), finish=look)
    thumbs = dict(shown)
    assert thumbs["note.txt"] is None
    assert read_picture(thumbs["0.png"]).shape == (16, 16, 3), "dropped, but found"
    assert read_picture(thumbs["3.png"]).shape == (16, 16, 3)
    assert read_picture(thumbs["dark.png"]).shape[:2] == (96, 96), "no face: the whole picture"


def test_verdicts_by_hand_are_never_left_to_another_dataset(photos, tmp_path):
    out = tmp_path / "out.zip"
    prepare(photos, out, size=16, rules=EASY).run()
    append_records(out, [{"file": "00000/img00000000.png", "verdict": "dropped"}])
    before = out.read_bytes()
    with pytest.raises(InputError, match=r"out\.manifest\.jsonl: holds verdicts .* NEW\.zip"):
        prepare(photos, out, size=16, rules=EASY).run()
    assert out.read_bytes() == before
    with pytest.raises(InputError, match="into itself"):
        prepare(out, out).run()


def test_nothing_kept_says_why_and_the_work_is_not_lost(photos, tmp_path):
    with pytest.raises(
        MienError, match=r"no face was kept of 8 files \(6 where, 1 not-a-picture, 1 no-face\)"
    ):
        prepare(photos, tmp_path / "out.zip", size=16, rules=EASY, where="width > 9999").run()
    Here.looked_at.clear()
    assert prepare(photos, tmp_path / "out.zip", size=16, rules=EASY).run().measured == 0


def test_colour_profile_notes_reach_the_record(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    noise(1).save(folder / "a.png", icc_profile=b"nonsense" * 20)
    prepare(folder, tmp_path / "out.zip", size=16, rules=EASY).run()
    (record,) = PackReader(tmp_path / "out.zip").records
    assert "profile is damaged" in record["notes"][0]


class Sharp(Everywhere):
    """A finder that sees faces in pictures of a thousand pixels only. shapes: of those it was given."""

    name = "mesh"

    def __init__(self):
        self.shapes = []

    def find(self, image, *, most=8):
        self.shapes.append(image.shape[:2])
        return super().find(image) if max(image.shape) >= 1140 else []


@pytest.mark.parametrize(
    ("size", "shapes"),
    [
        ((2000, 1500), [(750, 1000), (1500, 2000)]),
        ((4000, 3000), [(750, 1000), (1500, 2000)]),
        ((3000, 2000), [(1000, 1500)]),
        ((800, 600), [(600, 800)]),
    ],
)
def test_large_photos_without_a_face_are_decoded_larger(tmp_path, size, shapes):
    image = Image.new("RGB", size, (200, 180, 160))
    image.save(tmp_path / "a.jpg", quality=90)
    finder = Sharp()
    with Reader(tmp_path) as reader:
        outcome = extract(Input("a.jpg", None, ""), reader, finder, CropConfig((64,), finder="mesh"))
    assert finder.shapes == shapes
    assert ("faces" in outcome.record) == (max(size) > 1000)
    if "faces" in outcome.record:
        x, y, width, height = outcome.record["faces"][0]["box"]
        assert (x, y) == pytest.approx((0.2 * size[0], 0.2 * size[1]), rel=0.01)
        assert (width, height) == pytest.approx((0.6 * size[0], 0.7 * size[1]), rel=0.01)


def test_a_long_photo_that_shows_no_face_is_not_decoded_larger(tmp_path):
    """Its longer side has already as many pixels as finding needs."""
    finder = Sharp()
    for number, size in enumerate([(4000, 1400), (2000, 1500)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.jpg")
        with Reader(tmp_path) as reader:
            file = Input(f"{number}.jpg", None, "")
            record = extract(file, reader, finder, CropConfig((64,), finder="mesh")).record
        assert record["reason"] == "no-face"
    assert finder.shapes == [(700, 2000), (750, 1000), (1500, 2000)]


class Far(Everywhere):
    """A finder that sees one face of a sixth of the picture's width in its middle."""

    def find(self, image, *, most=8):
        (face,) = super().find(image)
        height, width = image.shape[:2]
        to = lambda x, y: (width / 2 + (x - width / 2) / 6, height / 2 + (y - height / 2) / 6)  # noqa: E731
        box = (*to(*face.box[:2]), face.box[2] / 6, face.box[3] / 6)
        return [Face(box, face.size / 6, 0.9, *(to(*place) for place in face.landmarks.values()))]


@pytest.mark.slow
def test_a_crop_that_needs_more_pixels_is_cut_from_the_photo_decoded_larger(tmp_path):
    """As sharp as one from a PNG of the same pixels, which is always decoded whole."""
    rows = np.random.default_rng(0).integers(40, 220, (650, 975, 3), np.uint8)
    image = Image.fromarray(rows).resize((1950, 1300), Image.Resampling.NEAREST)
    image.save(tmp_path / "a.jpg", quality=100, subsampling=0)
    image.save(tmp_path / "a.png", compress_level=0)
    soft = Image.fromarray(rows).resize((1950, 1300), Image.Resampling.BICUBIC)
    soft.save(tmp_path / "soft.png", compress_level=0)
    crops = {}
    for name in ("a.jpg", "a.png", "soft.png"):
        with Reader(tmp_path) as reader:
            outcome = extract(Input(name, None, ""), reader, Far(), CropConfig((256,)))
        crops[name] = read_picture(outcome.crops[0, 256, ""]).astype(float)
    lost = {name: np.abs(crop - crops["a.png"]).mean() for name, crop in crops.items()}
    assert lost["a.jpg"] < 0.25 * lost["soft.png"], lost


def test_copies_that_were_prepared_long_ago_go_by_what_was_measured_then():
    """Detail of its own counts, and less of it where it fills less of the face's size."""
    assert copy_quality({"face_size": 100, "real_size": 25, "sharpness": 0.5}) == pytest.approx(12.5)
    assert copy_quality({"face_size": 100, "real_size": 100, "sharpness": 1}) == pytest.approx(110)
    assert copy_quality({"crop_side": 100, "real_size": 400}) == pytest.approx(360)
    assert copy_quality({"face_size": 100, "sharpness": 0.5}) == 0.5
    assert copy_quality({"face_size": 100}) == 100


def test_finders_that_see_nothing_small_are_not_asked_twice(tmp_path):
    Image.new("RGB", (2000, 1500), (200, 180, 160)).save(tmp_path / "a.jpg", quality=90)
    finder = Sharp()
    finder.name = "haar"
    with Reader(tmp_path) as reader:
        record = extract(Input("a.jpg", None, ""), reader, finder, CropConfig((64,))).record
    assert record["reason"] == "no-face"
    assert finder.shapes == [(750, 1000)]
