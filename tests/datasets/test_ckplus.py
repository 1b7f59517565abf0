from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from contracts.dataset_contract import DatasetContract
from mien.core.errors import InputError
from mien.datasets.layouts import ckplus
from mien.datasets.opening import open_dataset, open_index, recognise
from miniatures_ckplus import FILMS, film_frames, write_ckplus

PEAKS = [f"cohn-kanade-images/{f.subject}/{f.name}/{f.subject}_{f.name}_{f.frames:08d}.png" for f in FILMS]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    return write_ckplus(tmp_path / "ck+")


class TestCKPlus(DatasetContract):
    def make(self, root):
        return f"ckplus:{write_ckplus(root, FILMS[:5])}"

    def make_other(self, root):
        return f"ckplus:{write_ckplus(root, FILMS[1:])}"


class TestCKPlusWithEmotions(DatasetContract):
    def make(self, root):
        return f"ckplus:{write_ckplus(root, FILMS[:4])}?frames=neutral+peak&labels=emotion&crop=centre"

    def make_other(self, root):
        return self.make(root).replace("centre", "face")


def test_every_sequence_comes_back_with_what_is_known_of_it(root):
    database = ckplus.read(root)
    assert not database.problems
    assert database.subjects == ("S005", "S010", "S011", "S052")
    for film, sequence in zip(FILMS, database.sequences, strict=True):
        assert (sequence.subject, sequence.name) == (film.subject, film.name)
        assert [frame.number for frame in sequence.frames] == list(range(1, film.frames + 1))
        assert sequence.peak is sequence.frames[-1]
        assert sequence.emotion == film.emotion
        assert sequence.action_units == {unit: value or None for unit, value in film.units}
        for frame, (image, points) in zip(sequence.frames, film_frames(film), strict=True):
            assert frame.landmarks().shape == (68, 2)
            np.testing.assert_allclose(frame.landmarks(), points, atol=1e-3)
            wanted = image if film.colour else np.repeat(image[..., None], 3, axis=2)
            np.testing.assert_array_equal(frame.image(), wanted)  # 480 or 490 high, 640 wide
    assert recognise(root) == "ckplus"


def test_peaks_are_the_dataset_and_labels_are_what_the_files_say(root):
    index = ckplus.index(root)
    assert [entry.file for entry in index.entries] == PEAKS
    units = {1, 2, 4, 5, 6, 9, 12, 15, 20, 25, 26}
    for film, entry in zip(FILMS, index.entries, strict=True):
        assert (entry.person, entry.role) == (film.subject, "peak")
        assert entry.group == f"{film.subject}_{film.name}"
        assert entry.labels.get("emotion") == film.emotion
        present = dict(film.units)
        assert {unit for unit in units if entry.labels[f"AU{unit:02d}"]} == set(present)
        for unit in units:
            assert entry.labels.get(f"intensity_AU{unit:02d}") == (present.get(unit) or None)
    assert index.counts["subjects"] == 4
    assert index.counts["sequences"] == 6
    assert index.counts["frames"] == 14
    assert index.counts["sequences with an emotion"] == 4
    assert index.counts["emotion happy"] == 2
    assert "4 of 6 sequences have an emotion" in index.notes[0]


def test_no_emotion_file_means_no_label_and_not_neutral(root):
    index = ckplus.index(root)
    bare = [entry for entry, film in zip(index.entries, FILMS, strict=True) if film.emotion is None]
    assert len(bare) == 2
    assert all("emotion" not in entry.labels for entry in bare)
    dataset = open_dataset(f"ckplus:{root}?labels=emotion")
    assert [record["source"] for record in dataset.records] == [
        file for file, film in zip(PEAKS, FILMS, strict=True) if film.emotion
    ]
    assert dataset.spec.class_names == ("disgust", "happy", "surprise")
    assert dataset.labels.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert any("2 of 6 pictures have no emotion" in note for note in dataset.notes)
    assert len(open_dataset(f"ckplus:{root}")) == 6


def test_neutral_frames_and_all_frames_can_be_asked_for(root):
    both = ckplus.index(root, frames="neutral+peak").entries
    assert [entry.role for entry in both] == ["neutral", "peak"] * 6
    assert all(entry.labels == {"emotion": "neutral"} for entry in both[::2])
    every = ckplus.index(root, frames="all").entries
    assert len(every) == 14
    between = [entry for entry in every if entry.role == "between"]
    assert len(between) == 2
    assert not any(entry.labels for entry in between)


def test_action_units_are_columns(root):
    dataset = open_dataset(f"ckplus:{root}?labels=AU12,AU04")
    assert dataset.spec.class_names == ("AU12", "AU04")
    wanted = [[12 in dict(film.units), 4 in dict(film.units)] for film in FILMS]
    assert dataset.labels.tolist() == np.array(wanted, float).tolist()


def test_the_middle_keeps_height_and_width_apart(root):
    dataset = open_dataset(f"ckplus:{root}?crop=centre&size=480&channels=3")
    for number, film in enumerate(FILMS):
        image = film_frames(film)[-1][0]
        image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        top, side = 0, film.height
        left = (640 - side) // 2
        square = image[top : top + side, left : left + side].transpose(2, 0, 1)
        found = dataset.images(np.array([number]))[0]
        if film.height == 480:
            np.testing.assert_array_equal(found, square)
        else:
            assert abs(found.mean() - square.mean()) < 1


def test_the_face_is_cut_out_by_its_landmarks(root):
    """Slopes across and down say where the square lies, and that its sides are not swapped."""
    y, x = np.mgrid[:490, :640] / 4
    Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)).save(root / PEAKS[0])
    image = open_dataset(f"ckplus:{root}?size=32&channels=3").images(np.array([0]))[0] * 4.0
    points = film_frames(FILMS[0])[-1][1]
    left, right, top, bottom = image[0, 0, 0], image[0, 0, -1], image[1, 0, 0], image[1, -1, 0]
    assert left < points[:, 0].min() < points[:, 0].max() < right
    assert top < points[:, 1].min() < points[:, 1].max() < bottom
    assert right - left == pytest.approx(bottom - top, abs=8)
    assert (left + right) / 2 == pytest.approx((points[:, 0].min() + points[:, 0].max()) / 2, abs=8)
    assert right - left < 420


def test_gray_unless_asked_and_colour_as_its_luma(root):
    assert open_dataset(f"ckplus:{root}").spec.channels == 1
    gray = open_dataset(f"ckplus:{root}?size=480&crop=centre").images(np.array([4]))[0, 0]
    colour = Image.fromarray(film_frames(FILMS[4])[-1][0])
    np.testing.assert_array_equal(gray, np.asarray(colour.convert("L"))[:, 80:560])


def test_folds_never_share_a_subject(root):
    tested = []
    for fold in (1, 2, 3):
        index = open_index(f"ckplus:{root}?fold={fold}/3")
        sides = {side: {e.person for e in index.entries if e.split == side} for side in ("train", "test")}
        assert not sides["train"] & sides["test"]
        tested += sorted(sides["test"])
        train, test = ckplus.read(root).fold(fold, 3)
        assert {s.subject for s in test} == sides["test"]
        assert {s.subject for s in train} == sides["train"]
        frames = open_index(f"ckplus:{root}?fold={fold}/3&frames=all&split=test")
        assert {entry.person for entry in frames.entries} == sides["test"]  # other frames, the same people
    assert sorted(tested) == ["S005", "S010", "S011", "S052"]
    for frames in ("peak", "all"):  # folds go by sequences, whichever frames are opened
        assert ckplus.index(root, frames=frames).people == {"S005": 2, "S010": 2, "S011": 1, "S052": 1}


def test_a_peak_that_is_missing_costs_the_peak_alone(root):
    (root / PEAKS[0]).unlink()
    index = ckplus.index(root, frames="neutral+peak")
    assert len(index.entries) == 11
    assert [entry.role for entry in index.entries[:3]] == ["neutral", "neutral", "peak"]
    assert [p.where for p in index.problems] == ["cohn-kanade-images/S005/001"]
    assert "frame 3" in index.problems[0].text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("Emotion/S005/001/S005_001_00000003_emotion.txt", "", "one number from 0 to 7"),
        ("Emotion/S005/001/S005_001_00000003_emotion.txt", "9.0", "one number from 0 to 7"),
        ("Emotion/S005/001/S005_001_00000003_emotion.txt", "2.5", "one number from 0 to 7"),
        ("Emotion/S005/001/S005_001_00000003_emotion.txt", "nan", "line 1"),
        ("FACS/S005/001/S005_001_00000003_facs.txt", "12 4\n25", "line 2"),
        ("FACS/S005/001/S005_001_00000003_facs.txt", "12 7", "line 1"),
        ("FACS/S005/001/S005_001_00000003_facs.txt", "", "empty"),
        ("Landmarks/S005/001/S005_001_00000003_landmarks.txt", "1 2\n", "1 points, not 68"),
        ("Landmarks/S005/001/S005_001_00000003_landmarks.txt", "1 x\n", "line 1"),
        ("Landmarks/S005/001/S005_001_00000003_landmarks.txt", "7 7\n" * 68, "one place"),
    ],
)
def test_a_broken_file_is_named_and_costs_what_it_would_have_said(root, file, content, words):
    whole = ckplus.index(root).entries
    (root / file).write_text(content)
    index = ckplus.index(root)
    (problem,) = index.problems
    assert words in problem.text
    assert file in str(problem)
    for entry, before in zip(index.entries[1:], whole[1:], strict=True):
        # A unit that only the broken file shows is no label any more; nothing else may change.
        assert entry.labels.items() <= before.labels.items()
        assert replace(entry, labels={}) == replace(before, labels={})
    entry = index.entries[0]
    assert ("emotion" in entry.labels) == ("Emotion" not in file)
    assert ("AU12" in entry.labels) == ("FACS" not in file)
    assert (entry.box is None) == ("Landmarks" in file)
    assert len(open_dataset(f"ckplus:{root}")) == 6


def test_what_is_no_frame_is_passed_over_or_named(root):
    whole = ckplus.read(root).sequences
    pictures = root / "cohn-kanade-images"
    (pictures / "S005/001/notes.txt").write_text("a note")
    (pictures / "S005/001/.hidden_00000009.png").write_bytes(b"x")
    (pictures / "S005/001/peak.png").write_bytes(b"x")
    (pictures / "S005/009").mkdir()
    database = ckplus.read(root)
    assert database.sequences == whole
    named = {problem.where: problem.text for problem in database.problems}
    assert named.keys() == {"cohn-kanade-images/S005/001/peak.png", "cohn-kanade-images/S005/009/"}
    assert "no number of a frame" in named["cohn-kanade-images/S005/001/peak.png"]
    assert named["cohn-kanade-images/S005/009/"] == "no frame in it"


def test_the_peak_of_a_sequence_of_which_nothing_is_known_is_its_last_frame(root):
    for kind in ("FACS", "Emotion"):
        for path in (root / kind / "S005/001").iterdir():
            path.unlink()
    sequence = ckplus.read(root).sequences[0]
    assert sequence.peak is sequence.frames[-1]
    assert (sequence.action_units, sequence.emotion) == (None, None)
    assert ckplus.index(root).problems == ()


def test_folders_without_a_sequence_are_no_database(tmp_path):
    (tmp_path / "cohn-kanade-images" / "S005").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no sequence in it, as S005/001/S005_001_00000001\.png; get CK\+"):
        ckplus.read(tmp_path)


def test_two_emotion_files_are_not_chosen_from(root):
    folder = root / "Emotion/S005/001"
    (folder / "S005_001_00000002_emotion.txt").write_text("3.0")
    index = ckplus.index(root)
    assert "emotion" not in index.entries[0].labels
    assert "one file" in index.problems[0].text


def test_an_archive_that_is_missing_is_named(root):
    (root / "Emotion").rename(root / "elsewhere")
    index = ckplus.index(root)
    assert "Emotion/: the folder is missing; get CK+ from www.jeffcohn.net" in str(index.problems[0])
    assert not any("emotion" in entry.labels for entry in index.entries)
    (root / "cohn-kanade-images").rename(root / "pictures")
    with pytest.raises(InputError, match=r"cohn-kanade-images/ is missing; get CK\+.*agreement"):
        open_dataset(f"ckplus:{root}")


def test_options_that_are_none_are_refused(root):
    for options, words in (
        ("frames=some", "'peak'"),
        ("size=no", "size=no"),
        ("a=1", "frames"),
        ("fold=9/3", "9/3"),
    ):
        with pytest.raises(InputError, match=words):
            open_dataset(f"ckplus:{root}?{options}")
