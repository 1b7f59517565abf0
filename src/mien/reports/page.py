"""HTML pages: render a jinja template to one self-contained file, with curves and tables of files."""

import base64
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mien.core.atomic import file_sha256
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
    security policy allows: these alone, and nothing that a hostile name might smuggle in.
    """
    style, script = _joined(styles), _joined(scripts)
    page = _environment().get_template(template)
    return page.render(
        context,
        style=Markup(style),
        style_hash=_policy_hash(style),
        script=Markup(script),
        script_hash=_policy_hash(script),
    )


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=_TEMPLATES, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(number=number, kimg=at_kimg, count=times)
    return environment


def _joined(names: Sequence[str]) -> str:
    return "".join(_TEMPLATES.get_source(_environment(), name)[0] for name in names)


def _policy_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def log_parts(log: Log) -> dict[str, Any]:
    """The template variables of the sections "warnings" and "curves", by name."""
    charts = [_chart(group, log) for group in groups(log.ticks)]
    return {"charts": charts, "log": log, "numbers": _numbers(log), "num_styles": NUM_STYLES}


def files_of(files: Iterable[tuple[Path, str]]) -> list[tuple[str, str, str, str]]:
    """Name, description, size and SHA-256 of each file."""
    rows = []
    for path, about in files:
        try:
            rows.append((path.name, about, _bytes(path.stat().st_size), file_sha256(path)))
        except OSError:
            rows.append((path.name, about, "not there", ""))
    return rows


def _chart(group: Group, log: Log) -> dict[str, Any]:
    gaps = sum(series.num_gaps for series in group.series)
    return {
        "title": group.title,
        "about": group.about,
        "names": [series.name for series in group.series],
        "svg": line_chart(group.series, title=group.title, unit=group.unit, marks=log.marks),
        "gaps": gaps,
    }


def _numbers(log: Log) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the curves' values, evenly thinned."""
    count = min(len(log.ticks), _NUM_TABLE_ROWS)
    chosen = sorted({round(i * (len(log.ticks) - 1) / max(count - 1, 1)) for i in range(count)})
    curves = [(group, series, dict(series.points)) for group in groups(log.ticks) for series in group.series]
    headings = [f"{group.title}: {series.name}" for group, series, _ in curves]
    rows = []
    for index in chosen:
        tick = log.ticks[index]
        kimg = kimg_of(tick) or 0.0
        rows.append([number(kimg), *(number(p[kimg]) if kimg in p else "" for _, _, p in curves)])
    return headings, rows


def _bytes(size: int) -> str:
    return (
        f"{size} bytes" if size < 1000 else f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"
    )
