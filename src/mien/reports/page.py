"""HTML pages: render a jinja template to one self-contained file, with curves and tables of files."""

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mien import TOOL
from mien.core.atomic import file_sha256, write_bytes
from mien.core.errors import InputError, MienError
from mien.core.run import RunFolder
from mien.reports.charts import NUM_STYLES, line_chart, number
from mien.reports.log import Group, Log, groups, kimg_of
from mien.reports.sentences import at_kimg, times

_NUM_TABLE_ROWS = 24
_TEMPLATES = PackageLoader("mien.reports", "templates")


def render(
    template: str,
    context: Mapping[str, Any],
    *,
    styles: Sequence[str] = ("report.css",),
    scripts: Sequence[str] = (),
) -> str:
    """Render a template with its style sheets and scripts inlined; the page makes no outside requests.

    The template finds them in `style` and `script`, and in `style_hash` and `script_hash` what its content
    security policy allows: these alone, and nothing that a hostile name might smuggle in. `tool` and
    `written` say what wrote it and when.
    """
    variables = {"tool": TOOL, "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")} | dict(context)
    for kind, names in (("style", styles), ("script", scripts)):
        text = "".join(_TEMPLATES.get_source(_environment(), name)[0] for name in names)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        variables |= {kind: Markup(text), f"{kind}_hash": f"sha256-{digest}"}
    return _environment().get_template(template).render(variables)


def write_html(path: Path, template: str, context: Mapping[str, Any], **parts: Sequence[str]) -> None:
    """Write a rendered template, whole or not at all; arguments as of `render`."""
    # File names and logs may hold lone surrogates, which UTF-8 cannot.
    write_bytes(path, render(template, context, **parts).encode("utf-8", "replace"))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=_TEMPLATES, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(number=number, kimg=at_kimg, count=times)
    return environment


def report_path(run: RunFolder, out: Path | None) -> Path:
    """Where to write the report of a run; `out` as for `page_path`."""
    return run.report if out is None else page_path(out, run.report.name)


def page_path(out: Path, name: str) -> Path:
    """Where to write a page. out: the page, or a folder for `name`, as all names without .html are.

    Raises InputError where `out` is another file.
    """
    if out.suffix.lower() in (".html", ".htm") and not out.is_dir():
        return out
    if out.is_file():
        raise InputError(f"--out {out}: is a file; a page's name ends in .html")
    return out / name


def attempt(action: Callable[[], Any], otherwise: Any) -> tuple[Any, str]:
    """What `action` gives and "", or `otherwise` and the reason: a failure costs its part of a page."""
    try:
        return action(), ""
    except MienError as error:
        return otherwise, f"{error}."


def run_parts(
    run: RunFolder, log: Log, config: Mapping[str, Any], products: Iterable[tuple[Path, str]]
) -> dict[str, Any]:
    """The variables of "_log.html.j2" (warnings, curves, configuration and files) and the run's name.

    products: files behind the page beside configuration, log and scores, and what they are.
    """
    scores = [(path, "scores") for path in sorted(run.path.glob("metric-*.jsonl"))]
    files = [(run.path / "config.json", "configuration"), (run.log, "log"), *products, *scores]
    return {
        "run": run.name,
        "charts": [_chart(group, log) for group in groups(log.ticks)],
        "log": log,
        "numbers": _numbers(log),
        "num_styles": NUM_STYLES,
        "config": json.dumps(config, indent=2, ensure_ascii=False, default=str) if config else "",
        "files": [_file_row(path, about) for path, about in files],
    }


def _file_row(path: Path, about: str) -> tuple[str, str, str, str]:
    """Name, description, size and SHA-256."""
    try:
        return path.name, about, _bytes(path.stat().st_size), file_sha256(path)
    except OSError:
        return path.name, about, "not there", ""


def _chart(group: Group, log: Log) -> dict[str, Any]:
    return {
        "title": group.title,
        "about": group.about,
        "names": [series.name for series in group.series],
        "svg": line_chart(group.series, title=group.title, unit=group.unit, marks=log.marks),
        "gaps": sum(series.num_gaps for series in group.series),
    }


def _numbers(log: Log) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the curves' values, evenly thinned."""
    count = min(len(log.ticks), _NUM_TABLE_ROWS)
    chosen = sorted({round(i * (len(log.ticks) - 1) / max(count - 1, 1)) for i in range(count)})
    curves = [(group, series, dict(series.points)) for group in groups(log.ticks) for series in group.series]
    headings = [f"{group.title}: {series.name}" for group, series, _ in curves]
    kimgs = [kimg_of(log.ticks[index]) or 0.0 for index in chosen]
    rows = [[number(x), *(number(p[x]) if x in p else "" for _, _, p in curves)] for x in kimgs]
    return headings, rows


def _bytes(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"
