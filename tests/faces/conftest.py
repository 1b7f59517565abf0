"""Finders, opened once."""

import pytest

from mien.core import artefacts
from mien.faces.finder import Finder, needed_artefacts, open_finder


@pytest.fixture(scope="session")
def mesh_finder() -> Finder:
    missing = [name for name in needed_artefacts("mesh") if artefacts.artefact_path(name) is None]
    if missing:
        pytest.skip(f"not in the cache: {', '.join(missing)} (run `mien artefacts fetch face-mesh`)")
    return open_finder("mesh")


@pytest.fixture(scope="session")
def haar_finder() -> Finder:
    return open_finder("haar")
