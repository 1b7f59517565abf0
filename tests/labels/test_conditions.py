"""Labels by name as conditions of a generator: which pictures stay, and what stands in their rows."""

import numpy as np
import pytest

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.labels.conditions import conditions, rows_for
from pictures import ArrayDataset


def dataset(records: list[dict], *, labels: np.ndarray | None = None, names: tuple[str, ...] = ()):
    made = ArrayDataset(len(records))
    made.records, made.labels = records, labels
    made.spec = Spec(16, 3, len(names), names)
    return made


def rows_of(lesson) -> dict[str, list[float]]:
    return dict(zip(lesson.train.spec.class_names, lesson.train.labels.T.tolist(), strict=True))


def test_labels_come_by_name_from_columns_and_manifest() -> None:
    records = [
        {
            "labels": {"hair": hair, "wears": {"hat": bool(hat)}},
            "measurements": {"age": age},
        }
        for hair, hat, age in (("black", 1, 10), ("blond", 0, 30), ("black", 0, 50), ("blond", 1, 70))
    ]
    columns = np.array([[0, 1], [1, 0], [1, 1], [0, 0]], np.float32)
    lesson = conditions(
        dataset(records, labels=columns, names=("Young", "Smiling")),
        "Smiling, hair, age:20/60, hat",
        mirror=True,
    )
    assert rows_of(lesson) == {
        "Smiling": [1, 0, 1, 0],
        "hair=black": [1, 0, 1, 0],
        "hair=blond": [0, 1, 0, 1],
        "age=<20": [1, 0, 0, 0],
        "age=20-60": [0, 1, 1, 0],
        "age=60+": [0, 0, 0, 1],
        "hat": [1, 0, 0, 1],
    }
    assert np.array_equal(lesson.mirrored_labels, lesson.train.labels)


def test_pictures_of_which_a_label_is_not_known_are_left_out_and_counted() -> None:
    records = [{"labels": {"smile": True, "age": 3}}, {"labels": {"age": 9}}, {"labels": {"smile": False}}]
    base = dataset([*records, {"labels": {"smile": False, "age": 12}}])
    lesson = conditions(base, "smile,age:10", mirror=True)
    assert lesson.train.indexes.tolist() == [0, 3]
    assert rows_of(lesson) == {"smile": [1, 0], "age=<10": [1, 0], "age=10+": [0, 1]}
    assert np.array_equal(lesson.train.images(np.array([1])), base.images(np.array([3])))
    (told,) = lesson.notes
    assert "2 pictures" in told
    assert "2 left out" in told


def test_predictions_count_where_nothing_better_is_known() -> None:
    records = [
        {"predictions": {"smile": 0.93, "yaw": 12.0, "hair": "red", "hair=red": 0.7}},
        {"predictions": {"smile": 0.08, "yaw": -4.0, "hair": "black", "hair=red": 0.1}},
        {"predictions": {"smile": 0.9, "yaw": 9.0, "hair": "black"}, "labels": {"smile": False}},
        {"predictions": {"smile": 0.6, "yaw": 9.0, "hair": "black"}, "measurements": {"yaw": -9.0}},
    ]
    lesson = conditions(dataset(records), "smile,hair,yaw:0", mirror=False)
    assert rows_of(lesson) == {
        "smile": [1, 0, 0, 1],
        "hair=black": [0, 1, 1, 1],
        "hair=red": [1, 0, 0, 0],
        "yaw=<0": [0, 1, 0, 1],
        "yaw=0+": [1, 0, 1, 0],
    }
    assert lesson.mirrored_labels is None


def test_an_angle_turns_with_its_picture() -> None:
    records = [{"measurements": {"yaw": yaw}} for yaw in (-30.0, 0.0, 30.0)]
    lesson = conditions(dataset(records), "yaw:-10/10", mirror=True)
    assert lesson.train.labels.tolist() == np.eye(3).tolist()
    assert lesson.mirrored_labels.tolist() == np.eye(3)[::-1].tolist()
    with pytest.raises(InputError, match=r"edges on both sides alike.*--no-mirror"):
        conditions(dataset(records), "yaw:-10/20", mirror=True)
    assert len(conditions(dataset(records), "yaw:-10/20", mirror=False).train) == 3


def test_sides_need_each_other_only_where_pictures_are_mirrored() -> None:
    records = [{"labels": {"left_eye": bool(i % 2), "right_eye": i > 1}} for i in range(4)]
    lesson = conditions(dataset(records), "left_eye,right_eye", mirror=True)
    assert np.array_equal(lesson.mirrored_labels, lesson.train.labels[:, ::-1])
    with pytest.raises(InputError, match=r"left_eye.*other side"):
        conditions(dataset(records), "left_eye", mirror=True)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("Smile", "no picture has the label 'Smile'; there are: .*smile"),
        ("age", "--labels age: it is a number; say how to cut it, age:bins"),
        ("age:number", "it is a number"),
        ("smile,age:3", "of no picture are all these labels known"),
    ],
)
def test_bad_labels(wanted: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        conditions(
            dataset([{"labels": {"smile": True}}, {"labels": {"age": 3}}, {"labels": {"age": 5}}]),
            wanted,
            mirror=True,
        )


def test_rows_for_a_generator_are_found_by_name_in_another_dataset() -> None:
    spec = Spec(16, 3, 3, ("smile", "hair=black", "hair=red"))
    other = dataset(
        [{"labels": {"hair": h, "smile": s}} for h, s in (("red", 1), ("blond", 1), ("black", 0))]
    )
    assert rows_for(spec, other).tolist() == [[1, 0, 1], [0, 1, 0]]  # blond is not known to it
    assert rows_for(spec, dataset([{}])) is None
    swapped = np.array([[1, 0], [1, 1]], np.float32)
    two = Spec(16, 3, 2, ("smile", "hat"))
    found = rows_for(two, dataset([{}, {}], labels=swapped, names=("hat", "smile")))
    assert found.tolist() == [[0, 1], [1, 1]]  # by name, not by place
    nameless = dataset([{}, {}], labels=swapped, names=("hat", "smile"))
    assert rows_for(Spec(16, 3, 2), nameless).tolist() == swapped.tolist()


def test_columns_of_one_label_are_its_values() -> None:
    columns = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 0]], np.float32)
    names = ("hair=black", "hair=red", "smile")
    base = dataset([{}] * 3, labels=columns, names=names)
    lesson = conditions(base, "hair", mirror=True)
    assert rows_of(lesson) == {"hair=black": [1, 0], "hair=red": [0, 1]}
    assert lesson.train.indexes.tolist() == [0, 1]  # of the third it is not known
    with pytest.raises(InputError, match=r"there are: hair, hair=black, hair=red, smile$"):
        conditions(base, "beard", mirror=True)


def test_a_number_that_is_in_no_bin_is_no_row() -> None:
    """Names that only look like bins are none, and their pictures no number's."""
    spec = Spec(16, 3, 3, ("age=10-20", "age=20-40", "age=so-so"))
    other = dataset([{"labels": {"age": age}} for age in (15, 20, 50, "so-so", 9.9)])
    assert rows_for(spec, other).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    plain = Spec(16, 3, 2, ("hair=black", "hair=<1"))
    other = dataset([{"labels": {"hair": hair}} for hair in (0.5, 2, "black")])
    assert rows_for(plain, other).tolist() == [[0, 1], [1, 0]]
