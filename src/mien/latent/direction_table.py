"""Directions as a table for the terminal."""

from mien.core.events import Column, Table
from mien.latent.directions import About, Directions


def table_of(directions: Directions) -> Table:
    """A row for each direction: accuracy on held-out samples, effects of one unit, layers, method."""
    columns = (
        Column("direction", wraps=True),
        Column("accuracy", numbers=True),
        Column("own effect", numbers=True),
        Column("largest other", numbers=True, wraps=True),
        Column("layers"),
        Column("how", wraps=True),
    )
    rows = tuple(_row(direction.about) for direction in directions)
    caption = (
        "effects of one unit in standard deviations of the attribute over samples; accuracy: 95 % interval"
    )
    return Table(columns, rows, caption=caption)


def _row(about: About) -> tuple[str, ...]:
    accuracy = about.accuracy
    told = f"{accuracy.value:.2f} ({accuracy.low:.2f}-{accuracy.high:.2f})" if accuracy else "-"
    own = about.effects.get(about.name)
    others = {name: value for name, value in about.effects.items() if name != about.name}
    worst = max(others, key=lambda name: abs(others[name])) if others else None
    return (
        about.name,
        told,
        "-" if own is None else f"{own:+.2f}",
        "-" if worst is None else f"{others[worst]:+.2f} {worst}",
        layers_text(about.layers) or "-",
        about.method,
    )


def layers_text(layers: tuple[int, ...]) -> str:
    """(0, 1, 2, 5) as "0-2,5"."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
