"""The cache folder of decoded images and third-party files."""

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """The cache folder: the environment variable MIEN_CACHE, or the user's cache folder."""
    configured = os.environ.get("MIEN_CACHE")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("mien", appauthor=False))
