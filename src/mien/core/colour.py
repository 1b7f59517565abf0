"""Colour management: convert images with an ICC profile to sRGB."""

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_MOST_BYTES = 4 << 20  # of a profile; printers' largest have about two million
_SAME = 2  # levels by which a profile may differ from sRGB and still count as it
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a profile's colour space: the mode it describes
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION


def to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, str | None]:
    """Convert an image (mode L, RGB or CMYK) to sRGB by its profile; or itself and a note saying why not.

    A profile of nearly sRGB changes nothing. The note is None where all is well.
    """
    if len(profile) > _MOST_BYTES:
        return image, f"a colour profile of {len(profile) >> 20} MiB was ignored"
    transform = _transform(profile)
    if isinstance(transform, str):
        return image, transform
    mode, convert = transform
    if image.mode != mode and "CMYK" in (image.mode, mode):
        return image, f"the colour profile is for {mode} pictures, this one is {image.mode}; it was ignored"
    if convert is None:
        return image, None
    if image.mode != mode:  # a gray picture with a colour profile, or the reverse
        image = image.convert(mode)
    return ImageCms.applyTransform(image, convert) or image, None


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> tuple[str, Any] | str:
    """The profile's mode and its transform to sRGB (None: it is sRGB); or the error."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _SPACES.get(source.profile.xcolor_space.strip())
        if mode is None:
            return f"a colour profile for {source.profile.xcolor_space.strip()!r} was ignored"
        target = ImageCms.createProfile("sRGB")
        convert = ImageCms.buildTransform(source, target, mode, "RGB", _INTENT, _FLAGS)
        return mode, None if mode != "CMYK" and _is_srgb(convert, mode) else convert
    except Exception as error:  # LittleCMS and the wrapper fail in several ways on damaged profiles
        return f"the colour profile is damaged and was ignored ({' '.join(str(error).split())[:80]})"


def _is_srgb(convert: Any, mode: str) -> bool:
    """Whether the transform leaves a grid over all colours as it is."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        probe = Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
    else:
        grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
        probe = Image.fromarray(grid.reshape(len(steps), -1, 3))
    after = ImageCms.applyTransform(probe, convert)
    before = np.asarray(probe.convert("RGB"), np.int16)
    return after is not None and int(np.abs(np.asarray(after, np.int16) - before).max()) <= _SAME
