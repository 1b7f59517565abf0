"""Every metric is held to the contract, those without a test of their own too."""

import importlib
from pathlib import Path

from contracts.metric_contract import MetricContract
from mien.core import discover


def _covered() -> set[str]:
    for file in Path(__file__).parent.glob("test_*.py"):
        if file.stem != __name__:
            importlib.import_module(file.stem)
    return {contract.metric for contract in MetricContract.__subclasses__()}


for _name in sorted(set(discover.names("mien.metrics")) - _covered()):
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (MetricContract,), {"metric": _name})


def test_every_metric_inherits_the_contract() -> None:
    assert _covered() == set(discover.names("mien.metrics"))
