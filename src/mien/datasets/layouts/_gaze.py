"""A line of sight as two angles."""

import math
from collections.abc import Sequence


def gaze_angles(x: float, y: float, z: float) -> dict[str, float] | None:
    """gaze_pitch and gaze_yaw in degrees of a direction in the camera's axes; None where it is none.

    x to the picture's right, y down, z away from the camera: pitch = asin(-y), yaw = atan2(-x, -z).
    """
    length = math.sqrt(x * x + y * y + z * z)
    if not math.isfinite(length) or length < 1e-6:
        return None
    return rounded(
        gaze_pitch=math.asin(max(-1.0, min(1.0, -y / length))), gaze_yaw=math.atan2(-x / length, -z / length)
    )


def head_angles(rotation: Sequence[float]) -> dict[str, float]:
    """head_pitch and head_yaw in degrees of a Rodrigues vector, by the head's own axis towards its back.

    As MPIIGaze's authors define them: z is the third column of the rotation, pitch = asin(z_y), yaw =
    atan2(z_x, z_z).
    """
    angle = math.sqrt(sum(value * value for value in rotation))
    if not math.isfinite(angle):
        return {}
    a, b, c = (value / angle for value in rotation) if angle > 1e-12 else (0.0, 0.0, 1.0)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y, z = a * c * (1 - cos) + b * sin, b * c * (1 - cos) - a * sin, c * c * (1 - cos) + cos
    return rounded(head_pitch=math.asin(max(-1.0, min(1.0, y))), head_yaw=math.atan2(x, z))


def rounded(**radians: float) -> dict[str, float]:
    """Radians as degrees with four decimals."""
    return {name: round(math.degrees(value), 4) for name, value in radians.items()}
