"""Networks without weights: their shapes are those of the real ones, and looking costs no compiler."""

import subprocess
import sys

import pytest

from mien.core import discover
from mien.core.family import GENERATOR, build_product, kind_of, shapes_of, weightless
from mien.core.types import Spec

GENERATORS = [
    name for name in discover.names("mien.models") if kind_of(discover.load("mien.models", name)) == GENERATOR
]


@pytest.mark.parametrize("name", GENERATORS)
def test_shapes_alone_are_the_shapes(name: str) -> None:
    family = discover.load("mien.models", name)
    config = family.PRESETS.get("tiny") or family.Config()
    spec = Spec(32, label_dim=2, class_names=("a", "b"))
    networks = family.build(config, spec).networks
    real = {f"{k}.{n}": tuple(t.shape) for k, m in networks.items() for n, t in m.state_dict().items()}
    assert shapes_of(family, config, spec) == real
    with weightless():
        product = build_product(family, config, spec)
    assert all(tensor.is_meta for tensor in product.state_dict().values())


@pytest.mark.slow
def test_shapes_alone_load_no_compiler() -> None:
    code = (
        "import sys; from mien.core import discover; from mien.core.types import Spec\n"
        "from mien.core.family import build_product, weightless\n"
        f"for name in {GENERATORS}:\n"
        "    family = discover.load('mien.models', name)\n"
        "    with weightless():\n"
        "        build_product(family, family.Config(), Spec(64))\n"
        "    assert 'torch._dynamo' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
