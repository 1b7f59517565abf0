"""Labels by name, what is not known, mirroring, weights; pictures and labels stay together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from mien.core.errors import InputError
from mien.core.types import Batch, Phase, Spec
from mien.labels import encoding
from mien.models import attributes
from mien.training.order import Stream


class Numbered:
    """Pictures that show their own number in every pixel; labels and records as given."""

    name = "numbered"
    content_hash = "numbered"

    def __init__(
        self,
        count: int,
        *,
        labels: np.ndarray | None = None,
        class_names: tuple[str, ...] = (),
        records: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.labels = None if labels is None else labels.astype(np.float32)
        self.spec = Spec(8, 1, 0 if labels is None else labels.shape[1], class_names)
        self.records = records or [{} for _ in range(count)]
        self._count = count

    def __len__(self) -> int:
        return self._count

    def images(self, indexes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(indexes[:, None, None, None], (len(indexes), 1, 8, 8)).astype(np.uint8).copy()


def people(count: int, **labels: Any) -> list[dict[str, Any]]:
    """Records whose labels are the given lists; None stands for one that is not known."""
    rows = [{name: values[index] for name, values in labels.items()} for index in range(count)]
    return [{"labels": {name: value for name, value in row.items() if value is not None}} for row in rows]


def test_a_label_is_found_by_name_wherever_its_column_stands() -> None:
    """Defect 13: an attribute trained on another one's column."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (30, 3))
    names = ("Beard", "Mustache", "Hat")
    turned = Numbered(30, labels=labels[:, [2, 0, 1]], class_names=("Hat", "Beard", "Mustache"))
    plain = Numbered(30, labels=labels, class_names=names)
    for dataset in (plain, turned):
        lesson = attributes.lesson(attributes.Config(labels="Mustache"), dataset)
        assert lesson.train.spec.class_names == ("Mustache",)
        for side in (lesson.train, lesson.held_out):
            assert side is not None
            numbers = side.images(np.arange(len(side)))[:, 0, 0, 0]
            assert np.array_equal(side.labels[:, 0], labels[numbers, 1])
    both = encoding.choose(turned, "Mustache,Beard")
    assert np.array_equal(encoding.encode(plain, both), labels[:, [1, 0]])


@pytest.mark.parametrize("mirror", [False, True])
def test_a_short_last_batch_keeps_labels_with_their_pictures(mirror: bool) -> None:
    """Defect 3: labels dealt out for full batches though the last one was short."""
    count = 53
    records = people(
        count, age=[10.0 + index for index in range(count)], yaw=[float(i) for i in range(count)]
    )
    lesson = attributes.lesson(attributes.Config(labels="age,yaw"), Numbered(count, records=records))
    stream = Stream(
        lesson.train,
        seed=0,
        mirror=mirror,
        labels=True,
        device=torch.device("cpu"),
        mirrored_labels=lesson.mirrored_labels,
    )
    signs = set()
    for nimg in range(0, 200, 8):  # several epochs, none of which 8 divides
        images, labels, _ = stream.batch(nimg, 8)
        assert labels is not None
        shown = (images[:, 0, 0, 0] + 1) * 127.5
        assert torch.allclose(labels[:, 0], shown + 10, atol=1e-3)
        assert torch.allclose(labels[:, 1].abs(), shown, atol=1e-3)
        signs |= set(torch.sign(labels[:, 1]).tolist())
    assert (-1.0 in signs) == mirror


def test_what_is_not_known_counts_for_nothing() -> None:
    """Absent is not negative."""
    records = people(40, smiling=[True, False, None, None] * 10, hair=["red", "black", None, "black"] * 10)
    lesson = attributes.lesson(attributes.Config(labels="smiling,hair"), Numbered(40, records=records))
    assert lesson.train.labels is not None
    unknown = np.isnan(lesson.train.labels)
    assert unknown[:, 0].any()
    assert not unknown[:, 0].all()
    model = attributes.build(attributes.Config(), lesson.train.spec)
    labels = torch.from_numpy(lesson.train.labels)
    raw = torch.randn(len(labels), 3)
    wild = torch.where(torch.isnan(labels), torch.full_like(raw, 50.0), raw)
    for target in model._net.targets:
        assert torch.equal(model._target_loss(target, raw, labels), model._target_loss(target, wild, labels))
    nothing = torch.full_like(labels, torch.nan)
    batch = Batch(torch.zeros(len(labels), 1, 8, 8), nothing, torch.Generator())
    loss, _ = model.loss(Phase("net", "net"), batch)
    assert loss == 0


def test_weighing_rare_answers_leaves_probabilities_calibrated() -> None:
    model = attributes.build(attributes.Config(), Spec(8, 1, 1, ("hat",)))
    labels = torch.tensor([1.0] + [0.0] * 24)[:, None]
    model._net.meet(labels, most_weight=4.0)
    assert model._net.log_weight.item() == pytest.approx(np.log(4))
    assert torch.sigmoid(model._net.head.bias).item() == pytest.approx(1 / 25)
    logit = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model._target_loss(model._net.targets[0], logit.expand(25, 1), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.sigmoid(logit).item() == pytest.approx(1 / 25, abs=1e-4)


def test_numbers_come_back_in_their_own_unit() -> None:
    model = attributes.build(attributes.Config(), Spec(8, 1, 1, ("age:number",)))
    model._net.meet(torch.tensor([[20.0], [40.0], [torch.nan], [60.0]]), most_weight=4.0)
    assert model._net.read(torch.zeros(2, 1, 8, 8))[:, 0].tolist() == pytest.approx([40.0, 40.0], abs=30)
    with torch.no_grad():
        model._net.head.weight.zero_()
        model._net.head.bias.fill_(1.0)
    spread = np.std([20, 40, 60])
    assert model._net.eval().read(torch.zeros(1, 1, 8, 8)).item() == pytest.approx(40 + spread, abs=1e-3)


def test_kinds_of_labels_and_their_columns() -> None:
    records = people(
        40,
        smiling=[True, False] * 20,
        age=[float(year) for year in range(18, 58)],
        hair=["red", "black", "blond", "black"] * 10,
    )
    records[0]["measurements"] = {"yaw": 3.5}
    dataset = Numbered(40, records=records)
    names = [name for target in encoding.choose(dataset, "") for name in target.column_names]
    assert names == ["smiling"]  # by default what is a plain yes or no
    chosen = encoding.choose(dataset, "smiling, age:20/30.5, hair")
    rows = encoding.encode(dataset, chosen)
    columns = [name for target in chosen for name in target.column_names]
    assert columns == [
        "smiling",
        "age=<20",
        "age=20-30.5",
        "age=30.5+",
        "hair=black",
        "hair=blond",
        "hair=red",
    ]
    assert encoding.parse(columns) == chosen
    assert rows[0].tolist() == [1, 1, 0, 0, 0, 0, 1]
    assert rows[2].tolist() == [1, 0, 1, 0, 0, 1, 0]
    assert rows[:, 1:4].sum(axis=0).tolist() == [2, 11, 27]
    assert np.array_equal(encoding.encode(dataset, encoding.choose(dataset, "age"))[:, 0], np.arange(18, 58))
    assert len(encoding.choose(dataset, "age:bins")[0].values) == 4
    yaw = encoding.encode(dataset, encoding.parse(["yaw:number"]))[:, 0]
    assert yaw[0] == 3.5
    assert np.isnan(yaw[1:]).all()


def test_class_folders_become_one_of_several() -> None:
    labels = np.eye(3)[np.arange(30) % 3]
    (target,) = encoding.choose(Numbered(30, labels=labels, class_names=("ann", "bob", "cleo")), "")
    assert (target.name, target.kind, target.values) == ("class", "one-of", ("ann", "bob", "cleo"))
    (bob,) = encoding.choose(Numbered(30, labels=labels, class_names=("ann", "bob", "cleo")), "bob")
    assert bob.kind == "yes-no"


def test_mirrored_pictures_get_mirrored_labels() -> None:
    targets = encoding.parse(
        ["yaw:number", "gaze_pitch:number", "left_eye_open", "right_eye_open", "scar_left"]
    )
    turned = encoding.mirrored(targets, np.array([[10.0, 5.0, 1.0, 0.0, 1.0]], np.float32))
    assert turned[0, :4].tolist() == [-10, 5, 0, 1]
    assert np.isnan(turned[0, 4])  # whether there is one on the right is not known
    assert np.array_equal(encoding.mirrored(encoding.parse(["Young"]), np.ones((1, 1))), np.ones((1, 1)))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("Smiling", "no picture has the label 'Smiling'; there are: .*smiling"),
        ("always", "nothing to learn about always"),
        ("age,age:bins", "age is named twice"),
        ("age:30/20", "edges must rise"),
        ("age:often", "number, bins"),
        ("mixed", "a text here and a number there"),
        ("hair:bins", "cannot be cut"),
        ("name", "has 80 values"),
    ],
)
def test_labels_that_cannot_be_learnt_are_named(labels: str, words: str) -> None:
    records = people(
        80,
        smiling=[True, False] * 40,
        always=[True] * 80,
        age=[float(i) for i in range(80)],
        mixed=["a", 1] * 40,
        hair=["red", "black"] * 40,
        name=[f"n{i}" for i in range(80)],
    )
    with pytest.raises(InputError, match=words):
        attributes.lesson(attributes.Config(labels=labels), Numbered(80, records=records))


def test_without_any_label_it_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"--set labels=NAME.*out of: none"):
        attributes.lesson(attributes.Config(), Numbered(10))


def test_disturbed_pictures_stay_pictures_and_follow_the_generator() -> None:
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    first, second = (
        attributes.disturbed(images, torch.Generator().manual_seed(3), attributes.Config()) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert first.abs().max() <= 1
    assert not torch.equal(first, images)
    still = attributes.Config(shift=0, zoom=0, brightness=0)
    same = attributes.disturbed(images, torch.Generator().manual_seed(3), still)
    assert torch.allclose(same, images, atol=1e-4)
