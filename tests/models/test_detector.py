"""What a detector learns from."""

import numpy as np
import pytest
import torch

from mien.core.errors import InputError
from mien.core.types import Batch, Spec
from mien.core.views import View
from mien.models import detector
from mien.models._pseudo import spoilt
from pictures import ArrayDataset
from rendered_heads import heads


def _set(labels: np.ndarray, **fields: object) -> View:
    base = ArrayDataset(len(labels), resolution=16)
    base.records = [{"source": "s", **fields} for _ in labels]
    rows = labels.astype(np.float32)[:, None]
    return View(base, np.arange(len(labels)), labels=rows, class_names=("synthetic",))


def test_both_classes_are_needed() -> None:
    with pytest.raises(InputError, match="both must occur"):
        detector.lesson(detector.Config(), _set(np.zeros(40)))


def test_the_lesson_keeps_pictures_out() -> None:
    lesson = detector.lesson(detector.Config(), _set(np.arange(40) % 2))
    assert lesson.held_out is not None
    assert len(lesson.train) + len(lesson.held_out) == 40
    assert lesson.train.spec.class_names == ("synthetic",)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_real_pictures_that_are_spoilt_count_as_synthetic(share: float) -> None:
    labels = torch.tensor([[0.0], [1.0]]).repeat(8, 1)
    batch = Batch(torch.zeros(16, 3, 32, 32), labels, torch.Generator().manual_seed(0))
    config = detector.Config(spoilt=share, histories=False)
    images, after = detector.prepared(batch, config)
    assert images.shape == batch.images.shape
    assert after.mean() == (0.5 if share == 0 else 1.0)
    assert torch.equal(after[1::2], labels[1::2])


def test_spoiling_changes_a_face_and_leaves_it_one() -> None:
    face = heads(1)[0][0]
    for seed in range(6):
        changed = spoilt(face, np.random.default_rng(seed))
        assert changed.dtype == np.uint8
        apart = np.abs(changed.astype(int) - face)
        assert apart.max() > 4
        assert apart.mean() < 60


def test_classes_weigh_alike_whatever_their_numbers() -> None:
    """One synthetic among nine real: the loss of always saying one half is as if they were as many."""
    config = detector.Config(spoilt=0, histories=False, smoothing=0)
    training = detector.build(config, Spec(16, 3, 1, ("synthetic",)))
    labels = np.zeros(20)
    labels[:2] = 1
    training.meet(_set(labels))
    for parameter in training.networks["net"].parameters():
        parameter.data.zero_()  # says one half of everything
    batch = Batch(
        torch.rand(20, 3, 16, 16),
        torch.from_numpy(labels)[:, None].float(),
        torch.Generator().manual_seed(0),
    )
    _, logs = training.loss(next(iter(training.phases(None))), batch)  # type: ignore[arg-type]
    assert float(logs["Loss/net/loss"]) == pytest.approx(np.log(2), abs=1e-4)
