# SPDX-License-Identifier: Apache-2.0
"""contrib/nats: three servers with its files, and nodes that may what they need and no more."""

import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.certificates import Certificates, sign
from tests.support.nats import LIMIT_S, QUICK, Carried, Nats, carried, until_logged
from tests.support.paths import ROOT
from tests.support.pki import Pair, Pki
from tests.support.ports import free_port
from tests.support.shared import sharing
from wsrc.certs.making import Issuer, Kind, Period, make_ca, new_key, pem_of
from wsrc.cluster.names import Names
from wsrc.cluster.nats import Place
from wsrc.errors import ConfigError
from wsrc.protocol.messages import ClientType
from wsrc.server.shared_faces import SharedTokens

EXAMPLE = ROOT / "contrib" / "nats"
NODES = ("node-a", "node-b", "node-c")
NOW = datetime.now(UTC)
VALID = Period(NOW - timedelta(hours=1), NOW + timedelta(days=1))


class Example(Nats):
    """A server with the files of the example, for another place: paths, addresses, ports."""

    def __init__(self, folder: Path, port: int, routes: list[str], files: dict[str, Path]) -> None:
        super().__init__(folder, "", routes, "tls", route_port=port)
        self._others = routes
        self._files = files

    def _config(self) -> str:
        text = (EXAMPLE / "nats-server.conf").read_text("utf-8")
        changes = {
            "nats-1\n": f"{self.name}\n",
            '"0.0.0.0:4222"': f"127.0.0.1:{self.port}",
            '"0.0.0.0:6222"': f"127.0.0.1:{self.route_port}",
            'http: "127.0.0.1:8222"': f"ports_file_dir: {json.dumps(str(self._folder))}",
            '"tls://nats-2.example:6222"\n        "tls://nats-3.example:6222"': ", ".join(
                json.dumps(each) for each in self._others
            ),
            '"/var/lib/nats"': json.dumps(str(self.kept)),
            **{f'"/etc/nats/{name}"': json.dumps(str(path)) for name, path in self._files.items()},
        }
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (self._folder / "nodes.conf").write_bytes((EXAMPLE / "nodes.conf").read_bytes())
        return text


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def pairs(pki: Pki) -> dict[str, Pair]:
    """The certificates of the nodes."""
    return {name: pki.client(name, Kind.NODE) for name in NODES}


@pytest.fixture(scope="module")
def servers(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Nats]]:
    folder = tmp_path_factory.mktemp("servers")
    files = {
        "nats-1.example.pem": pki.server.cert,
        "nats-1.example-key.pem": pki.server.key,
        "wsrc-ca.pem": pki.server.ca,
        **_for_routes(folder),
    }
    made: list[Nats] = []
    with ExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        routes = [f"tls://localhost:{port}" for port in ports]
        for number, port in enumerate(ports):
            server = Example(folder / str(number), port, routes, files)
            stack.callback(server.close)
            server.start()
            made.append(server)
        yield made


def _for_routes(folder: Path) -> dict[str, Path]:
    """Write a CA, and a certificate for both uses, as the example wants them between servers."""
    ca_key, key = new_key(), new_key()
    ca = make_ca(ca_key, "routes", VALID)
    issuer = Issuer(ca, ca_key)
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nats")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID.start)
        .not_valid_after(VALID.end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    files = {
        "routes-ca.pem": ca.public_bytes(Encoding.PEM),
        "route.pem": certificate.public_bytes(Encoding.PEM),
        "route-key.pem": pem_of(key),
    }
    for name, octets in files.items():
        (folder / name).write_bytes(octets)
    return {name: folder / name for name in files}


@pytest.fixture
def node(pki: Pki, pairs: dict[str, Pair], servers: list[Nats]) -> "Node":
    return Node(pki, pairs, servers)


class Node:
    """Runs the carriers of nodes, each at a server of its own."""

    def __init__(self, pki: Pki, pairs: dict[str, Pair], servers: list[Nats]) -> None:
        self._ca, self._pairs, self._servers = pki.server.ca, pairs, servers

    def __call__(self, name: str) -> AbstractAsyncContextManager[Carried]:
        url = self._servers[NODES.index(name)].url
        place = Place([url], self._ca, *self._pairs[name])
        return carried(place, name, cluster="wsrc", limits=QUICK)


async def test_nodes_of_the_example_may_all_that_they_need(node: Node) -> None:
    names = {name: Names("wsrc", name) for name in NODES}
    key = ("iccid", "89490200001234567890")
    async with node("node-a") as a, node("node-b") as b, node("node-c") as c:
        for name, each in (("node-a", a), ("node-b", b), ("node-c", c)):
            its = names[name]
            for subject in (its.here, its.roads, its.has(key), its.came(key)):
                each.carrier.subscribe(subject)
        await b.hears(a, names["node-a"].road("node-b"))
        await c.hears(b, names["node-b"].road("node-c"))
        await a.hears(c, names["node-c"].road("node-a"))
        for subject in (names["node-a"].here, names["node-a"].has(key), names["node-a"].came(key)):
            await b.hears(a, subject)
        a.carrier.ask(names["node-a"].has(("iccid", "1")), b"", 1)
        await a.ears.until(lambda: a.ears.unanswered == [1])
        assert [each.carrier.counts.refused for each in (a, b, c)] == [0, 0, 0]


async def test_nodes_of_the_example_may_no_more(node: Node) -> None:
    a_names, b_names = Names("wsrc", "node-a"), Names("wsrc", "node-b")
    async with node("node-a") as a, node("node-b") as b, node("node-c") as evil:
        b.carrier.subscribe(b_names.roads)
        for subject in (b_names.roads, f"{b_names.inbox}.>", ">", "$SYS.>", "wsrc.other.here"):
            evil.carrier.subscribe(subject)
        for subject in (a_names.road("node-b"), f"{a_names.inbox}.x.1", "wsrc.other.here"):
            evil.carrier.publish(subject, b"forged")
        await b.hears(a, a_names.road("node-b"))
        await evil.carrier.flush(LIMIT_S)
        assert b"forged" not in {octets for _, octets in b.ears.messages}
        assert evil.ears.messages == []
        assert evil.carrier.counts.refused == 8


def test_nodes_of_the_example_share_a_state_and_cannot_delete_it(
    pki: Pki, pairs: dict[str, Pair], servers: list[Nats]
) -> None:
    places = {
        name: Place([each.url for each in servers], pki.server.ca, *pairs[name]) for name in NODES
    }
    with ExitStack() as stack:
        a, b = [
            stack.enter_context(
                sharing(
                    servers[0],
                    place=places[name],
                    names=Names("wsrc", name),
                    replicas=3,
                    limit_s=60,
                )
            )
            for name in NODES[:2]
        ]
        SharedTokens(a).add("ida", ClientType.USER, 1.0, None)
        assert SharedTokens(b).changed()
        assert [each.name for each in SharedTokens(b).all()] == ["ida"]
        for what in ("STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE"):
            refused = a._bucket._ask(f"$JS.API.{what}.KV_wsrc-wsrc", b"")
            with pytest.raises(ConfigError, match="did not answer"):
                a.run(refused)
        assert SharedTokens(a).all() == SharedTokens(b).all()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ida", Kind.USER), ("node-a", Kind.USER), ("node-b", Kind.CARD_HOST), ("node-d", Kind.NODE)],
)
async def test_nobody_else_of_the_same_ca_is_let_in(
    name: str,
    kind: Kind,
    pki: Pki,
    servers: list[Nats],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = load_pem_private_key((pki.path / "ca-key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    issuer = Issuer(x509.load_pem_x509_certificate(pki.server.ca.read_bytes()), key)
    files = Certificates(pki.server.ca, tmp_path / "cert.pem", tmp_path / "key.pem")
    sign(files, issuer, kind, [name], VALID)
    place = Place([servers[0].url], files.ca, files.cert, files.key)
    async with carried(place, name, there=False) as a:
        await until_logged(caplog, "refuses who we say that we are")
        assert a.ears.there == []
