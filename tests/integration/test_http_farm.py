# SPDX-License-Identifier: Apache-2.0
"""The REST interface for those who run a farm, and the cookies of its page."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import CookieJar

from tests.support.certificates import Certificates
from tests.support.http_served import API, Asker, asking
from tests.support.tokens import TokenWorld, running_with_tokens
from tests.support.world import EUICC, UICC, World, running, until
from wsrc.errors import WsrcError
from wsrc.server.http import logins
from wsrc.server.http.page_files import PageFiles

PAGE = {"WSRC_Page": "1"}


@pytest.fixture
async def world(certificates: Certificates, tmp_path: Path) -> AsyncIterator[World]:
    given = {"audit_dir": tmp_path / "audit", "state_dir": tmp_path / "state"}
    async with running(certificates, **given) as made:
        await made.host()
        yield made


@pytest.fixture
async def asker(world: World) -> AsyncIterator[Asker]:
    async with asking(world.http_url) as made:
        yield made


async def test_who_has_a_card_is_told_and_it_is_taken_back(world: World, asker: Asker) -> None:
    user = await world.user("ann")
    card = await user.select(iccid=UICC)
    (use,) = (await asker.get("/uses?only=busy")).body["uses"]
    assert (use["card"]["iccid"], use["holders"][0]["holder"]) == (UICC, "ann")
    (free,) = (await asker.get("/uses?only=free")).body["uses"]
    assert free["card"]["eids"] == [EUICC]
    assert (await asker.get("/uses?waited=yes")).body == {"uses": []}
    assert (await asker.get("/uses?holder=bob")).body == {"uses": []}
    taken = await asker.post("/revoke", {"iccid": UICC, "why": "the night run"})
    assert [each["holder"] for each in taken.body["holders"]] == ["ann"]
    with pytest.raises(WsrcError, match="the night run"):
        await card.transmit(bytes.fromhex("00a4000c023f00"))
    assert (await asker.post("/revoke", {"iccid": UICC})).body == {"holders": []}
    assert (await asker.post("/revoke", {})).code == "nothing_selected"
    assert (await asker.post("/revoke", {"iccid": "1" * 19})).code == "no_such_card"


async def test_tags_and_comments_are_set_and_found(asker: Asker) -> None:
    chosen = {"iccid": UICC, "set": {"kind": "sgp22"}}
    assert (await asker.post("/tags", chosen)).body["tags"]["kind"] == "sgp22"
    noted = await asker.post("/comment", {"iccid": UICC, "comment": "PIN 0000"})
    assert noted.body["comment"] == "PIN 0000"
    for path in ("/cards", "/readers"):
        found = (await asker.get(f"{path}?tag=kind=sgp22&tag=card=uicc")).body[path[1:]]
        assert [each["comment"] for each in found] == ["PIN 0000"]
        assert (await asker.get(f"{path}?tag=kind=other")).body[path[1:]] == []
    assert (await asker.get("/cards?tag=kind")).code == "bad_message"
    assert (await asker.get("/cards?tag=a=1&tag=a=2")).code == "bad_message"
    assert (await asker.post("/tags", {"iccid": UICC, "set": {"host": "x"}})).status == 400
    session = await asker.session(tags={"kind": "sgp22"})
    assert (await asker.get(session)).body["card"]["tags"]["kind"] == "sgp22"
    async with asker.events("?tag=kind=sgp22") as events:
        _, data = await events.next()
        assert [each["tags"]["kind"] for each in data["readers"]] == ["sgp22"]
    gone = await asker.post("/tags", {"iccid": UICC, "unset": ["kind"]})
    assert "kind" not in gone.body["tags"]


async def test_a_host_is_drained_peers_are_listed_and_the_day_is_counted(
    world: World, asker: Asker
) -> None:
    drained = await asker.post("/drain", {"host": "bench", "why": "firmware"})
    assert drained.body == {"sessions": 0}
    assert (await asker.get("/hosts")).body["hosts"][0]["draining"] is True
    assert (await asker.post("/sessions", {"iccid": UICC})).code == "draining"
    assert (await asker.post("/undrain", {"host": "bench"})).status == 204
    assert (await asker.post("/undrain", {"host": "bench"})).code == "no_such_peer"
    peers = (await asker.get("/peers")).body["peers"]
    assert {each["role"] for each in peers} == {"card", "user"}
    session = await asker.session(iccid=UICC)
    await asker.post(f"{session}/transmit", {"command": "00a4000c023f00"})
    assert world.app._site is not None
    world.app._site.activity._tick()
    told = (await asker.get("/activity?minutes=1")).body
    assert told["commands"] == [1]
    assert told["commands_now"] == 0

    async def is_busy() -> bool:
        return (await asker.get("/activity")).body["busy_now"] == 1

    await until(is_busy)
    lines = (await asker.get(f"/audit?card={UICC}")).body["lines"]
    assert [each["event"] for each in lines] == ["took"]
    assert (await asker.get("/audit?card=nobody")).body["lines"] == []


async def test_a_card_is_reserved_taken_by_its_token_and_given_up(
    world: World, asker: Asker
) -> None:
    made = await asker.post("/reservations", {"iccid": UICC, "for_s": 3600})
    assert made.status == 201
    info, token = made.body["reservation"], made.body["token"]
    assert (info["card"], info["state"]) == (f"iccid {UICC}", "ready")
    path = f"{API}/reservations/{info['number']}"
    refused = await asker.post("/sessions", {"iccid": UICC})
    assert (refused.status, refused.code) == (409, "reserved")
    beside = await asker.post("/sessions", {"iccid": UICC, "reservation": token})
    assert (beside.status, beside.code) == (400, "bad_message")
    session = await asker.session(reservation=token)
    assert (await asker.get(session)).body["card"]["iccid"] == UICC
    (shown,) = (await asker.get("/reservations")).body["reservations"]
    assert shown["state"] == "taken"
    assert token not in (await asker.get("/reservations")).text
    again = await asker.post("/sessions", {"reservation": token})
    assert (again.status, again.code) == (409, "card_busy")
    await asker.ask("DELETE", f"{API}{session}")
    assert (await asker.ask("DELETE", path)).status == 204
    gone = await asker.ask("DELETE", path)
    assert (gone.status, gone.code) == (404, "no_such_reservation")
    for number in ("x", "1" * 400, "-1", "%C2%B2"):
        assert (await asker.ask("DELETE", f"{API}/reservations/{number}")).status == 404
    assert (await asker.get("/reservations?after=7")).body == {"reservations": []}
    user = await world.user("ann")
    async with user.select(iccid=UICC):
        assert (await asker.session(pick="any")) is not None
        refused = await asker.post("/sessions", {"pick": "any"})
        assert (refused.status, refused.code) == (409, "card_busy")


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"for_s": 60}, "nothing_selected"),
        ({"pick": "any", "for_s": 0}, "bad_message"),
        ({"pick": "any", "for_s": 31 * 86_400 + 1}, "bad_message"),
        ({"pick": "any", "for_s": 60, "begins": "2001-01-01T00:00:00Z"}, "bad_message"),
        ({"pick": "any", "for_s": 60, "begins": "soon"}, "bad_message"),
        ({"pick": "any", "for_s": 60, "priority": 10}, "bad_message"),
        ({"pick": "any", "for_s": 60, "until": "x"}, "bad_message"),
        ({"iccid": "1" * 19, "for_s": 60}, "no_such_card"),
    ],
)
async def test_what_cannot_be_reserved_is_a_problem(
    asker: Asker, wish: dict[str, object], code: str
) -> None:
    refused = await asker.post("/reservations", wish)
    assert refused.code == code
    assert (await asker.get("/reservations")).body == {"reservations": []}


async def test_an_atr_is_explained(asker: Asker) -> None:
    told = (await asker.get("/atr?atr=3b9c96801fc78031e073fe215364575352438d")).body
    assert told == {
        "protocols": ["T=0"],
        "historical": "8031e073fe21536457535243",
        "uicc": True,
        "euicc": False,
    }
    assert (await asker.get("/atr?atr=3b")).code == "bad_message"
    assert (await asker.get("/atr?atr=3b9")).code == "bad_hex"
    assert (await asker.get("/atr")).code == "bad_message"


async def test_on_a_first_try_whoever_is_on_the_host_operates_the_server(asker: Asker) -> None:
    told = (await asker.get("/me")).body
    assert (told["operator"], told["logged_in"]) == (True, False)
    passed_on = await asker.get("/me", X_Forwarded_For="203.0.113.9")
    assert passed_on.body["operator"] is False
    refused = await asker.post("/revoke", {"iccid": UICC}, X_Forwarded_For="203.0.113.9")
    assert (refused.status, refused.code) == (403, "forbidden")
    refused = await asker.post("/drain", {"host": "bench"}, X_Forwarded_For="203.0.113.9")
    assert refused.code == "forbidden"


async def test_the_page_says_what_a_browser_may_do_with_it(asker: Asker) -> None:
    page = await asker.ask("GET", "/", Accept="text/html")
    assert "<title>" in page.text
    assert "'unsafe" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "/metrics" in (await asker.ask("GET", "/")).text
    names = PageFiles().names
    assert {"index.html", "page.css", "page.js"} <= names
    for name in names:
        found = await asker.ask("GET", f"/page/{name}")
        assert (found.status, found.headers["x-content-type-options"]) == (200, "nosniff")
        again = await asker.ask("GET", f"/page/{name}", If_None_Match=found.headers["etag"])
        assert again.status == 304
        for word in ("://", "innerHTML", "eval(", "style=", "onclick="):
            assert word not in found.text.replace("http://www.w3.org/2000/svg", "")
    for name in ("..%2fsite.py", "other.js", "%00"):
        assert (await asker.ask("GET", f"/page/{name}")).status == 404


@pytest.fixture
async def locked(certificates: Certificates, tmp_path: Path) -> AsyncIterator[TokenWorld]:
    async with running_with_tokens(certificates, tmp_path, http_port=0) as made:
        yield made


async def logged_in(world: TokenWorld, asker: Asker, name: str = "ann") -> str:
    token = world.made(name)
    await until(lambda: world.knows(token))
    shown = f"Bearer {token.read_text().strip()}"
    answer = await asker.ask("POST", f"{API}/login", Authorization=shown)
    assert (answer.status, answer.body["principal"]) == (200, name)
    return answer.headers["set-cookie"]


async def test_a_cookie_stands_for_a_token_until_it_is_given_back(locked: TokenWorld) -> None:
    async with asking(locked.http_url, cookie_jar=CookieJar(unsafe=True)) as asker:
        assert (await asker.get("/me")).status == 401
        said = await logged_in(locked, asker)
        assert "HttpOnly" in said
        assert "SameSite=Strict" in said
        me = (await asker.get("/me")).body
        assert (me["principal"], me["logged_in"]) == ("ann", True)
        again = await asker.ask("POST", f"{API}/login", **PAGE)
        assert again.code == "bad_message"
        forged = await asker.ask("POST", f"{API}/logout")
        assert (forged.status, forged.code) == (403, "foreign_page")
        foreign = await asker.ask("POST", f"{API}/logout", **PAGE, Origin="http://evil.example")
        assert foreign.code == "foreign_page"
        assert (await asker.ask("POST", f"{API}/logout", **PAGE)).status == 204
        assert (await asker.get("/me")).status == 401


async def test_a_cookie_ends_with_its_token_its_time_and_its_use(
    locked: TokenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locked.app._site is not None
    held = locked.app._site.logins
    async with asking(locked.http_url, cookie_jar=CookieJar(unsafe=True)) as asker:
        await logged_in(locked, asker)
        locked.revoke("ann")

        async def is_out() -> bool:
            return (await asker.get("/me")).status == 401

        await until(is_out)
        assert len(held) == 0
        with monkeypatch.context() as patched:
            patched.setattr(logins, "IDLE_S", 0.0)
            await logged_in(locked, asker, "idle")
            assert (await asker.get("/me")).status == 401
            assert len(held) == 0
        said = await logged_in(locked, asker, "late")
        assert "Max-Age=43200" in said
        (key, login), *_ = held._logins.items()
        held._logins[key] = login._replace(until=0.0)
        assert (await asker.get("/me")).status == 401
        assert len(held) == 0


async def test_there_are_no_more_cookies_than_may_be(
    locked: TokenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "MOST_OF_ONE", 2)
    monkeypatch.setattr(logins, "MOST", 3)
    assert locked.app._site is not None
    held = locked.app._site.logins
    token = locked.made("ann")
    await until(lambda: locked.knows(token))
    for count in (1, 2, 2):
        async with asking(locked.http_url, token) as asker:
            await asker.ask("POST", f"{API}/login")
        assert len(held) == count
    for name in ("bob", "cid", "dan"):
        async with asking(locked.http_url) as asker:
            await logged_in(locked, asker, name)
    assert len(held) == 3
