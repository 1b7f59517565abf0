"""Pages that stand alone: a template filled in, its style sheets inlined and nothing else allowed."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render_page(
    template: str,
    context: Mapping[str, Any],
    *,
    styles: Sequence[str],
    filters: Mapping[str, Callable[..., Any]],
) -> str:
    """Fill `template` of `apps/templates`; it gets `style`, the sheets, and `style_hash` for its policy."""
    loader = PackageLoader("mien.apps", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(filters)
    style = "".join(loader.get_source(environment, name)[0] for name in styles)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # The hash allows this one style sheet and nothing that a hostile name might smuggle in.
    page = environment.get_template(template)
    return page.render(context, style=Markup(style), style_hash=f"sha256-{digest}")
