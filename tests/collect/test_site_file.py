"""A site file is checked whole, and each mistake is named with its key and line."""

import sys

import pytest
from loopback import site_text

from mien.collect.collect import collect
from mien.collect.demo_gallery import SITES
from mien.collect.demo_gallery import site_text as ready_site
from mien.collect.site import load_site, parse_site, user_agent
from mien.core.errors import InputError, MienError

GOOD = site_text("https://example.org/people")


@pytest.mark.parametrize("name", SITES)
def test_ready_site_files_are_good(name):
    site = parse_site(ready_site(name), name)
    assert site.name == name
    assert site.follow.pages
    assert len(site.individual_details) == 6


def test_defaults_are_gentle():
    limits = parse_site(GOOD.replace("delay_seconds = 0.01", ""), "x").limits
    assert limits.delay_seconds == 1.0


@pytest.mark.parametrize(
    ("old", "new", "key", "message", "line_holds"),
    [
        ('licence = "CC0-1.0"', "", "licence", "is missing", ""),
        ('purpose = "a test"', 'purpose = " "', "purpose", "one line of plain text", "purpose"),
        ("tester@example.org", "nobody", "contact", "e-mail address", "contact"),
        ("tester@example.org", r"a@b.c\r\nX-Evil: 1", "contact", "e-mail address", "contact"),
        ("https://example.org/people", "ftp://example.org", "start.0", "such as https://", "start"),
        ("https://example.org/people", "https://me:pw@example.org", "start.0", "such as https://", "start"),
        ("a.list", "a[", "follow.lists.0", "not a CSS selector", "lists"),
        ("a.list", "a::attr(href)", "follow.lists.0", "named by attr", "lists"),
        (
            'name = "b"',
            'name = { css = "b", parse = "shoe-size" }',
            "individual_details.name.parse",
            "should",
            "name =",
        ),
        (
            'name = "b"',
            "name = { css = 'b', pattern = 'x' }",
            "individual_details.name.pattern",
            "one (group)",
            "name =",
        ),
        (
            'name = "b"',
            "name = { css = 'b', pattern = '(' }",
            "individual_details.name.pattern",
            "regular",
            "name =",
        ),
        ('id = { attr = "id" }', "id = { }", "record.id", "give address", "id ="),
        ('id = { attr = "id" }', "id = { address = '/(.*)' }", "record", "with each", "[record]"),
        ('picture = "img"', "", "record.picture", "is missing", "[record]"),
        (
            "delay_seconds = 0.01",
            "delay_seconds = -1",
            "limits.delay_seconds",
            "greater than or equal",
            "delay_seconds",
        ),
        ("delay_seconds = 0.01", "delay = 3", "limits.delay", "no such key", "delay"),
        ("[follow]", "[folow]", "folow", "no such key", "[folow]"),
        ("[follow]", 'hosts = ["https://x.org/"]\n[follow]', "hosts.0", "a host such as", "hosts"),
        ('"a.list"', '{ css = "a", into = "/x" }', "follow.lists.0", "into needs one {}", "lists"),
    ],
)
def test_mistakes_are_named_with_key_and_line(old, new, key, message, line_holds):
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(InputError) as error:
        parse_site(text, "site.toml")
    (problem,) = [line for line in str(error.value).split("\n") if f": {key}" in line]
    assert message in problem
    if line_holds:
        number = int(problem.split("line ")[1].split(":")[0])
        assert line_holds in text.split("\n")[number - 1]


def test_all_mistakes_are_told_at_once_and_broken_toml_with_its_line(tmp_path):
    with pytest.raises(InputError) as error:
        parse_site(GOOD.replace("licence", "license").replace("purpose", "reason"), "x")
    assert str(error.value).count("\n") == 3  # two missing, two unknown
    path = tmp_path / "site.toml"
    path.write_text("name = 'x'\nstart = [\n= ]")
    with pytest.raises(InputError, match=r"not TOML.*line 3"):
        load_site(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_site(tmp_path / "none.toml")


def test_the_contact_is_in_the_user_agent():
    assert user_agent(parse_site(GOOD, "x")).endswith("(+tester@example.org)")


def test_without_scrapy_it_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "site.toml"
    path.write_text(GOOD)
    monkeypatch.delitem(sys.modules, "mien.collect.run", raising=False)
    monkeypatch.delattr("mien.collect.run", raising=False)
    monkeypatch.setitem(sys.modules, "scrapy", None)
    with pytest.raises(MienError, match=r"collecting needs Scrapy; .*pip install .*'\.\[collect\]'"):
        collect(str(path), tmp_path / "out").run()
    assert not (tmp_path / "out").exists()
