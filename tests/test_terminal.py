"""What is printed of events, on a terminal and into a file."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from mien import terminal
from mien.core.events import Column, Event, Notice, Progress, Started, Table, TrainingTick, Written
from mien.terminal import Terminal, sparkline

TABLE = Table((Column("name"), Column("value", numbers=True)), (("[red]kernel", "0.1"),), title="[b]scores")


def printed(*events: Event, is_terminal: bool = False, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=is_terminal, highlight=False, soft_wrap=True)
    with Terminal(console) as show:
        for event in events:
            show(event)
    return file.getvalue()


def test_sentences_are_printed_as_they_are() -> None:
    long = "a [bold]name[/] of a file " + "x" * 100
    assert printed(Started("1/2 begins"), Notice(long, "warning"), Written(Path("out"), "3 files")) == (
        f"1/2 begins\n{long}\nwrote out: 3 files\n"
    )


def test_on_a_terminal_lines_are_broken_between_words_and_paths_stay_whole() -> None:
    path = "runs/" + "x" * 40
    text = printed(Notice(f"one two three four five, wrote {path} and more"), is_terminal=True, width=30)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert path in lines
    assert all(len(line) <= 30 for line in lines if line != path)


def test_a_command_to_type_next_stays_one_line() -> None:
    command = "next: mien train " + "x" * 20 + " --minutes 10"
    assert command in printed(Notice(command, "hint"), is_terminal=True, width=30)


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    evil = "a\x1b[2J\x07\u202eb\rc\x9b1mé\udcffz"
    table = Table((Column(evil),), ((evil,),), title=evil, caption=evil)
    path = Path("x\ny\x1b[31m")
    text = printed(Started(evil), Notice(evil), Written(path, evil), table, Progress(evil, 1, 2))
    shown = [char for char in text if char not in "\n"]
    assert all(terminal.unicodedata.category(char) not in ("Cc", "Cf", "Cs") for char in shown)
    assert "wrote x\\ny\\x1b[31m: " in text
    assert text.count("\\x1b[2J") == 7  # progress is a line only after ten seconds
    bars = printed(Progress("[red]\x1b[2Jname", 1, 2), is_terminal=True, width=200)
    assert "[red]\\x1b[2Jname" in bars


def test_letters_lines_and_joined_emoji_stay() -> None:
    for text in ("Γυναίκα Ёлка 顔\u3000画", "no\u00a0break", "👩\u200d🔬 می\u200cخواهم", "two\n\tlines"):
        assert terminal.escaped(text) == text
    assert terminal.escaped("a\nb", keep="") == "a\\nb"


def test_tables_take_nothing_for_markup() -> None:
    text = printed(TABLE)
    assert "[red]kernel" in text
    assert "[b]scores" in text
    assert [line.split() for line in text.splitlines() if "kernel" in line] == [["[red]kernel", "0.1"]]


def test_numbers_stay_whole_where_cells_are_broken() -> None:
    wide = Table(
        (Column("a" * 40), Column("value", numbers=True, wraps=True)),
        (("b", "0.00527 (-0.00088 to 0.0137)"),),
    )
    assert "(-0.00088" in printed(wide, width=60)


def test_names_stay_whole_where_a_column_is_too_narrow_for_them() -> None:
    table = Table((Column("name", wraps=True), Column("what")), (("n" * 30, "w" * 70),))
    shown = printed(table)
    assert "…" not in shown
    assert shown.count("n") == 1 + 30, "of the heading and of the name"
    assert shown.count("w") == 1 + 70


def test_into_a_file_progress_is_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    file = io.StringIO()
    with Terminal(Console(file=file, width=80)) as show:
        for done in range(1, 31):
            now[0] = float(done)
            show(Progress("opening", done * 100, 3000))
    assert file.getvalue().splitlines() == [
        "opening: 1,100 of 3,000 images",
        "opening: 2,100 of 3,000 images",
    ]


def test_on_a_terminal_progress_is_a_bar_that_goes_away() -> None:
    text = printed(Progress("opening", 1, 2), Progress("opening", 2, 2), Notice("done"), is_terminal=True)
    assert "opening" in text
    assert text.rstrip().endswith("done")


def test_bytes_are_told_in_megabytes() -> None:
    assert terminal.counted(Progress("fetching", 1_500_000, 36_000_000, "bytes")) == "1.5 of 36.0 MB"


def test_a_tick_of_training_is_one_line() -> None:
    values = {"Loss/G/loss": 1.25, "Loss/D/loss": 0.5, "Timing/img_per_sec": 80.0}
    (line,) = printed(TrainingTick(4000, 60.0, 0.25, values)).splitlines()
    assert line.split() == ["4.0", "kimg", "25%", "80", "img/s", "G", "1.25", "D", "0.50", "3:00", "left"]


def test_small_bars() -> None:
    assert sparkline([0, 1, 2, float("inf")]) == "▁▅█"
    assert sparkline([]) == ""


def test_counts_that_do_not_change_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    file = io.StringIO()
    with Terminal(Console(file=file, width=80)) as show:
        for second in range(60):
            now[0] = float(second)
            show(Progress("tossed", 0 if second < 30 else 1, 20, "faces"))
    assert file.getvalue() == "tossed: 1 of 20 faces\n"
