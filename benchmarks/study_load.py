"""How fast `mien study serve` acknowledges votes when many raters answer at once.

    python benchmarks/study_load.py --raters 50 --votes 100 --think 0.5 [--db postgresql+psycopg://...]

The server runs in a process of its own, raters in this one. Each waits about `think` seconds before an
answer; 0 answers as fast as it can. Prints how many votes were acknowledged, how many are in the database,
and the time from sending a vote to its acknowledgement.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from sqlalchemy import func, select

from mien.core.packed import encode_png
from mien.study.commands import new
from mien.study.store import open_study, trials, votes

HEADERS = {"x-mien": "study"}
DESIGN = """
title = "Load"
consent = "Yes."
instructions = "Answer."
attention_checks = 0
practice = 0
[task]
kind = "hype-infinity"
trials = {trials}
[[sets]]
name = "photos"
path = "photos"
real = true
[[sets]]
name = "model"
path = "model"
"""


def make_study(folder: Path, trials: int, db: str | None) -> str:
    rng = np.random.default_rng(0)
    for name in ("photos", "model"):
        (folder / name).mkdir()
        for number in range(trials):
            pixels = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
            (folder / name / f"{number}.png").write_bytes(encode_png(pixels))
    (folder / "load.toml").write_text(DESIGN.format(trials=trials))
    return new(folder / "load.toml", db=db).run()


@contextmanager
def served(place: str) -> Iterator[str]:
    code = (
        "import sys; from mien.study.commands import serve; serve(sys.argv[1]).run(lambda e: print(e.text))"
    )
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, place], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        found = next(m for line in server.stdout if (m := re.search(r"participants +(http://\S+)", line)))
        try:
            yield found[1]
        finally:
            server.terminate()


async def until_answered(client: httpx.AsyncClient, body: dict[str, str]) -> httpx.Response:
    """Send a vote as the page does: again where the connection failed, which counts once."""
    while True:
        try:
            return await client.post("votes", json=body)
        except httpx.TransportError:
            await asyncio.sleep(0.5)


async def rate(address: str, think: float, seed: int, took: list[float]) -> int:
    """One rater from consent to the end; gives the number of acknowledged votes."""
    rng, acknowledged = np.random.default_rng(seed), 0
    async with httpx.AsyncClient(base_url=address, headers=HEADERS, timeout=60, verify=False) as client:
        link = (await client.post("enrol", json={"consent": True})).json()["link"]
        trial = (await client.post("next", json={"link": link})).json()
        while trial["state"] != "end":
            await asyncio.sleep(think * rng.uniform(0.5, 1.5))
            body = {"link": link, "token": trial["token"], "answer": str(rng.choice(("real", "fake")))}
            start = time.perf_counter()
            answer = await until_answered(client, body)
            took.append(1000 * (time.perf_counter() - start))
            assert answer.status_code == 200, answer.text
            acknowledged += 1
            trial = answer.json()["next"]
    return acknowledged


async def all_raters(address: str, raters: int, think: float) -> tuple[int, list[float], float]:
    took: list[float] = []
    start = time.perf_counter()
    counts = await asyncio.gather(*(rate(address, think, seed, took) for seed in range(raters)))
    return sum(counts), took, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--votes", type=int, default=100)
    parser.add_argument("--think", type=float, default=0.5)
    parser.add_argument("--db")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = make_study(Path(name), given.votes, given.db)
        with served(place) as address:
            count, took, seconds = asyncio.run(all_raters(address, given.raters, given.think))
        store = open_study(place)
        with store.reading() as connection:
            saved = connection.execute(select(func.count()).select_from(votes)).scalar_one()
            different = connection.execute(
                select(func.count(func.distinct(votes.c.trial_id))).join(
                    trials, trials.c.id == votes.c.trial_id
                )
            ).scalar_one()
        store.close()
    low, middle, high = np.percentile(took, (50, 95, 99))
    print(f"acknowledged {count}, saved {saved}, different {different} in {seconds:.1f} s")
    print(
        f"{count / seconds:.0f} votes a second; median {low:.0f} ms, p95 {middle:.0f} ms, p99 {high:.0f} ms"
    )


if __name__ == "__main__":
    main()
