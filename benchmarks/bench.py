"""The short form of the benchmarks, one script a claim, in about ten minutes: `make bench`.

    python benchmarks/bench.py [--photos FOLDER] [--out benchmarks/RESULTS.md] [--only NAME ...]

Each script prints its own table, with its baseline measured beside it in the same run. What they print goes
into RESULTS.md with the machine and the date. One that takes too long is ended, and the file says so.
stylegan2_speed.py is not among them: a turn of its plain networks alone takes minutes.
"""

import argparse
import datetime
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from mien.core.atomic import write_text
from mien.scale.doctor import machine

FOLDER = Path(__file__).parent
MOST_SECONDS = 240.0  # of one script


class Claim(NamedTuple):
    """A script and the options of its short form."""

    title: str
    words: tuple[str, ...]


CLAIMS = (
    Claim("Starting", ("start_up.py", "--starts", "5")),
    Claim("Reading packed images", ("packed_speed.py", "--count", "2000")),
    Claim("Training lite: the loop and its bare arithmetic", ("train_speed.py", "--short")),
    Claim("Drawing", ("generate_speed.py", "--starts", "2", "--counts", "500")),
    Claim("Rendering", ("render_speed.py", "--count", "24", "--rounds", "1")),
    Claim("Metrics", ("metric_speed.py", "--count", "200")),
)
PREPARE = ("prepare_speed.py", "--count", "40", "--runs", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", help="a folder of photos, to time `prepare` too")
    parser.add_argument("--out", type=Path, default=FOLDER / "RESULTS.md")
    parser.add_argument("--only", nargs="*", help="names of scripts, without .py")
    arguments = parser.parse_args()
    claims = [*CLAIMS]
    if arguments.photos:
        claims.append(Claim("Preparing photos", (PREPARE[0], arguments.photos, *PREPARE[1:])))
    if arguments.only:
        claims = [claim for claim in claims if Path(claim.words[0]).stem in arguments.only]
    parts = [heading()]
    for claim in claims:
        parts.append(f"## {claim.title}\n\n{measured(claim)}")
        print(parts[-1], flush=True)
        write_text(arguments.out, "\n".join(parts))  # as far as it has come


def heading() -> str:
    facts = "\n".join(f"| {name.replace('_', ' ')} | {value} |" for name, value in machine().items())
    today = datetime.datetime.now(datetime.UTC).date()
    load = os.getloadavg()[0]
    words = "The short form, made by `make bench`. Ratios were measured in one run, side by side."
    table = f"| machine | {today}, load {load:.1f} at the beginning |\n|---|---|\n{facts}"
    return f"# Results\n\n{words}\n\n{table}\n"


def measured(claim: Claim) -> str:
    """What the script prints, as it stands, under its command."""
    shown = f"    python benchmarks/{' '.join(Path(word).name for word in claim.words)}"
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, str(FOLDER / claim.words[0]), *claim.words[1:]],
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"{shown}\n\nNot ready after {MOST_SECONDS:.0f} seconds.\n"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        return f"{shown}\n\nFailed: {last}\n"
    printed = "\n".join(f"    {line}" for line in done.stdout.rstrip().splitlines())
    return f"{shown}\n\n{printed}\n\n{time.perf_counter() - began:.0f} seconds.\n"


if __name__ == "__main__":
    main()
