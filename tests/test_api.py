"""The public names exist, and importing mien loads nothing heavy."""

import os
import subprocess
import sys

import pytest

import mien


def test_every_public_name_is_there_and_documented() -> None:
    for name in mien._PUBLIC:
        assert callable(getattr(mien, name)), name
        assert f"\n{name} " in str(mien.__doc__) or name == "TrainOptions"
        assert name in dir(mien)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        mien.nonsense  # noqa: B018


def test_importing_is_light() -> None:
    code = "import sys, mien; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("told", "expected"),
    [({}, "30000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
)
def test_waiting_threads_spin_shortly_unless_the_user_chose(told: dict[str, str], expected: str) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    program = "import mien, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", program], env=kept | told, capture_output=True, text=True)
    assert done.stdout.strip() == expected
