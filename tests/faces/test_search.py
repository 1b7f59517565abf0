"""What settles where a face is and which way up, with a detector that errs as the real one does."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from mien.faces.mesh_finder import MeshFinder
from mien.faces.search import Search, right_turn

GRAY = 120
RED, BLUE = (250, 20, 20), (20, 20, 250)


class MarkerDetector:
    """Sees a square whose upper half is red, its lower blue; always takes what is on top for the forehead.

    Like the real detector it scores high upright and middling turned, where the square is large enough; of a
    small one it sees a hint upright and is surer of it turned over.
    """

    def __init__(self, *, small=0.11):
        self.calls = 0
        self._small = small

    def detect(self, view, least):
        self.calls += 1
        colours = view.astype(int)
        red = (colours[..., 0] > 150) & (colours[..., 2] < 90)
        blue = (colours[..., 2] > 150) & (colours[..., 0] < 90)
        if not (red.any() and blue.any()):
            return np.zeros((0, 9), np.float32)
        rows, columns = np.nonzero(red | blue)
        x, y = (columns.min() + columns.max() + 1) / 256, (rows.min() + rows.max() + 1) / 256
        side = max(np.ptp(rows), np.ptp(columns)) / 128 + 1 / 128
        up = np.nonzero(blue)[0].mean() - np.nonzero(red)[0].mean()
        score = self._score(side, up / max(side * 128, 1))
        eyes = (x - side / 4, y - side / 4, x + side / 4, y - side / 4)
        return np.array(
            [[score, x, y, side, side, *eyes]] if score >= least else np.zeros((0, 9)), np.float32
        )

    def _score(self, side, up):
        """up: 0.5 upright, 0 on its side, -0.5 upside down."""
        if side < 0.04:
            return 0.0
        if side < self._small:
            return 0.2 if up > 0.25 else 0.65
        return 0.93 if up > 0.25 else 0.7


def scene(side, place, *, size=(1500, 1100), turns=0):
    """A gray slope with the marker about `place`, then turned by quarters against the clock."""
    width, height = size
    slope = np.linspace(GRAY - 40, GRAY + 40, width).astype(np.uint8)
    image = np.repeat(np.tile(slope, (height, 1))[..., np.newaxis], 3, axis=2)
    x, y = place[0] - side // 2, place[1] - side // 2
    image[y : y + side // 2, x : x + side] = RED
    image[y + side // 2 : y + side, x : x + side] = BLUE
    return np.ascontiguousarray(np.rot90(image, turns))


def first(search, image):
    """What the first fruitful round finds, or an empty array."""
    return next((heads for heads in search.rounds(image) if len(heads)), np.zeros((0, 9)))


def roll(head):
    return math.degrees(math.atan2(head[8] - head[6], head[7] - head[5]))


@pytest.mark.slow
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("side", [16, 40, 75, 120, 300, 700])
def test_heads_of_every_size_come_the_right_way_up(side, turns):
    image = scene(side, (1000, 640) if side < 500 else (750, 550), turns=turns)
    (head,) = first(Search(MarkerDetector()), image)
    assert (roll(head) + 90 * turns + 180) % 360 - 180 == pytest.approx(0, abs=1)
    assert head[3] == pytest.approx(side, rel=0.25)
    rows, columns = np.nonzero(np.ptp(image.astype(int), axis=2) > 100)
    assert math.dist(head[1:3], (columns.mean(), rows.mean())) < 0.2 * side


def test_a_sure_face_costs_one_look_and_a_distant_one_not_many():
    detector = MarkerDetector()
    first(Search(detector), scene(400, (700, 500)))
    assert detector.calls == 1
    detector.calls = 0
    assert len(first(Search(detector), scene(40, (3000, 700), size=(4000, 3000)))) == 1
    assert detector.calls < 120


def test_flat_pictures_are_not_searched_tile_by_tile():
    detector = MarkerDetector()
    assert not len(first(Search(detector), np.full((1200, 1600, 3), GRAY, np.uint8)))
    assert detector.calls == 1


def test_what_no_close_up_shows_is_no_face():
    class Haunted:
        """Sees a face at the same corner of every view, near or far."""

        calls = 0

        def detect(self, view, least):
            self.calls += 1
            return np.array([[0.85, 0.2, 0.2, 0.1, 0.1, 0.18, 0.18, 0.22, 0.18]], np.float32)

    detector = Haunted()
    assert not len(first(Search(detector), scene(40, (300, 300))))
    assert detector.calls > 20


def test_a_box_twice_too_large_that_looks_right_is_looked_into():
    class Illusion(MarkerDetector):
        """Takes what surrounds a smallish head for the head, and either way up alike."""

        def detect(self, view, least):
            found = super().detect(view, least)
            if len(found) and found[0, 3] < 0.2:
                found[0, 0], found[0, 3:5] = 0.75, 2 * found[0, 3:5]
            return found

    (head,) = first(Search(Illusion()), scene(150, (1000, 640)))
    assert head[3] == pytest.approx(150, rel=0.1)
    assert head[0] > 0.9
    assert roll(head) == pytest.approx(0, abs=1)


def test_likely_companions_of_a_sure_face_are_looked_at_close_up():
    class Two:
        """One face for sure; another, middling one stands on its head: closer looks show it, turned."""

        def detect(self, view, least):
            found = MarkerDetector().detect(view, least)
            if len(found) and found[0, 3] < 0.22:  # the whole view
                sure = [0.95, 0.2, 0.5, 0.3, 0.3, 0.1, 0.4, 0.3, 0.4]
                found = np.concatenate([found, np.array([sure], np.float32)])
            return found

    heads = first(Search(Two()), scene(300, (1200, 550), turns=0)[::-1].copy())
    assert len(heads) == 2
    assert sorted(round(abs(roll(head))) for head in heads) == [0, 180]


@pytest.mark.parametrize(
    ("scores", "turn"),
    [
        ([0.9], 0),
        ([0.6, 0.5, 0.3, 0.5], 0),
        ([0.6, 0.63, 0.62, 0.0], 0),
        ([0.6, 0.5, 0.9, 0.5], 2),
        ([0.7, 0.9, 0.5, 0.6], 1),
        ([0.5, 0.1, 0.6, 0.2], 0),
        ([0.0, 0.0, 0.0, 0.0], 0),
    ],
)
def test_upright_wins_unless_a_turn_is_clearly_better(scores, turn):
    assert right_turn(scores) == turn


def test_a_mesh_that_contradicts_the_detector_has_the_head_looked_at_again():
    upright, over = (40.0, 50.0, 60.0, 50.0), (60.0, 50.0, 40.0, 50.0)
    head = np.array([0.9, 50, 60, 50, 50, *upright], np.float32)
    again = np.array([[0.95, 50, 58, 40, 40, *upright]], np.float32)
    looks = []

    def measured(image, candidate):
        eyes = over if candidate[3] == pytest.approx(50) else upright
        return SimpleNamespace(eye_left=eyes[:2], eye_right=eyes[2:])

    def close_up(image, candidate):
        looks.append(candidate)
        return again

    finder = MeshFinder.__new__(MeshFinder)
    finder._search = SimpleNamespace(close_up=close_up)
    finder._measure = measured
    assert finder._face(None, head).eye_left == upright[:2]
    assert len(looks) == 1
    assert finder._face(None, again[0]).eye_left == upright[:2]
    assert len(looks) == 1, "where both agree nothing is looked at again"
