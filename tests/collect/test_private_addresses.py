"""Server-side request forgery: nothing leads a crawl into a private network, and TLS is verified."""

import datetime
import ipaddress
import ssl

import pytest
from loopback import collect, item, jpeg, lines, manifest, redirect, serving, site_text
from twisted.internet.address import IPv4Address, IPv6Address

from mien.collect.addresses import Refused, hosts_of, is_public
from mien.collect.site import parse_site
from mien.core.errors import InputError

PRIVATE = """0.0.0.0 10.1.2.3 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1
172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1
239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16 :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1
::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1 2001::1 2001:0:53aa:64c:0:fffe:f5ff:fffe
2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 fec0::1
ff02::1
"""


@pytest.mark.parametrize("host", PRIVATE.split())
def test_private_addresses(host):
    assert not is_public(host)


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1", "2a00:1450::8a"]
)
def test_public_addresses(host):
    assert is_public(host)


@pytest.mark.parametrize("host", ["localhost", "0x7f.1", "2130706433", "127.1", ""])
def test_what_is_no_ip_address_is_not_public(host):
    assert not is_public(host)


def _hosts(*own, extra=""):
    return hosts_of(parse_site(site_text("https://example.org/", hosts=extra), "test"), own)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "data:text/html,x",
        "javascript:void(0)",
        "mailto:a@example.org",
        "http://",
        "http://user@example.org/",
        "http://example.org\\@evil.org/",
        "http://example.org:99999/",
        "http://[::1",
        "https://example.org/" + "a" * 2000,
    ],
)
def test_addresses_that_are_none(address):
    with pytest.raises(Refused) as error:
        _hosts().check(address, picture=True, anywhere=True)
    assert error.value.reason == "bad-address"


def test_only_named_hosts_are_followed():
    hosts = _hosts(extra='hosts = ["more.example.org"]\npicture_hosts = ["*.cdn.net"]')
    hosts.check("https://EXAMPLE.org/a", picture=False)
    hosts.check("http://more.example.org:8080/a", picture=False)
    hosts.check("http://a.b.cdn.net/1.jpg", picture=True)
    for address, picture in [
        ("https://www.example.org/", False),
        ("https://example.org.evil.net/", True),
        ("http://a.cdn.net/page", False),
        ("http://cdn.net/1.jpg", True),
        ("http://evilcdn.net/1.jpg", True),
    ]:
        with pytest.raises(Refused) as error:
            hosts.check(address, picture=picture)
        assert error.value.reason == "off-site"


def test_own_hosts_by_name_and_port():
    hosts = _hosts("127.0.0.1:8000", "intranet", "::1", "[::1]:99")
    assert hosts.is_own("127.0.0.1", 8000)
    assert not hosts.is_own("127.0.0.1", 8001)
    assert hosts.is_own("intranet", 1)
    assert hosts.is_own("::1", 5)
    for wrong in ("http://a/", "a:b", "", "a/b"):
        with pytest.raises(InputError, match="--allow-host"):
            _hosts(wrong)


def test_without_allow_host_our_own_machine_is_not_asked(tmp_path):
    with serving({"/": item("a", "/a.jpg")}) as server:
        starts = [
            f"http://{host}:{server.port}/"
            for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]")
        ]
        result = collect(site_text(*starts), tmp_path / "out", own="")
        assert server.log == []
    assert result.returncode == 1
    assert "not on the open internet" in result.stderr
    assert "--allow-host" in result.stderr
    assert {line["reason"] for line in lines(tmp_path / "out" / "skipped.jsonl")} == {"private-address"}
    assert manifest(tmp_path / "out") == []


def test_redirects_and_pictures_in_private_places_are_refused(tmp_path):
    """Only this server's port is ours: another port of the same machine is as private as any."""
    with serving({"/secret.jpg": jpeg(9), "/": "secret"}) as inside:
        targets = {
            "port": f"http://127.0.0.1:{inside.port}/secret.jpg",
            "name": f"http://localhost:{inside.port}/secret.jpg",
            "number": f"http://2130706433:{inside.port}/secret.jpg",
            "hex": f"http://0x7f000001:{inside.port}/secret.jpg",
            "short": f"http://127.1:{inside.port}/secret.jpg",
            "six": f"http://[::ffff:127.0.0.1]:{inside.port}/secret.jpg",
            "cloud": "http://169.254.169.254/latest/meta-data",
            "file": "file:///etc/passwd",
        }
        names = ["localhost", "2130706433", "0x7f000001", "127.1", "169.254.169.254", "::ffff:127.0.0.1"]
        hosts = f"picture_hosts = {names}"
        routes = {f"/{name}": redirect(target) for name, target in targets.items()}
        routes["/"] = "".join(item(name, f"/{name}") + item(f"{name}2", to) for name, to in targets.items())
        routes["/"] += item("good", "/good.jpg")
        with serving(routes | {"/good.jpg": jpeg(1)}) as server:
            site = site_text(server.url("/"), hosts=hosts)
            result = collect(site, tmp_path / "out", own=server.host)
        assert result.returncode == 0, result.stderr
        assert inside.log == []
    assert [line["record"] for line in manifest(tmp_path / "out")] == ["good"]
    skipped = lines(tmp_path / "out" / "skipped.jsonl")
    assert len(skipped) == 2 * len(targets)
    for line in skipped:
        expected = {"file": "redirect", "file2": "bad-address"}.get(line["record"], "private-address")
        assert line["reason"] == expected, line


def test_off_site_links_and_redirects_are_not_followed(tmp_path):
    with serving({"/a.jpg": jpeg(1), "/": item("x", "/a.jpg")}) as other:
        away = f"http://localhost:{other.port}"
        start = f"<a class=list href='{away}/'>x</a><a class=list href='/go'>x</a>" + item(
            "a", f"{away}/a.jpg"
        )
        with serving(
            {"/": start + item("b", "/b.jpg"), "/go": redirect(away + "/"), "/b.jpg": jpeg(2)}
        ) as server:
            result = collect(site_text(server.url("/")), tmp_path / "out", "--allow-host", "localhost")
        assert result.returncode == 0, result.stderr
        assert other.log == []
    assert [line["reason"] for line in lines(tmp_path / "out" / "skipped.jsonl")] == ["off-site"] * 3


class _Answers:
    """A name resolver that answers with the addresses it is given, and what was handed on of them."""

    def __init__(self, *addresses):
        self.addresses, self.handed = addresses, []
        self.nameResolver = self

    def resolveHostName(self, receiver, *_):  # noqa: N802 - Twisted's names
        for address in self.addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, 80))
        receiver.resolutionComplete()

    def addressResolved(self, address):  # noqa: N802
        self.handed.append(address.host)

    def resolutionComplete(self):  # noqa: N802
        self.handed.append("done")


def test_a_name_leads_to_its_public_addresses_alone():
    """What is handed on is what is connected to, so it does not help to answer otherwise the next time."""
    inner, blocked = _Answers("93.184.216.34", "10.0.0.1", "::1", "2606:4700::1", "64:ff9b::a00:1"), {}
    from mien.collect.net import GuardedResolver  # and Scrapy, which looks at all modules there are

    resolver = GuardedResolver(inner, _hosts("intranet", "example.org:81"), blocked)
    resolver.resolveHostName(inner, "example.org", 80)
    assert inner.handed == ["93.184.216.34", "2606:4700::1", "done"]
    assert set(blocked) == {"example.org"}
    inner.handed.clear()
    resolver.resolveHostName(inner, "intranet", 80)
    assert len(inner.handed) == 6
    inner.handed.clear()
    resolver.resolveHostName(inner, "example.org", 81)
    assert len(inner.handed) == 6


def _self_signed(folder):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = folder / "certificate.pem"
    secret = key.private_bytes(pem, private, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(pem))
    return path


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    """The same server is read once its certificate is trusted, so it is this that was refused."""
    path = _self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with serving({"/": item("a", "/a.jpg"), "/a.jpg": jpeg(1)}, context=context) as server:
        site = site_text(f"https://{server.host}/")
        refused = collect(site, tmp_path / "refused")
        assert server.log == []
        trusted = collect(site, tmp_path / "trusted", env={"SSL_CERT_FILE": str(path)})
    assert refused.returncode == 1
    assert "certificate is not to be trusted" in refused.stderr
    assert trusted.returncode == 0, trusted.stderr
    assert len(manifest(tmp_path / "trusted")) == 1
