"""Registry of families, datasets and metrics: each module of a package is one, under its file's name."""

import difflib
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
    """Import member `name` of `package`. Raises InputError naming the members that exist, and the nearest."""
    known = names(package)
    if name not in known:
        kind = package.rpartition(".")[2]
        alike = difflib.get_close_matches(name, known, 1)
        guess = f" (did you mean {alike[0]}?)" if alike else ""
        raise InputError(f"{name!r} is not one of the {kind} here{guess}; choose from: {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}")


def known_as(package: str, name: str) -> str:
    """The member of `package` that is or also is called `name` (its `ALSO`); else `name` itself."""
    known = names(package)
    others = () if name in known else known
    called = {also: member for member in others for also in getattr(load(package, member), "ALSO", ())}
    return called.get(name.lower(), name)
