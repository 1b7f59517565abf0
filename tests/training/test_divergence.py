"""A configuration that really diverges is caught soon after its first symptom and rescued or ended."""

import math
from pathlib import Path

import pytest
import torch

import mien
from mien.core.events import Event
from mien.core.events import Notice as Said
from mien.core.run import RunFolder
from mien.models import lite
from mien.training.loop import Budget, Step, Training
from mien.training.monitor import Limits, Notice
from mien.training.order import Stream
from mien.training.session import DivergedError, Session
from pictures import ArrayDataset
from test_cli import pictures

CPU = torch.device("cpu")
# The recipe known to diverge at 64 px (penalty every 8 steps in bfloat16, gamma 1), at a size and a learning
# rate where it does so within seconds, on one thread as on two.
WILD = lite.Config(
    batch_size=50,
    z_dim=16,
    width_g=8,
    width_d=8,
    lr=0.1,
    lr_final=1.0,
    gamma=1.0,
    penalty_interval=8,
    penalty_bf16=True,
)


def first_symptom(steps: list[Step], limits: Limits) -> int | None:
    """Images seen at the first penalty, gap or gradient out of bounds; by definition, not by the monitor."""
    penalties: list[float] = []
    for step in steps:
        values = [value for name, value in step.values.items() if name.endswith("_penalty")]
        gap = abs(step.values["Loss/scores/real"] - step.values["Loss/scores/fake"])
        if not step.finite or gap > limits.exploded_gap:
            return step.nimg
        if values:
            usual = [math.log(max(p, 1e-12)) for p in penalties[-64:]]
            if len(usual) >= limits.penalty_warmup and sum(values) > 20 * math.exp(sum(usual) / len(usual)):
                return step.nimg
            penalties.append(sum(values))
    return None


@pytest.mark.slow
def test_real_divergence_is_caught_and_handled(tmp_path: Path) -> None:
    torch.manual_seed(0)
    dataset = ArrayDataset(400, resolution=16)
    training = Training(lite.build(WILD, dataset.spec), 0, CPU, torch.bfloat16)
    stream = Stream(dataset, seed=0, mirror=True, labels=False, device=CPU)
    run = RunFolder(tmp_path)
    run.write_config({})
    session = Session(run, training, stream, dataset, Budget(nimg=12_000), family="lite", snapshot_nimg=1000)
    session.resume(pytest.fail)
    steps: list[Step] = []
    notices: list[Notice] = []
    try:
        for event in session.events():
            if isinstance(event, Step) and not notices:
                steps.append(event)
            elif isinstance(event, Notice) and (event.fatal or event.kind == "rescue"):
                notices.append(event)
        reason = ""
    except DivergedError as error:
        reason = str(error)
    weights = [p for network in training.trainable.networks.values() for p in network.parameters()]
    recovered = all(bool(torch.isfinite(weight).all()) for weight in weights)
    assert "after 3 rescues" in reason or recovered
    assert notices, "this configuration should diverge"
    symptom = first_symptom(steps, Limits())
    assert symptom is not None
    assert notices[0].nimg - symptom <= 50 * WILD.batch_size
    rescues = [notice for notice in notices if notice.kind == "rescue"]
    assert 1 <= len(rescues) <= 3
    assert all(rescue.nimg <= notices[0].nimg for rescue in rescues[:1])


@pytest.mark.slow
def test_who_trains_is_told_of_a_divergence_and_its_rescue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As warnings, at the time of the run at which they were seen; the log has the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    pictures(tmp_path / "faces")
    events: list[Event] = []
    options = {"set": {"width_g": 4, "width_d": 4, "z_dim": 8, "batch_size": 50, "lr": 1.0}, "kimg": 1}
    run = mien.train("faces", model="lite", device="cpu", precision="fp32", start="none", **options).run(
        events.append
    )
    told = [
        (event.tone, event.text) for event in events if isinstance(event, Said) and " kimg: " in event.text
    ]
    logged = [record for record in run.read_log() if record.get("event") in ("warning", "rescue")]
    assert {record["event"] for record in logged} == {"warning", "rescue"}
    assert [text for _, text in told] == [
        f"{each['nimg'] / 1000:.1f} kimg: {each['text']}" for each in logged
    ]
    assert ("warning" if logged[-1]["event"] == "rescue" else "error") == told[-1][0]
    assert any("learning rate x0.5" in text for _, text in told)
