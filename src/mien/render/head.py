"""The geometry of a head: skull, face, nose, lids, mouth, ears, neck, eyeballs and teeth."""

import numpy as np

from mien.render.geometry import A, Vec, ball, cone, ellipsoid, length, smax, smin, smoothstep
from mien.render.layout import Layout
from mien.render.person import Person
from mien.render.relief import Relief

COVERED_EARS = ("bob", "fringe_bob", "long", "long_fringe")  # hair styles that hide them
NECK_BASE: Vec = (0.0, -1.62, -0.34)


class Head:
    """Signed distances of the naked head of one person making one face."""

    def __init__(self, person: Person, face: Layout, relief: Relief) -> None:
        self.face = face
        self.relief = relief
        wide, long = person.face_width, person.face_length
        fat, jaw = person.chubby, face.jaw
        self.skull_centre: Vec = (0.0, 0.36, -0.08)
        self.skull_radii: Vec = (0.735 * person.skull_width, 0.79 * person.skull_height, 0.93)
        self._mid = ((0.0, -0.33 * long, 0.25), (0.595 * wide + 0.06 * fat, 0.74 * long, 0.585))
        self._cheek = (0.44 * wide, -0.21 * long, 0.42)
        self._cheek_radius = 0.145 + 0.07 * person.cheekbone
        jaw_x = 0.43 * person.jaw_width + 0.09 * fat
        self._jaw_angle: Vec = (jaw_x, -0.62 * long - 0.35 * jaw, -0.02)
        self._jaw_radius = 0.12 + 0.07 * fat
        self._chin: Vec = (0.09 * person.chin_width, face.chin_y + 0.03, 0.60 + person.chin_out - 0.25 * jaw)
        self._chin_radius = 0.165 + 0.03 * fat
        self._muzzle = ((0.0, -0.68 * long - 0.4 * jaw, 0.5), (0.33, 0.31 + 0.5 * jaw, 0.33))
        sag = max(fat - 0.45, 0.0) * 2  # a second chin
        self._under: Vec = (0.0, (-0.84 - 0.13 * sag) * long - 0.5 * jaw, 0.12 + 0.16 * sag)
        self._under_radius = 0.24 + 0.14 * fat
        self._flesh: Vec = (0.31 * wide, -0.54 * long - 0.3 * jaw, 0.42)
        self._flesh_radius = 0.17 + 0.16 * fat
        self._neck_radius = 0.41 * person.neck_width + 0.07 * fat
        size = person.ear_size
        self.ear_centre: Vec = (0.745 * person.skull_width + 0.015 * person.ear_out, -0.17, -0.12)
        self._ear_radii: Vec = (0.055, 0.29 * size, 0.165 * size)
        self.has_ears = person.hair_style not in COVERED_EARS
        self._ear_flare = 0.10 + 0.14 * person.ear_out

    def solid(self, x: A, ax: A, y: A, z: A) -> A:
        """Skull, jaw and neck: the smooth base without any feature."""
        d = smin(
            ellipsoid(x, y, z, self.skull_centre, self.skull_radii), ellipsoid(x, y, z, *self._mid), 0.16
        )
        below = np.flatnonzero(y < 0.4)  # nothing of the lower face reaches higher, fillets included
        if below.size:
            d[below] = self._lower(x[below], ax[below], y[below], z[below], d[below])
        return d

    def _lower(self, x: A, ax: A, y: A, z: A, d: A) -> A:
        """Add cheekbones, jaw, mouth and the flesh between to the skull `d`."""
        d = smin(d, ball(ax, y, z, self._cheek, self._cheek_radius), 0.18)
        round_ax = np.sqrt(x * x + 0.006)  # no crease in the middle of the chin
        low = cone(round_ax, y, z, self._jaw_angle, self._chin, self._jaw_radius, self._chin_radius)
        low = smin(low, ellipsoid(x, y, z, *self._muzzle), 0.14)
        low = smin(low, ball(ax, y, z, self._flesh, self._flesh_radius), 0.2)
        low = smin(low, ball(x, y, z, self._under, self._under_radius), 0.2)
        return smin(d, low, 0.17)

    def neck(self, x: A, y: A, z: A) -> A:
        """A leaning column; the body takes over below the collar."""
        top: Vec = (0.0, -0.45, -0.18)
        r = self._neck_radius
        return cone(x, y, z, top, NECK_BASE, r, r * 1.1)

    def nose(self, ax: A, x: A, y: A, z: A) -> A:
        """Bridge, tip and wings, nostrils cut out."""
        f = self.face
        tip = f.nose_tip
        bridge_end: Vec = (0.0, tip[1] + 0.07, tip[2] - 0.085)
        d = cone(x, y, z, f.nose_root, bridge_end, 0.062, f.nose_radius * 0.92)
        d = smin(d, ball(x, y, z, (0.0, tip[1], tip[2] - f.nose_radius), f.nose_radius), 0.05)
        d = smin(
            d, ellipsoid(ax, y, z, f.wing, (f.wing_radius, f.wing_radius * 0.95, f.wing_radius * 1.45)), 0.045
        )
        septum: Vec = (0.0, tip[1] - 0.06, tip[2] - 0.13)
        lip: Vec = (0.0, tip[1] - 0.10, tip[2] - 0.21)
        d = smin(d, cone(x, y, z, septum, lip, 0.048, 0.075), 0.05)
        cheek: Vec = (f.wing[0] + 0.02, f.wing[1] + 0.03, f.wing[2] - 0.09)
        d = smin(d, ball(ax, y, z, cheek, 0.085), 0.06)
        hole: Vec = (f.wing[0] * 0.55, f.wing[1] - 1.05 * f.wing_radius, f.wing[2] + 0.03)
        cut = ellipsoid(ax, y, z, hole, (0.27 * f.wing[0], 0.034, 0.055))
        return smax(d, -cut, 0.02)

    def ears(self, ax: A, y: A, z: A) -> A:
        """A shallow tilted bowl: disc, hollow and rim."""
        c, r = self.ear_centre, self._ear_radii
        v = y - c[1]
        w = z - c[2] + 0.25 * v  # leans back
        u = ax - c[0] + self._ear_flare * w  # stands off at the back
        narrow = 1.0 + 0.9 * np.maximum(-v, 0)  # lobe narrower than the top
        w = w * narrow
        q = np.sqrt((v * (1 / r[1])) ** 2 + (w * (1 / r[2])) ** 2)
        disc = np.sqrt(np.maximum(q - 0.82, 0) ** 2 * (r[2] * r[2]) + (u - 0.035) ** 2) - 0.032
        hollow = length((v + 0.02) * 0.8, (w - 0.015) * 1.3, (u - 0.075) * 1.6) - 0.105
        d = smax(disc, -hollow, 0.04)
        groove = np.sqrt(((q - 0.66) * r[2]) ** 2 + (u - 0.075) ** 2) - 0.016
        root: Vec = (c[0] - 0.07, c[1] + 0.03, c[2] + 0.06)
        return smin(smax(d, -groove, 0.02), ball(ax, y, z, root, 0.11), 0.05)

    def lids(self, ax: A, y: A, z: A, d: A) -> A:
        """Lids over the eyeballs, opened between the curves of the layout."""
        f = self.face
        d = smin(d, ball(ax, y, z, f.eye, f.eye_radius + 0.018), 0.06)
        up, down = f.lid_edges(ax)
        slit = np.maximum(y - up, down - y)
        slit = np.maximum(slit, (f.eye[2] - 0.02) - z)
        return smax(d, -slit, 0.008)

    def mouth(self, x: A, y: A, z: A, d: A) -> A:
        """Cut the opening between the lips."""
        f = self.face
        if f.gap_up + f.gap_down < 0.004:
            return d
        up, down, _ = f.seam(x)
        slit = np.maximum(y - up, down - y) * 0.8
        slit = np.maximum(slit, 0.45 - z)
        slit = np.maximum(slit, np.abs(x) - f.mouth_half)
        return smax(d, -slit, 0.012)

    def skin(self, x: A, ax: A, y: A, z: A) -> A:
        """Everything covered in skin; features are worked out only where they can be near."""
        d = self.solid(x, ax, y, z)
        ahead = (z > 0.0) & (ax < 0.75)
        near = d < 0.5
        front = np.flatnonzero(ahead & near)
        d[ahead & ~near] -= 0.28  # no feature stands out farther than that
        if front.size:
            d[front] = self._features(x[front], ax[front], y[front], z[front], d[front])
        if self.has_ears:
            beside = np.flatnonzero((ax > 0.5) & (np.abs(z) < 0.6) & (np.abs(y + 0.15) < 0.7))
            if beside.size:
                d[beside] = smin(d[beside], self.ears(ax[beside], y[beside], z[beside]), 0.03)
        low = np.flatnonzero(y < -0.4)
        if low.size:
            d[low] = smin(d[low], self.neck(x[low], y[low], z[low]), 0.2)
        return d

    def _features(self, x: A, ax: A, y: A, z: A, d: A) -> A:
        """Nose, relief, lids and mouth on the front of the base `d`."""
        height = self.relief(x, y)
        height *= smoothstep(0.0, 0.35, z)
        d = smin(d, self.nose(ax, x, y, z), 0.055)
        d -= height
        d = self.lids(ax, y, z, d)
        return self.mouth(x, y, z, d)

    def rough(self, x: A, ax: A, y: A, z: A) -> A:
        """A coarse version for shadows and occlusion, without lids, relief and ears."""
        d = smin(self.solid(x, ax, y, z), self.neck(x, y, z), 0.12)
        tip = self.face.nose_tip
        nose = cone(x, y, z, self.face.nose_root, (0.0, tip[1], tip[2] - 0.1), 0.06, 0.1)
        return smin(d, nose, 0.05)

    def eyeballs(self, ax: A, y: A, z: A) -> A:
        return ball(ax, y, z, self.face.eye, self.face.eye_radius)

    def mouth_inside(self, x: A, y: A, z: A) -> A:
        """The arch of the teeth: an upright elliptic cylinder behind the lips."""
        k = np.sqrt((x * (1 / 0.30)) ** 2 + ((z - 0.45) * (1 / (self.face.mouth_z - 0.45))) ** 2)
        f = self.face
        top, bottom = f.mouth_y + f.gap_up + 0.07, f.mouth_y - f.gap_down - 0.03
        return np.maximum((k - 1) * 0.30, np.abs(y - (top + bottom) / 2) - (top - bottom) / 2)
