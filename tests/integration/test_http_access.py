# SPDX-License-Identifier: Apache-2.0
"""Who is let in over HTTP, what they see, and what no page of another site can do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.http_served import API, Asker, Events, asking
from tests.support.pki import Pki, settings_of
from tests.support.tokens import TokenWorld, running_with_tokens
from tests.support.world import UICC, hosting, running, uicc, until
from wsrc.certs.making import Kind
from wsrc.net.tls import client_context
from wsrc.protocol.messages import ClientType
from wsrc.server.app import serve

MINE, THEIRS = "8988211000000430010", "8988211000000430028"
SELECT = {"command": "00a4000c023f00"}

POLICY = f"""
[[grant]]
to = ["ann"]
cards = {{ iccid = "{MINE}" }}
may = ["use", "events"]

[[grant]]
to = ["root"]
cards = "*"
may = ["list", "use", "events", "reset", "admin"]

[[grant]]
to = ["half"]
cards = {{ iccid = "{THEIRS}" }}
may = ["use", "admin"]

[[grant]]
to = ["keeper"]
cards = "*"
may = ["use"]

[[host]]
who = ["farm"]
announces = "*"
"""


class Lab:
    """A server with tokens and a policy, and a card host with two cards."""

    def __init__(self, world: TokenWorld, stack: AsyncExitStack) -> None:
        self.world = world
        self._stack = stack

    @property
    def url(self) -> str:
        return f"http://localhost:{self.world.app.http_port}"

    async def as_(self, who: str, expires_in_s: float | None = None) -> Asker:
        token = self.world.made(who, expires_in_s=expires_in_s)
        await until(lambda: self.world.knows(token))
        return await self._stack.enter_async_context(asking(self.url, token))

    async def nobody(self) -> Asker:
        return await self._stack.enter_async_context(asking(self.url))


@asynccontextmanager
async def lab(
    certificates: Certificates, folder: Path, policy: str = POLICY, **more: Any
) -> AsyncIterator[Lab]:
    path = folder / "policy.toml"
    path.write_text(policy)
    given = {"http_port": 0, "policy": path, "audit_dir": folder / "audit"} | more
    async with (
        running_with_tokens(certificates, folder, **given) as world,
        AsyncExitStack() as stack,
    ):
        made = Lab(world, stack)
        farm = world.made("farm", ClientType.CARD)
        await until(lambda: world.knows(farm))
        cards = [uicc(MINE), uicc(THEIRS)]
        host = hosting(world.card_url, certificates, cards, "farm", token_file=farm)
        await stack.enter_async_context(host)
        root = await made.as_("root")

        async def ready() -> bool:
            found = (await root.get("/cards")).body["cards"]
            return [card["state"] for card in found] == ["ready", "ready"]

        await until(ready)
        yield made


async def test_hidden_cards_are_hidden_in_every_route_and_count(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with lab(certificates, tmp_path) as made:
        ann, root = await made.as_("ann"), await made.as_("root")
        taken = await root.session(iccid=THEIRS)
        for path in ("/cards", "/readers", "/hosts", "/leases"):
            answer = await ann.get(path)
            assert answer.status == 200
            assert THEIRS not in answer.text
            assert "root" not in answer.text
        assert [card["iccid"] for card in (await ann.get("/cards")).body["cards"]] == [MINE]
        (host,) = (await ann.get("/hosts")).body["hosts"]
        assert (host["readers"], host["cards"], host["held"]) == (1, 1, 0)
        assert (await ann.get(f"/cards?iccid={THEIRS}")).body == {"cards": []}
        hidden = await ann.post("/sessions", {"iccid": THEIRS})
        absent = await ann.post("/sessions", {"iccid": "8988211000000430036"})
        assert (hidden.status, hidden.code) == (absent.status, absent.code)
        for answer in (await ann.get(taken), await ann.post(f"{taken}/transmit", SELECT)):
            assert answer.code == "no_such_session"
        async with ann.events() as events:
            name, data = await events.next()
            assert name == "snapshot"
            assert [each["card"]["iccid"] for each in data["readers"]] == [MINE]
            await root.ask("DELETE", API + taken)
            own = await ann.session(iccid=MINE)
            _, data = await events.next()
            assert data["reader"]["card"]["iccid"] == MINE
            assert (await ann.post(f"{own}/reset", {})).code == "forbidden"

        async def counted() -> bool:
            return "wsrc_cards 2.0" in (await ann.ask("GET", "/metrics")).text

        await until(counted)  # as a program of this host; on a network they ask


async def test_the_operators_routes_are_for_who_has_admin_for_every_card(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with lab(certificates, tmp_path) as made:
        root = await made.as_("root")
        for who in ("ann", "half", "keeper"):
            asker = await made.as_(who)
            for path in ("/tokens", "/audit"):
                refused = await asker.get(path)
                assert (refused.status, refused.code) == (403, "forbidden")
        tokens = (await root.get("/tokens")).body["tokens"]
        assert {each["name"] for each in tokens} == {"ann", "farm", "half", "keeper", "root"}
        assert all(set(each) <= {"number", "name", "role", "made", "expires", "used"}
                   for each in tokens)  # fmt: skip
        lines = (await root.get("/audit?limit=5")).body["lines"]
        assert len(lines) == 5
        assert {line["event"] for line in lines} & {"connected", "named", "disconnected"}


async def test_credentials_are_asked_for_as_on_the_ports(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with lab(certificates, tmp_path) as made:
        nobody = await made.nobody()
        none = await nobody.get("/cards")
        assert (none.status, none.code) == (401, "no_token")
        assert none.headers["www-authenticate"] == 'Bearer realm="wsrc"'
        wrong = await nobody.get("/cards", Authorization="Bearer nonsense")
        assert (wrong.status, wrong.code) == (401, "unknown_token")
        card_host = made.world.made("other", ClientType.CARD)
        await until(lambda: made.world.knows(card_host))
        async with asking(made.url, card_host) as asker:
            refused = await asker.get("/cards")
            assert (refused.status, refused.code) == (403, "token_of_other_role")
        for path in ("/healthz", "/readyz", "/"):
            assert (await nobody.ask("GET", path)).status == 200


async def test_wrong_credentials_from_one_address_are_limited(
    certificates: Certificates, tmp_path: Path
) -> None:
    limits = {"unlimited_from": (), "wrong_credentials_per_min": 2.0}
    async with lab(certificates, tmp_path, **limits) as made:
        nobody = await made.nobody()
        wrong = [await nobody.get("/cards", Authorization="Bearer x") for _ in range(4)]
        assert [answer.status for answer in wrong] == [401, 401, 429, 429]
        assert int(wrong[3].headers["retry-after"]) > 0


async def test_a_token_that_is_revoked_ends_what_it_has(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with lab(certificates, tmp_path) as made:
        ann = await made.as_("ann")
        await ann.session(iccid=MINE)
        async with ann.events() as events:
            await events.next()
            made.world.revoke("ann")
            await until(lambda: made.world.app.counts["sessions"] == 0)
            assert (await _end(events))["code"] == "forbidden"
        assert (await ann.get("/cards")).code == "unknown_token"


async def test_a_token_that_ends_ends_what_it_has(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with lab(certificates, tmp_path) as made:
        ann = await made.as_("ann", expires_in_s=3.0)
        await ann.session(iccid=MINE)
        async with ann.events() as events:
            assert (await _end(events))["code"] == "forbidden"
        await until(lambda: made.world.app.counts["sessions"] == 0)


async def _end(events: Events) -> Any:
    while True:
        name, data = await events.next()
        if name == "end":
            return data


async def test_requests_of_one_principal_are_limited(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with lab(certificates, tmp_path, requests_per_s=10.0) as made:
        ann = await made.as_("ann")
        answers = [await ann.get("/sessions") for _ in range(60)]
        refused = [answer for answer in answers if answer.status == 429]
        assert refused
        assert {answer.code for answer in refused} == {"too_many"}
        assert made.world.app.bitten["requests_per_s"] == len(refused)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:4222"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "lab.example"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
async def test_pages_of_other_sites_get_nothing(
    certificates: Certificates, headers: dict[str, str], status: int
) -> None:
    async with (
        running(certificates, http_names=("lab.example",)) as world,
        asking(world.http_url) as asker,
    ):
        for path in ("/api/v1/cards", "/metrics"):
            answer = await asker.ask("GET", path, **headers)
            assert answer.status == status, path
            assert "access-control-allow-origin" not in answer.headers


async def test_a_form_of_another_site_cannot_post(certificates: Certificates) -> None:
    async with running(certificates) as world, asking(world.http_url) as asker:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            answer = await asker.post("/sessions", {"iccid": UICC}, Content_Type=kind)
            assert (answer.status, answer.code) == (415, "media_type")
        preflight = await asker.ask("OPTIONS", f"{API}/sessions")
        assert (preflight.status, preflight.code) == (405, "no_such_method")
        assert "POST" in preflight.headers["allow"]


async def test_a_page_of_the_server_itself_may_ask(certificates: Certificates) -> None:
    async with running(certificates) as world, asking(world.http_url) as asker:
        answer = await asker.get("/cards", Origin=world.http_url, Sec_Fetch_Site="same-origin")
        assert answer.status == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_what_is_too_long_or_no_json_is_refused(certificates: Certificates) -> None:
    async with running(certificates) as world, asking(world.http_url) as asker:
        long = await asker.post("/sessions", {"iccid": "1" * (1 << 20)})
        assert (long.status, long.code) == (413, "too_long")
        nested = await asker.ask("POST", f"{API}/sessions", None, Content_Type="application/json")
        assert (nested.status, nested.code) == (400, "bad_message")
        for query in (
            "limit=0",
            "limit=501",
            "limit=-1",
            "limit=1e1",
            "after=x",
            "limit=1&limit=2",
        ):
            answer = await asker.get(f"/cards?{query}")
            assert (answer.status, answer.code) == (400, "bad_message"), query
        assert (await asker.get(f"/cards?any={'x' * 257}")).status == 400


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrc.server.http.doorman.BODY_S", 0.2)
    async with running(certificates) as world:
        reader, writer = await asyncio.open_connection("localhost", world.app.http_port)
        head = "POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode())
        async with asyncio.timeout(10):
            assert b" 408 " in await reader.readline()
        writer.close()


async def test_who_connects_and_asks_nothing_is_dropped(certificates: Certificates) -> None:
    async with running(certificates, hello_s=0.3) as world:
        reader, writer = await asyncio.open_connection("localhost", world.app.http_port)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


async def test_on_a_network_http_has_tls_and_takes_certificates(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    settings = settings_of(pki, http_host="127.0.0.1", http_port=0, http_tls=True)
    async with serve(settings) as app:
        url = f"https://localhost:{app.http_port}"
        user, host = pki.client("ann"), pki.client("bench", Kind.CARD_HOST)
        for pair, status in ((user, 200), (host, 403)):
            context = client_context(pki.folder.ca, pair.cert, pair.key)
            async with asking(url) as asker:
                assert (await asker.ask("GET", f"{API}/cards", tls=context)).status == status
        context = client_context(pki.folder.ca)
        async with asking(url) as asker:
            assert (await asker.ask("GET", "/healthz", tls=context)).status == 200


async def test_metrics_are_for_programs_of_the_host_and_operators(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with lab(certificates, tmp_path) as made:
        nobody = await made.nobody()
        assert (await nobody.ask("GET", "/metrics")).status == 200
        passed_on = {"X_Forwarded_For": "203.0.113.9"}
        assert (await nobody.ask("GET", "/metrics", **passed_on)).code == "no_token"
        ann, root = await made.as_("ann"), await made.as_("root")
        assert (await ann.ask("GET", "/metrics", **passed_on)).code == "forbidden"
        open_ = {"Accept": "application/openmetrics-text; version=1.0.0"}
        answer = await root.ask("GET", "/metrics", **passed_on, **open_)
        assert answer.status == 200
        assert answer.text.endswith("# EOF\n")
