"""The scene of one image: its solids in head coordinates, and the part each point belongs to."""

import numpy as np

from mien.render.body import Body
from mien.render.geometry import A, Vec, rotation
from mien.render.hair import make_hair
from mien.render.head import Head
from mien.render.layout import Layout, lay_out
from mien.render.person import Person
from mien.render.relief import bake_relief
from mien.render.shot import Shot
from mien.render.wear import Glasses, Hat, earring

SKIN, EYEBALL, MOUTH, HAIR, CLOTHES, FRAME, LENS, HAT, RING = range(9)  # materials


class Scene:
    """Signed distances of a person in a shot.

    `distance` serves tracing, `layers` tells the materials apart, `occluder` is the cheap version for
    shadows.
    """

    def __init__(self, person: Person, shot: Shot) -> None:
        self.person, self.shot = person, shot
        self.face: Layout = lay_out(person, shot)
        self.head = Head(person, self.face, bake_relief(person, shot, self.face))
        self.hair = make_hair(person, shot, self.head)
        against_head = rotation(shot.yaw, shot.pitch, shot.roll).T @ rotation(0.5 * shot.yaw, 0.0, 0.0)
        self.body = Body(person, shot, against_head)
        lift = self.hair.style.lift * 0.45 if self.hair else 0.0
        self.glasses = Glasses(person, shot, self.face, self.head) if shot.glasses != "none" else None
        self.hat = Hat(shot, self.head, lift) if shot.hat != "none" else None
        ear = self.head.ear_centre
        self._lobe: Vec = (ear[0] + 0.02, ear[1] - 0.29 * person.ear_size, ear[2] + 0.07)
        self._hoop = shot.seed % 2 == 0

    def layers(self, x: A, y: A, z: A) -> list[tuple[int, A]]:
        """(material, signed distance) of everything that is there."""
        ax = np.abs(x)
        skin, clothes = self.head.skin(x, ax, y, z), np.full(x.shape, 1.0, np.float32)
        low = np.flatnonzero(y < -0.75)
        if low.size:
            xl, yl, zl = x[low], y[low], z[low]
            body = self.body.skin(xl, yl, zl)
            skin[low] = np.minimum(skin[low], body)
            clothes[low] = self.body.clothes(xl, yl, zl, body)
        out = [(SKIN, skin), (EYEBALL, self.head.eyeballs(ax, y, z)), (CLOTHES, clothes)]
        if self.face.gap_up + self.face.gap_down >= 0.004:
            out.append((MOUTH, self.head.mouth_inside(x, y, z)))
        if self.hair is not None:
            out.append((HAIR, self._hair_where_it_is(x, y, z)))
        if self.glasses is not None:
            out.append((FRAME, self.glasses.frame(ax, y, z)))
            if self.glasses.dark:
                out.append((LENS, self.glasses.lens(ax, y, z)))
        if self.hat is not None:
            out.append((HAT, self.hat(x, y, z)))
        if self.shot.earrings and self.head.has_ears:
            out.append((RING, earring(self._lobe, ax, y, z, hoop=self._hoop)))
        return out

    def _hair_where_it_is(self, x: A, y: A, z: A) -> A:
        """Hair, left out far below its ends and before the face, where it cannot be the nearest thing."""
        assert self.hair is not None
        d = np.full(x.shape, 0.4, np.float32)
        near = np.flatnonzero((y > self.hair.lowest - 0.45) & ((z < 0.95) | (y > 0.0)))
        if near.size:
            d[near] = self._trimmed_hair(x[near], y[near], z[near])
        return d

    def _trimmed_hair(self, x: A, y: A, z: A) -> A:
        """Hair, pressed flat where a hat sits on it."""
        assert self.hair is not None
        d = self.hair(x, y, z)
        if self.hat is None:
            return d
        return np.maximum(d, y - self.hat.edge - 0.10 * z - 0.06)

    def distance(self, x: A, y: A, z: A) -> A:
        """Signed distance to whatever is nearest."""
        layers = self.layers(x, y, z)
        d = layers[0][1]
        for _, other in layers[1:]:
            d = np.minimum(d, other)
        return d

    def occluder(self, x: A, y: A, z: A) -> A:
        """Signed distance to a rough version: head, hair, hat."""
        d = self.head.rough(x, np.abs(x), y, z)
        if self.hair is not None and self.hair.style.lift > 0.02:
            d = np.minimum(
                d, np.maximum(self.hair.volume(x, y, z), self.hair.beyond_line(x, y, z, np.zeros_like(x)))
            )
        if self.hat is not None:
            d = np.minimum(d, self.hat(x, y, z))
        return d
