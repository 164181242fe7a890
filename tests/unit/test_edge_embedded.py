"""What the embedded edge writes down for nginx, and how it reads it back."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.edges.embedded import ca, lines, paths, render
from leeward.edges.embedded.counters import parse_traffic
from leeward.edges.embedded.keystore import Keystore, ca_file
from leeward.errors import Invalid
from leeward.model.route import BOUNDS_MS, Certificate, Route
from leeward.settings import Settings

GOLDEN = Path(__file__).parents[1] / "golden" / "edge"
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
FULL = render.Machine(
    modules_dir=Path("/usr/lib/nginx/modules"),
    modules=render.MODULES,
    lua_dir=Path("/opt/leeward/lua"),
    user="www-data",
    workers=2,
    crs=Path("/usr/share/modsecurity-crs/rules"),
    crs_setup=Path("/etc/modsecurity/crs/crs-setup.conf"),
    ipv6=True,
)
SMALL = render.Machine(
    modules_dir=Path("/usr/lib/nginx/modules"),
    modules=("ndk_http_module.so", "ngx_http_lua_module.so"),
    lua_dir=Path("/opt/leeward/lua"),
    nofile=1024,
)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.*", min_size=1, max_size=12)
ROUTES = st.builds(
    Route,
    app=WORDS,
    hosts=st.lists(WORDS, max_size=3).map(tuple),
    peers=st.lists(st.builds("10.0.0.{}:{}".format, st.integers(1, 9), st.integers(1, 65535)), max_size=3).map(tuple),
    generation=st.integers(0, 10**9),
    firewall=st.sampled_from(["off", "detect", "block"]),
    cache=st.sampled_from(["off", "assets", "all"]),
    rate=st.integers(0, 10**6),
    rate_window_s=st.sampled_from([1, 60, 3600]),
    https_only=st.booleans(),
)


def same_as_golden(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_the_configuration_is_as_agreed() -> None:
    same_as_golden("nginx.conf", render.nginx_conf(Settings(domain="example.com"), FULL))
    same_as_golden("firewall.conf", render.firewall_conf(FULL))


def test_a_machine_without_optional_modules_gets_a_configuration_without_them() -> None:
    text = render.nginx_conf(Settings(http_port=8080, https_port=8443, bind="::1"), SMALL)

    assert not any(word in text for word in ("brotli", "modsecurity", "user ", "@block", "@detect"))
    assert "listen [::1]:8443 ssl http2" in text
    assert "return 308 https://console.lee.localhost:8443$request_uri;" in text


def test_connections_stay_below_what_the_machine_allows() -> None:
    assert "worker_connections 424;" in render.nginx_conf(Settings(), SMALL)
    assert "worker_connections 16384;" in render.nginx_conf(Settings(), FULL)


@pytest.mark.parametrize("home", ["/srv/a b", "/srv/x;y", '/srv/"', "/srv/$host", "/srv/{a}"])
def test_a_home_that_nginx_would_read_as_something_else_is_refused(home: str) -> None:
    with pytest.raises(Invalid, match="cannot take"):
        render.nginx_conf(Settings(home=Path(home)), FULL)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="is not an address"):
        render.nginx_conf(Settings().model_copy(update={"bind": "0.0.0.0; include /etc/passwd"}), FULL)


# --- the table ----------------------------------------------------------------------------------------------------


@given(routes=st.lists(ROUTES, max_size=4, unique_by=lambda route: route.app))
def test_a_table_that_was_written_is_read_back_the_same(routes: list[Route]) -> None:
    certificates = {"a.example.com": Certificate("a.example.com", "chain\n", "key\n")}
    table = lines.Table({route.app: route for route in routes}, certificates)

    assert lines.parse(lines.of_table(table)) == table


def test_later_lines_win_and_a_line_that_was_cut_off_counts_for_nothing() -> None:
    first, second = Route("shop", ("a.b",), ("1.1.1.1:1",)), Route("shop", ("a.b",), ("2.2.2.2:2",))
    text = "\n".join((lines.of_route(first), lines.of_route(Route("x", (), ())), lines.of_drop("x"), ""))
    cut = lines.of_route(Route("cut", ("c.d",), ()))[:-1]

    assert lines.parse(text + lines.of_route(second) + "\n" + cut).routes == {"shop": second}


@pytest.mark.parametrize(
    "route",
    [
        Route("a\tb", (), ()),
        Route("shop", ("a.b\ndrop\tother",), ()),
        Route("shop", ("a,b",), ()),
        Route("shop", (), ("1.1.1.1:80 x",)),
    ],
)
def test_a_value_that_would_become_another_line_is_refused(route: Route) -> None:
    with pytest.raises(Invalid):
        lines.of_route(route)


def test_counters_are_read_from_what_nginx_reports() -> None:
    buckets = [0] * len(BOUNDS_MS)
    buckets[3] = 5
    numbers = " ".join(map(str, [999, 2, 1, 0, 3, 0, 1, 1, *buckets]))

    traffic = parse_traffic(f"shop\t{numbers}\t10.0.0.1:80=1,10.0.0.2:80=2,10.0.0.1:80=3\n")["shop"]

    assert (traffic.requests, traffic.failed, traffic.bytes_out) == (5, 1, 999)
    assert traffic.status == ((2, 3), (4, 1), (5, 1))
    assert traffic.streams == (("10.0.0.1:80", 4), ("10.0.0.2:80", 2))
    assert (traffic.streams_seen, traffic.dropped) == (2, 1)
    assert traffic.buckets == tuple(buckets)


def test_open_requests_are_read_where_the_edge_counts_them_already() -> None:
    numbers = " ".join(map(str, [0] * (8 + len(BOUNDS_MS))))

    traffic = parse_traffic(f"shop\t{numbers}\t\t3\nold\t{numbers}\t\n")

    assert (traffic["shop"].open, traffic["old"].open) == (3, 0)


# --- certificates -------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_the_root_is_good_for_the_platforms_domain_only(settings: Settings) -> None:
    Keystore(settings).wildcard(NOW)

    root = ca.Pair(ca_file(settings).read_text(), "")

    assert ca.permits(root) == "lee.localhost"
    assert ssl.create_default_context(cadata=root.chain_pem).cert_store_stats()["x509_ca"] == 1


def test_keys_are_made_once_and_are_private(settings: Settings) -> None:
    store = Keystore(settings)

    first = (store.wildcard(NOW), store.certificates(["www.example.com", "a.b.lee.localhost"], NOW))
    again = (Keystore(settings).wildcard(NOW), store.certificates(["www.example.com", "a.b.lee.localhost"], NOW))

    assert first == again
    files = [path for path in paths.keys_dir(settings).rglob("*") if path.is_file()]
    assert len(files) == 10
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_only_hosts_that_the_wildcard_does_not_cover_get_a_certificate_of_their_own(settings: Settings) -> None:
    hosts = ["shop.lee.localhost", "lee.localhost", "a.b.lee.localhost", "www.example.com", "*.example.com"]

    found = Keystore(settings).certificates(hosts, NOW)

    assert [certificate.host for certificate in found] == ["a.b.lee.localhost", "www.example.com", "*.example.com"]


def test_a_custom_domain_is_signed_by_an_authority_that_nobody_trusts(settings: Settings) -> None:
    store = Keystore(settings)
    store.wildcard(NOW)
    root = ca.Pair(ca_file(settings).read_text(), "")

    ours, foreign = (
        ca.Pair(certificate.chain_pem, certificate.key_pem)
        for certificate in store.certificates(["a.b.lee.localhost", "www.example.com"], NOW)
    )

    assert ca.is_signed_by(ours, root)
    assert not ca.is_signed_by(foreign, root)


@pytest.mark.parametrize(("days", "renewed"), [(0, False), (59, False), (61, True)])
def test_a_certificate_is_renewed_a_month_before_its_end(settings: Settings, days: int, renewed: bool) -> None:
    store = Keystore(settings)
    first = store.wildcard(NOW)

    later = store.wildcard(NOW + timedelta(days=days))

    assert (later != first) is renewed


def test_another_domain_gets_another_root(settings: Settings) -> None:
    Keystore(settings).wildcard(NOW)
    other = settings.model_copy(update={"domain": "apps.internal"})

    wildcard = Keystore(other).wildcard(NOW)

    root = ca.Pair(ca_file(other).read_text(), "")
    assert ca.permits(root) == "apps.internal"
    assert ca.is_signed_by(ca.Pair(wildcard.chain_pem, wildcard.key_pem), root)
