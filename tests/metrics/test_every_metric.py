"""Every metric is held to the contract."""

import importlib
from pathlib import Path

from contracts.metric_contract import MetricContract
from mien.core import discover


def test_every_metric_inherits_the_contract():
    for file in Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(file.stem)
    covered = {contract.metric for contract in MetricContract.__subclasses__()}
    assert covered == set(discover.names("mien.metrics"))
