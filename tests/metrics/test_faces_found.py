"""The share of pictures with a face, by a finder that the test scripts."""

import numpy as np
import pytest
import torch

from contracts.metric_contract import MetricContract, smooth_pictures
from mien.metrics import faces


class BrightnessFinder:
    """Finds a face wherever the picture's middle is bright."""

    name = "scripted"

    def __init__(self):
        self.shapes = set()

    def find(self, image, *, most=8):
        self.shapes.add((image.shape, image.dtype))
        middle = image[image.shape[0] // 3 : -image.shape[0] // 3, image.shape[1] // 3 : -image.shape[1] // 3]
        return [object()] if middle.mean() > 127 else []


@pytest.fixture(autouse=True)
def finder(monkeypatch):
    scripted = BrightnessFinder()
    monkeypatch.setattr(faces, "open_finder", lambda name: scripted)
    return scripted


class TestContract(MetricContract):
    metric = "faces"
    swapped = (("faces_fake", "faces_real"), ("faces_real", "faces_fake"))

    def sets(self):
        pictures = smooth_pictures(20, seed=0)
        return pictures, pictures // 3


def test_shares_are_counted_for_each_side_alone():
    bright = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    real = bright.expand(8, -1, -1, -1)
    fake = torch.cat([bright, bright // 4, bright // 4, bright // 4])
    values = faces.compute(real, fake)
    assert (values["faces_fake"], values["faces_real"]) == (0.25, 1.0)
    assert values["faces_fake_low"] < 0.25 < values["faces_fake_high"] < values["faces_real_high"] == 1


def test_finders_get_room_around_the_face_and_three_channels(finder):
    gray = torch.full((2, 1, 32, 32), 200, dtype=torch.uint8)
    faces.compute(gray, gray)
    assert finder.shapes == {((256, 256, 3), np.dtype(np.uint8))}


def test_without_artefacts_haar_is_named_as_the_finder(monkeypatch, tmp_path):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    assert faces.best_finder() == "haar"
    name, version, resize = faces.provenance()
    assert name == "finder-haar"
    assert version.startswith("opencv ")
    assert "192" in resize
