"""Yaw and pitch against exact rotations and against rendered heads."""

import numpy as np
import pytest

from mien.core.picture import list_pictures, read_picture
from mien.faces import pose
from mien.faces.pose import head_pose
from mien.render.geometry import rotation
from mien.render.shot import Shot
from rendered_heads import head


def turned_mean_face(yaw, pitch, roll):
    """A mesh whose points lie as the mean face's do, turned by the renderer's own rotation."""
    points = np.zeros((468, 3), np.float32)
    places = pose._MEAN @ rotation(yaw, pitch, roll).T
    points[pose._INDEXES] = places * (80, -80, -80 / pose._DEEPEN) + (300, 200, 5)
    return points


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(0, 0, 0), (40, 0, 0), (-25, 0, 10), (0, 30, 0), (0, -30, -20), (35, -20, 15)]
)
def test_exact_rotations_are_recovered_with_the_renderers_signs(yaw, pitch, roll):
    nose = rotation(yaw, pitch, roll)[:, 2]
    expected = np.degrees((np.arctan2(nose[0], nose[2]), np.arcsin(nose[1])))
    assert np.allclose(head_pose(turned_mean_face(yaw, pitch, roll)), expected, atol=0.01)


def test_mean_face_is_symmetric_and_each_point_stands_once():
    assert abs(pose._MEAN[:, 0].sum()) < 1e-9
    assert len(set(pose._INDEXES)) == len(pose._INDEXES) == len(pose._MEAN)


@pytest.mark.slow
@pytest.mark.parametrize("angle", ["yaw", "pitch"])
def test_rendered_heads_turn_as_measured(mesh_finder, angle):
    off = []
    for person, truth in ((3, -40), (5, -25), (6, -10), (7, 0), (8, 10), (9, 25), (10, 40)):
        faces = mesh_finder.find(head(person, Shot(seed=person, **{angle: float(truth)})))
        if faces:
            off.append(head_pose(faces[0].points)[angle == "pitch"] - truth)
    assert len(off) >= 5
    assert np.median(np.abs(off)) < 7
    assert abs(np.median(off)) < 5


def test_real_portraits_look_ahead_on_the_whole(mesh_finder, shared_data):
    found = [mesh_finder.find(read_picture(path)) for path in list_pictures(shared_data / "photos")[::22]]
    poses = np.array([head_pose(faces[0].points) for faces in found if faces])
    assert len(poses) > 30
    assert (np.abs(np.median(poses, axis=0)) < 5).all()
    assert (np.quantile(np.abs(poses), 0.9, axis=0) < 25).all()
