"""Detection rate: the share of images in which a face detector fires."""

import cv2
import numpy as np
from torch import Tensor

from mien.core import artefacts
from mien.core.image import resize, to_hwc
from mien.core.picture import Pixels
from mien.faces.finder import Finder, open_finder
from mien.metrics._intervals import named, of_share

NEEDS = "images"
BETTER = {"faces_fake": "higher"}
TITLES = {"faces_fake": "share with a face, generated", "faces_real": "share with a face, real"}
# Pictures a side worth searching: where there is no face, a finder tries every turn and corner (0.1 s each).
MOST = 100

_SIDE = 192
_BORDER = 32


def compute(real: Tensor, fake: Tensor, *, finder: str | None = None) -> dict[str, float]:
    """Share of fakes (`faces_fake`) and of reals (`faces_real`) with at least one face, in [0, 1].

    real, fake: uint8 [N, C, S, S]. finder: "mesh" or "haar"; by default "mesh" where its files are cached,
    else "haar". The reals' share is the finder's own limit. `_low`, `_high`: 95 % intervals (Wilson).
    """
    opened = open_finder(finder or best_finder())
    result: dict[str, float] = {}
    for name, images in (("faces_fake", fake), ("faces_real", real)):
        share = _share(images, opened)
        result |= named(name, share, of_share(share, max(len(images), 1)))
    return result


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when the share is coarse, else None."""
    return None if num_fake >= 50 else f"a share of {num_fake} pictures is coarse: use 50 or more"


def best_finder() -> str:
    """The better of the face detectors whose files are here; Haar's come with OpenCV."""
    here = all(artefacts.artefact_path(name) is not None for name in ("face-finder", "face-mesh"))
    return "mesh" if here else "haar"


def provenance() -> tuple[str, str, str]:
    """Name, hash and resize rule of the face detector, for the provenance of scores."""
    name = best_finder()
    version = artefacts.artefact_sha256("face-finder") if name == "mesh" else f"opencv {cv2.__version__}"
    return f"finder-{name}", str(version), f"Lanczos to {_SIDE}, mirrored border of {_BORDER}"


def _share(images: Tensor, finder: Finder) -> float:
    detected = [bool(finder.find(prepared(to_hwc(image)))) for image in images]
    return float(np.mean(detected)) if detected else 0.0


def prepared(image: Pixels) -> Pixels:
    """Enlarge and pad an aligned face, since detectors need a margin and a usual size."""
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    room = (_BORDER, _BORDER)
    return np.pad(resize(colour, _SIDE), (room, room, (0, 0)), mode="reflect")
