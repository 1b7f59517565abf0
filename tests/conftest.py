"""Fixtures for all tests: nothing here reaches the network or the user's own cache."""

import gc
import os
import pkgutil
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from execnet.gateway_base import MainThreadOnlyExecModel
from hypothesis import settings

import forked
import mien
from mien.cli import main
from mien.core import packaged
from mien.interop import sandbox
from mien.prepare import pool
from ranked import Ranks
from second_device import with_second_device

pytest.register_assert_rewrite(
    "contracts.dataset_contract", "contracts.family_contract", "contracts.metric_contract"
)

settings.register_profile("mien", deadline=None)  # a busy machine is no defect
settings.load_profile("mien")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """One thread for torch where each core has a worker; programs that tests start keep to it too.

    Compiled tests are kept, whatever is usual here: each worker would compile all of them again (14 s).
    """
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    gc.set_threshold(50_000, *gc.get_threshold()[1:])  # as `mien.cli` does: modules and tests stay
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: many tests wait for browsers, servers and processes they started."""
    return (os.cpu_count() or 1) + 2


# What many tests import and takes a tenth of a second or more: none that pytest rewrites, as anyio.
_HEAVY = ("scipy.stats", "scipy.signal", "sklearn.linear_model", "sklearn.model_selection", "onnx")
_HEAVY += ("torchmetrics.functional.image", "sqlalchemy")
_LATE = re.compile(r"__main__|\.collect\.|\.(web|guard)$|_onnx_child$")  # they import that, or few do them


def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Workers are forks of one process that has imported what each would import for itself."""
    shared = tempfile.TemporaryDirectory(prefix="mien-tests-")
    config.add_cleanup(shared.cleanup)
    os.environ[forked.SHARED] = shared.name
    os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch are imported there
    ours = (found.name for found in pkgutil.walk_packages(mien.__path__, "mien."))
    forked.preload(*_HEAVY, *(name for name in ours if not _LATE.search(name)))
    MainThreadOnlyExecModel.subprocess = forked.FOR_WORKERS


def pytest_collection_finish() -> None:
    """Who collects rubbish leaves alone the tests, which stay."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Weights that a network draws by itself are the same whenever a test runs."""
    _seed_all()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Also where a fixture of many tests was made for an earlier one."""
    _seed_all()


def _seed_all() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)  # of this device alone, which takes a four-hundredth of the time
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)


# They take longest, in this order; those first that mostly wait: for exposures in a browser, killed
# processes, ranks. Begun late, they leave cores idle.
_LONGEST = ("study/test_page", "latent/test_docs_latent", "training/test_ranks", "study/test_designs")
_LONGEST += ("training/test_kills", "scale/test_cluster", "evaluation/test_audit", "evaluation/test_modes")
_LONGEST += ("interop/test_export", "curate/test_curate_page", "evaluation/test_evaluate")
_LONGEST += ("prepare/test_prepare",)
_LONGEST += ("study/test_sessions", "core/test_checkpoint_strangers", "scale/test_storage")
_LONGEST += ("latent/test_edit_page", "translation/test_refine", "evaluation/test_evaluate_docs")
_LONGEST += ("collect/test_collect_kills", "training/test_divergence", "training/test_ranks_options")
_LONGEST += ("evaluation/test_worth", "prepare/test_resume", "training/test_start", "latent/test_encoder")
_LONGEST += ("training/test_going_on",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then those of most tests: workers take files in this order.

    Whatever needs a browser is slow.
    """
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    tests_of = Counter(item.path for item in items)
    place_of = {name: place for place, name in enumerate(_LONGEST)}

    def place(item: pytest.Item) -> tuple[int, int, str]:
        name = "/".join(item.path.with_suffix("").parts[-2:])
        return place_of.get(name, len(_LONGEST)), -tests_of[item.path], str(item.path)

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures; tests that need it are skipped where it is absent."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip("no folder of real pictures beside the repository (../shared/data)")
    return data


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with a code and one line; give the line."""

    def run(*arguments: object, code: int = 2) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == code
        error = capsys.readouterr().err.strip()
        assert error.startswith("mien: ")
        assert "\n" not in error
        assert "Traceback" not in error
        return error

    return run


@pytest.fixture(scope="module")
def ranks_of() -> Iterator[Callable[[int], Ranks]]:
    """Processes that train together, as many as asked for; started once a file of tests."""
    started: dict[int, Ranks] = {}

    def take(count: int) -> Ranks:
        if count not in started:
            started[count] = Ranks(count)
        return started[count]

    yield take
    for ranks in started.values():
        ranks.close()


@pytest.fixture(scope="module")
def on_second_device() -> Iterator[Callable[..., Any]]:
    """Runs a function that takes a device, and more, in a process that has a second one."""
    ranks = Ranks(1)  # torch has to know of its devices before the first derivative
    yield lambda function, *arguments: ranks.run(with_second_device, function, *arguments)[0]
    ranks.close()


@pytest.fixture
def warm_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Foreign files are read in forks of a process that has torch; `test_hostile` starts real ones, too."""
    monkeypatch.setattr(sandbox, "subprocess", forked.LIKE_SUBPROCESS)


@pytest.fixture
def warm_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of `prepare` are forks of a process that has their imports; `test_pool` starts real ones."""
    monkeypatch.setattr(pool, "subprocess", forked.LIKE_SUBPROCESS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; tests skip where it is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = driver.chromium.launch(executable_path=program, args=options)
        yield opened
        opened.close()


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packaged models are looked for, a folder still to be made; the test runs beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packaged, "folder", lambda: tmp_path / "assets")
    return tmp_path / "assets"
