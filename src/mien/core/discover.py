"""Registry of families, datasets and metrics: each module of a package is one, under its file's name."""

import importlib
import pkgutil
from types import ModuleType

from mien.core.errors import InputError


def names(package: str) -> tuple[str, ...]:
    """The modules of `package` ("mien.models"), sorted, but for packages and files beginning with "_"."""
    path = importlib.import_module(package).__path__
    modules = [module.name for module in pkgutil.iter_modules(path) if not module.ispkg]
    return tuple(sorted(name for name in modules if not name.startswith("_")))


def load(package: str, name: str) -> ModuleType:
    """Import member `name` of `package`. Raises InputError naming the members that exist."""
    known = names(package)
    if name not in known:
        kind = package.rpartition(".")[2]
        raise InputError(f"{name!r} is not one of the {kind} here; choose from: {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}")
