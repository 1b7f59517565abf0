"""Links, records, pictures and fields from pages of several builds."""

import gzip

import pytest
from loopback import site_text
from scrapy.http import HtmlResponse

from mien.collect import extract
from mien.collect.extract import id_in_address, is_cookie_wall, largest, links, read_sitemap
from mien.collect.site import Link, parse_site

ADDRESS = "https://example.org/people/list?page=1"


def page(body, url=ADDRESS):
    return HtmlResponse(url, body=body.encode(), encoding="utf-8")


def records(response, site, requested=None):
    return list(extract.records(response, site, requested=requested or response.url))


def site(record, details="", follow=""):
    text = site_text(ADDRESS)
    head = text[: text.index("[follow]")]
    return parse_site(
        f"{head}\n[follow]\n{follow}\n[record]\n{record}\n[individual_details]\n{details}", "test"
    )


def test_links_are_absolute_and_each_once():
    body = (
        "<a class=n href='/a#x'>1</a><a class=n href='../b'>2</a><a class=n href='/a'>3</a><a class=n></a><i>"
    )
    found = list(links(page(body), (Link(css="a.n"), Link(css="i"))))
    assert found == ["https://example.org/a", "https://example.org/b"]


def test_links_made_of_ids():
    rule = Link(css="tr", attr="data-id", into="/entry?id={}")
    body = "<table><tr data-id=7><tr data-id='a&b c'><tr></table>"
    assert list(links(page(body), (rule,))) == [
        "https://example.org/entry?id=7",
        "https://example.org/entry?id=a%26b%20c",
    ]


def test_a_base_address_counts():
    body = "<html><head><base href='https://cdn.example.org/x/'></head><body><a href=y>1</a></body></html>"
    assert list(links(page(body), (Link(css="a"),))) == ["https://cdn.example.org/x/y"]


def test_rows_of_a_table_as_records():
    rule = "each = 'tr.who'\nid = { css = 'td.no' }\npicture = 'img'"
    details = "name = 'td.name'\nheight = { css = 'td.h', parse = 'height' }\ncode = { attr = 'data-code' }"
    rows = "".join(
        f"<tr class=who data-code=c{n}><td class=no>{n}</td><td class=name> A\n <b>B</b> </td>"
        f"<td class=h>{h}</td><td><img src=/{n}.jpg></td></tr>"
        for n, h in ((1, "1.80 m"), (2, "tall"), (3, ""))
    )
    one, two, three = records(page(f"<table>{rows}</table>"), site(rule, details))
    assert (one.id, one.pictures) == ("1", ("https://example.org/1.jpg",))
    assert one.fields == {"name": "A B", "height": 180.0, "code": "c1"}
    assert not one.unread
    assert two.fields == {"name": "A B", "code": "c2"}
    assert two.unread == {"height": "tall"}
    assert "height" not in three.fields
    assert not three.unread


def test_one_record_a_page_with_its_id_in_the_address():
    rules = site(
        "id = { address = 'id=([0-9]+)' }\npicture = { css = 'img', all = true }",
        "sex = { css = 'p', pattern = 'Sex: (.)' }",
    )
    body = "<p>Sex: F</p><img src=front.jpg><img src=side.jpg><img src=front.jpg>"
    (found,) = records(page(body, "https://example.org/p?id=33&x"), rules)
    assert found.id == "33"
    assert found.fields == {"sex": "F"}
    assert found.pictures == ("https://example.org/front.jpg", "https://example.org/side.jpg")
    (moved,) = records(page(body, "https://example.org/new"), rules, requested="https://example.org/p?id=34")
    assert (moved.id, moved.page) == (
        "34",
        "https://example.org/p?id=34",
    )  # known by the link, redirected or not
    assert id_in_address(rules, "https://example.org/p?id=12") == "12"
    assert id_in_address(rules, "https://example.org/other") is None


def test_what_is_not_there():
    (found,) = records(page("<p>nothing</p>"), site("id = { css = 'h1' }\npicture = 'img'", "name = 'h2'"))
    assert (found.id, found.pictures, found.fields) == ("", (), {})


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("<img src=/a.jpg>", "/a.jpg"),
        ("<img src=data:image/gif;base64,AAAA data-src=/lazy.jpg>", "/lazy.jpg"),
        ("<img src=/small.jpg srcset='/1.jpg 320w, /3.jpg 1280w, /2.jpg 640w'>", "/3.jpg"),
        ("<img src=/small.jpg data-srcset='/1.jpg, /2.jpg 2x'>", "/2.jpg"),
        ("<img src='data:image/gif;base64,AAAA'>", None),
        ("<img src='' data-src='  '>", None),
        ("<img src=/blank.gif data-lazy-src=/real.jpg>", "/real.jpg"),
        ("<img src=/blank.gif data-original=/real.jpg>", "/real.jpg"),
        ("<img src=/thumb.jpg data-orig-file=/real.jpg>", "/real.jpg"),
        ("<img src=/blank.gif data-echo=/real.jpg>", "/real.jpg"),
        ("<img src=/blank.gif data-url=/real.jpg?w=9>", "/real.jpg?w=9"),
        ("<img src=/real.jpg data-url=/share/17>", "/real.jpg"),
        ("<div><img src=/blank.gif></div><noscript><img src=/real.jpg></noscript>", "/real.jpg"),
        ("<img src=/blank.gif data-lazy-srcset='/1.jpg 1x, /2.jpg 2x'>", "/2.jpg"),
        ("<img src=/blank.gif class=lazy><noscript><img src=/real.jpg></noscript>", "/real.jpg"),
        (
            "<noscript><img src=/real.jpg srcset='/r1.jpg 1x, /r2.jpg 3x'></noscript><img src=/blank.gif>",
            "/r2.jpg",
        ),
        ("<img src=data:image/gif;base64,AAAA><noscript><img src=/real.jpg></noscript>", "/real.jpg"),
        ("<img src=/a.jpg><p>no script<noscript><img src=/other.jpg></noscript>", "/a.jpg"),
        (
            "<picture><source srcset='/s.avif 320w, /l.avif 1600w' type=image/avif>"
            "<source srcset='/m.webp 800w'><img src=/small.jpg></picture>",
            "/l.avif",
        ),
        (
            "<picture><source srcset=/large.webp media='(min-width: 800px)'><img src=/small.jpg></picture>",
            "/large.webp",
        ),
        ("<picture><source data-srcset='/d.jpg 2x' srcset='data:,'><img src=/small.jpg></picture>", "/d.jpg"),
        (
            "<picture><source srcset='/s.jpg 320w'><img src=/x.jpg srcset='/own.jpg 2000w'></picture>",
            "/own.jpg",
        ),
        ("<picture><img src=/only.jpg></picture>", "/only.jpg"),
        ("<img src=/blank.gif data-flickity-lazyload=/real.jpg>", "/real.jpg"),
        ("<img src=/blank.gif data-src=/blank.gif data-odd='/s.jpg 1x, /real.jpg 2x'>", "/real.jpg"),
        ("<img src=/blank.gif data-src=/blank.gif data-odd=/real.webp?w=9>", "/real.webp?w=9"),
        ("<img src=/real.jpg data-id=17 data-page=/people/17 data-src=/real.jpg>", "/real.jpg"),
    ],
)
def test_lazy_and_many_sized_pictures(image, expected):
    (found,) = records(page(image), site("id = { address = '(page)' }\npicture = 'img'"))
    assert found.pictures == ((f"https://example.org{expected}",) if expected else ())


def test_the_picture_element_itself_and_one_attribute_as_named():
    body = "<picture><source srcset='/s.jpg 1x, /l.jpg 2x'><img src=/small.jpg data-full=/full.jpg></picture>"
    for picture, expected in (("'picture'", "/l.jpg"), ("{ css = 'img', attr = 'data-full' }", "/full.jpg"),
                              ("{ css = 'img', attr = 'src' }", "/small.jpg")):  # fmt: skip
        (found,) = records(page(body), site(f"id = {{ address = '(page)' }}\npicture = {picture}"))
        assert found.pictures == (f"https://example.org{expected}",)


def test_the_text_of_an_element_is_an_address():
    body = "<td class=u> https://example.org/\n photo.jpg </td><code>/next</code>"
    rules = site("id = { address = '(page)' }\npicture = { css = 'td.u', attr = 'text()' }")
    (found,) = records(page(f"<table><tr>{body}</tr></table>"), rules)
    assert found.pictures == ("https://example.org/photo.jpg",)
    assert list(links(page(body), (Link(css="code", attr="text()"),))) == ["https://example.org/next"]


NS = "xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'"
PAGES = f"<?xml version='1.0'?>\n<urlset {NS}><url><loc> https://e.org/1 </loc></url><url><loc>https://e.org/2</loc></url></urlset>"
INDEX = f"<sitemapindex {NS}><sitemap><loc>https://e.org/a.xml.gz</loc></sitemap></sitemapindex>"


def test_sitemaps():
    assert read_sitemap("a", PAGES.encode(), most=10_000) == ([], ["https://e.org/1", "https://e.org/2"])
    assert read_sitemap("a", INDEX.encode(), most=10_000) == (["https://e.org/a.xml.gz"], [])
    assert read_sitemap("a", gzip.compress(PAGES.encode()), most=10_000)[1][0] == "https://e.org/1"
    assert read_sitemap("a", b"<html><body>urlset</body></html>", most=10_000) is None
    with pytest.raises(ValueError, match="no gzip file of at most"):
        read_sitemap("a", gzip.compress(b"<urlset>" + bytes(100_000)), most=10_000)
    entity = (
        b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><urlset><url><loc>&a;</loc></url></urlset>"
    )
    assert "root" not in str(read_sitemap("a", entity, most=10_000))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<h1>We value your privacy</h1><p>This site uses cookies.</p><button>Accept all</button>", True),
        ("<p>Wir verwenden Cookies.</p><button>Alle akzeptieren</button>", True),
        ("<p>Cookie recipes</p>", False),
        ("<p>accept</p><script>var cookie = 1</script>", False),
        ("<p>This site uses cookies. Accept.</p>" + "<p>A long text about people.</p>" * 300, False),
    ],
)
def test_cookie_walls(body, expected):
    assert is_cookie_wall(page(body)) == expected


@pytest.mark.parametrize(
    ("srcset", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg 1x, b.jpg 2x", "b.jpg"),
        ("w_100,h_50/a.jpg 100w,w_200,h_90/a.jpg 200w", "w_200,h_90/a.jpg"),
        ("", ""),
        (" , ", ""),
        ("a.jpg 1..2x, b.jpg -2x, c.jpg nanw, d.jpg 9q 1w, e.jpg .5x", "e.jpg"),
        (",a.jpg 100w 50h , b.jpg 99w 900h", "a.jpg"),
        ("data:image/gif;base64,R0lG 1x, b.jpg 2x", "b.jpg"),
    ],
)
def test_srcset(srcset, expected):
    assert largest(srcset) == expected
