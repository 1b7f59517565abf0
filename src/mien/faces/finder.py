"""Open a face finder by name."""

from mien.core.artefacts import obtain
from mien.core.errors import InputError, MienError
from mien.core.events import Events
from mien.faces.face import Face, Finder

__all__ = ["FINDERS", "SEES_SMALL", "Face", "Finder", "needed_artefacts", "open_face_finder", "open_finder"]

FINDERS = ("mesh", "haar")
SEES_SMALL = frozenset({"mesh"})  # finders that find smaller faces in larger pictures


def open_finder(name: str) -> Finder:
    """The finder called `name`: "mesh" (good, needs two artefacts) or "haar" (nothing to download).

    Raises InputError for another name, MienError if an artefact is not cached.
    """
    if name == "mesh":
        from mien.faces.mesh_finder import MeshFinder

        return MeshFinder()
    if name == "haar":
        from mien.faces.haar_finder import HaarFinder

        return HaarFinder()
    raise InputError(f"{name!r} is no finder; choose from: {', '.join(FINDERS)}")


def needed_artefacts(name: str) -> tuple[str, ...]:
    """Names of the artefacts without which `open_finder(name)` fails."""
    return ("face-finder", "face-mesh") if name == "mesh" else ()


def open_face_finder(events: Events) -> Finder:
    """The mesh finder, fetched if need be; OpenCV's own where it cannot be had, which is said."""
    try:
        for name in needed_artefacts("mesh"):
            obtain(name, announce=events.note)
        return open_finder("mesh")
    except MienError as error:
        events.warn(f"no mesh finder: faces are found by OpenCV's cascades, without a mask ({error})")
        return open_finder("haar")
