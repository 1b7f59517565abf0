"""Figures as text in the page: columns stand under their headings, numbers to the right."""

from mien.core.events import Column, Notice, Progress, Table
from mien.translation.report import as_text


def test_a_table_is_text_in_columns() -> None:
    columns = (Column("method"), Column("PSNR", numbers=True))
    table = Table(columns, (("noisy", "20.1"), ("this model", "8.25")), title="gaussian 40", caption="in dB")
    shown = as_text([Notice("above"), Progress("measuring", 1, 2), table, Notice("below")])
    assert shown.splitlines() == [
        "above",
        "",
        "gaussian 40",
        "method      PSNR",
        "----------------",
        "noisy       20.1",
        "this model  8.25",
        "in dB",
        "",
        "below",
    ]
