"""Text to values, as people write them."""

import pytest

from mien.collect.values import read_value

READ = [
    ("int", "Age: 34 years", 34),
    ("int", "1,234", 1234),
    ("int", "1.234.567", 1234567),
    ("int", "-5", -5),
    ("number", "12.5 %", 12.5),
    ("number", "3,75", 3.75),
    ("number", "1,234.5", 1234.5),
    ("number", "1.234,5", 1234.5),
    ("number", "1 234,5", 1234.5),
    ("number", "0.125", 0.125),
    ("number", "about 7.", 7.0),
    ("feet-inches", "5'11\"", 180.3),
    ("feet-inches", "5′ 11″", 180.3),
    ("feet-inches", "6 ft", 182.9),
    ("feet-inches", "5 feet 4 inches", 162.6),
    ("feet-inches", "5ft 4.5in", 163.8),
    ("feet-inches", "5-11", 180.3),
    ("feet-inches", "511", 180.3),
    ("feet-inches", "600", 182.9),
    ("height", "Height: 180 cm", 180.0),
    ("height", "1.80 m", 180.0),
    ("height", "1,80m", 180.0),
    ("height", "5'11\" (180 cm)", 180.0),
    ("height", "5 ft 11 in", 180.3),
    ("weight", "72 kg", 72.0),
    ("weight", "72,5kg", 72.5),
    ("weight", "159 lb", 72.1),
    ("weight", "200lbs", 90.7),
    ("weight", "11 st 5", 72.1),
    ("date", "2024-02-09", "2024-02-09"),
    ("date", "2024/2/9", "2024-02-09"),
    ("date", "9 February 2024", "2024-02-09"),
    ("date", "born on the 9th Feb 2024", "2024-02-09"),
    ("date", "February 9, 2024", "2024-02-09"),
    ("date", "Sept. 1st, 1999", "1999-09-01"),
    ("date", "31/12/1990", "1990-12-31"),
    ("date", "12/31/1990", "1990-12-31"),
    ("date", "4.4.1990", "1990-04-04"),
    ("date", "2024-02-09T10:00:00Z", "2024-02-09"),
    ("text", "any thing", "any thing"),
]


@pytest.mark.parametrize(("kind", "text", "value"), READ)
def test_what_can_be_read(kind, text, value):
    read = read_value(text, kind)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "none"),
        ("int", "3.5"),
        ("number", ""),
        ("feet-inches", "5'14\""),
        ("feet-inches", "tall"),
        ("feet-inches", "99'1\""),
        ("feet-inches", "572"),
        ("height", "180"),
        ("height", "big"),
        ("weight", "72"),
        ("date", "3/4/1990"),
        ("date", "2024-13-01"),
        ("date", "9 Foo 2024"),
        ("date", "30 Feb 2024"),
        ("date", "soon"),
    ],
)
def test_what_cannot_be_read_is_refused(kind, text):
    with pytest.raises(ValueError, match=r"."):
        read_value(text, kind)


def test_a_format_decides_what_comes_first():
    assert read_value("3/4/1990", "date", format="%d/%m/%Y") == "1990-04-03"
    assert read_value("3/4/90", "date", format="%m/%d/%y") == "1990-03-04"
    with pytest.raises(ValueError, match="does not match"):
        read_value("1990", "date", format="%d/%m/%Y")
