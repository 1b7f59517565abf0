"""Studies of small pictures, servers for them, and simulated raters whose skill is known."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import select

from mien.core.packed import encode_png
from mien.study import sessions
from mien.study.commands import new
from mien.study.loaded import Study
from mien.study.store import Store, open_study, pictures
from served import served, started

LOOPBACK = frozenset({"127.0.0.1", "localhost"})
HEADERS = {"x-mien": "study"}
Trial = dict[str, Any]
Answer = Callable[[Trial, list[str]], Any]  # (trial, sets of its pictures) -> answer

TASKS: dict[str, dict[str, Any]] = {
    "categorise": {"exposures_ms": [50, 100, 200, 400, 800], "trials": 8},
    "hype-time": {"blocks": 2, "trials": 40, "start_ms": 300},
    "hype-infinity": {"trials": 40},
    "rate": {"scales": [{"name": "realism", "text": "How real?"}, {"name": "quality", "text": "How good?"}]}
    | {"trials": 20},
    "prefer": {"trials": 30},
    "attributes": {"attributes": ["smiling", "glasses"], "trials": 20},
}
SETS = {
    "prefer": [{"name": name} for name in ("good", "fair", "poor")],
    "rate": [{"name": name} for name in ("good", "poor")],
    "attributes": [{"name": "plain"}, {"name": "smilers", "shows": ["smiling"]}],
}
REAL_OR_FAKE: list[dict[str, Any]] = [{"name": "photos", "real": True}, {"name": "model"}]


def fill_folder(folder: Path, count: int, *, seed: int, size: int = 16) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        pixels = rng.integers(0, 255, (size, size, 3)).astype(np.uint8)
        (folder / f"{number:03d}.png").write_bytes(encode_png(pixels))


def design_of(kind: str, **changes: Any) -> dict[str, Any]:
    """A design as a file holds it. changes: over its top; "task" over the task."""
    task = {"kind": kind} | TASKS[kind] | changes.pop("task", {})
    sets = changes.pop("sets", SETS.get(kind, REAL_OR_FAKE))
    return {
        "title": "A study",
        "task": task,
        "sets": [{"path": one["name"]} | one for one in sets],
        "consent": "You agree.",
        "instructions": "Look.",
        "practice": 2,
        "attention_checks": 1,
    } | changes


def make_study(folder: Path, kind: str, *, db: str | None = None, count: int = 80, **changes: Any) -> str:
    """A study in a database; gives its address."""
    design = design_of(kind, **changes)
    for seed, one in enumerate(design["sets"]):
        if not (folder / one["path"]).exists():
            fill_folder(folder / one["path"], count, seed=seed)
    path = folder / f"{kind}.json"
    path.write_text(json.dumps(design))
    return new(path, db=db).run()


class Clock:
    """The server's clock, which raters turn forward instead of waiting."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._lock = threading.Lock()

    def time(self) -> float:
        return time.time() + self.ahead

    def wait(self, seconds: float) -> None:
        with self._lock:
            self.ahead += seconds


@contextmanager
def serving(place: str) -> Iterator[str]:
    """A server in a thread of this process; gives its address."""
    from mien.study.web import build_app

    store = open_study(place)
    try:
        with served(build_app(Study(store), hosts=LOOPBACK)) as address:
            yield address
    finally:
        store.close()


def running(place: str) -> AbstractContextManager[tuple["subprocess.Popen[str]", str]]:
    """A server in a process of its own, as a user starts it; gives the process and participants' address."""
    code = (
        "import sys; from mien.study.commands import serve; serve(sys.argv[1]).run(lambda e: print(e.text))"
    )
    return started("-c", code, place, says=r"participants +(http://\S+)")


def sets_by_name(place: str) -> dict[str, str]:
    """Which set each picture is from, which no rater is told."""
    store = Store(place)
    with store.reading() as connection:
        found = dict(connection.execute(select(pictures.c.name, pictures.c.set)).all())
    store.close()
    return found


def client_of(address: str) -> httpx.Client:
    """Asks as the page does; without certificates, whose reading takes longer than a study."""
    return httpx.Client(base_url=address, headers=HEADERS, timeout=60, verify=False)


class Rater:
    """Someone who takes part over HTTP."""

    def __init__(
        self,
        address: str,
        *,
        recruitment: str = "",
        answers: dict[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.client = client_of(address)
        self.clock = clock
        self.enrolled = self.post("enrol", consent=True, recruitment=recruitment, answers=answers or {})
        self.link = self.enrolled["link"]
        self.study = self.client.get("study").json()

    def post(self, path: str, *, expect: int = 200, **body: Any) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def next(self) -> Trial:
        return self.post("next", link=self.link)

    def timing(self, trial: Trial, refresh_hz: float = 60.0) -> dict[str, Any]:
        """What the page would measure on a good screen."""
        if trial["exposure_ms"] is None:
            return {"reaction_ms": 600}
        frames = max(1, round(trial["exposure_ms"] * refresh_hz / 1000))
        return {
            "refresh_hz": refresh_hz,
            "frames_planned": frames,
            "frames_shown": frames,
            "achieved_ms": frames * 1000 / refresh_hz,
            "reaction_ms": 600,
        }

    def vote(self, trial: Trial, answer: Any, *, expect: int = 200, **timing: Any) -> Any:
        body = {"link": self.link, "token": trial["token"], "answer": answer}
        return self.post("votes", expect=expect, **body, timing=self.timing(trial) | timing)

    def wait(self, trial: Trial) -> None:
        """As long as looking at a trial takes."""
        task = self.study["task"]
        shown = (trial["exposure_ms"] or 0) + task.get("fixation_ms", 0)
        seconds = (shown + len(trial["masks"]) * task.get("mask_ms", 0) + 700) / 1000
        if self.clock is None:
            time.sleep(seconds)
        else:
            self.clock.wait(seconds)

    def run(self, answer: Answer, sets: dict[str, str], *, most: int = 10**9) -> list[Trial]:
        """Answer until the end, or `most` trials; gives those that were acknowledged, then the last state."""
        trial, done = self.next(), []
        while trial["state"] != "end" and len(done) < most:
            self.wait(trial)
            shown = [sets[name] for name in trial["pictures"]]
            given = (
                attentive(trial, self.study["task"]) if trial["state"] == "check" else answer(trial, shown)
            )
            result = self.vote(trial, given)
            done.append(trial | {"answer": given})
            trial = result["next"]
        return [*done, trial]


def attentive(trial: Trial, task: dict[str, Any]) -> Any:
    """The answer that a check asks for."""
    if task["kind"] == "rate":
        return {scale["name"]: trial["check"] for scale in task["scales"]}
    return trial["check"]


def share_right(exposure_ms: float | None, *, midpoint: float = 150.0, slope: float = 3.0) -> float:
    """The psychometric function of simulated raters: 75 % right at `midpoint`."""
    return 0.5 + 0.5 / (1 + (exposure_ms / midpoint) ** -slope) if exposure_ms else 0.8


def detector(rng: np.random.Generator, **skill: float) -> Answer:
    """Tells real from fake as often as `share_right`, by how long the picture was really shown."""

    def answer(trial: Trial, sets: list[str]) -> str:
        exposure = trial["exposure_ms"]
        if exposure:
            exposure = max(1, round(exposure * 0.06)) / 0.06  # frames of 60 Hz
        right = rng.random() < share_right(exposure, **skill)
        return "real" if (sets[0] == "photos") == right else "fake"

    return answer


def run_all(address: str, place: str, answers: list[Answer]) -> None:
    """One rater for each of `answers`, one after the other, on a clock that they turn forward."""
    sets, clock = sets_by_name(place), Clock()
    sessions.time, kept = clock, sessions.time  # type: ignore[assignment]
    try:
        for answer in answers:
            rater = Rater(address, clock=clock)
            rater.run(answer, sets)
            rater.client.close()
    finally:
        sessions.time = kept
