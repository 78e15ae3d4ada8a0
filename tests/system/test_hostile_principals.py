# SPDX-License-Identifier: Apache-2.0
"""Users and card hosts with tokens of their own who try to have what is another's (issue 13)."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.certificates import make
from tests.support.processes import LIMIT_S, Program, Programs, argv, environment, running
from tests.support.tokens import now, token_file
from wsrc.protocol.messages import ClientType
from wsrc.server.token_store import TokenStore

UICC = "8988211000000430010"
ALLOWED = "8988211777000000009"
ABSENT = "8988211999000000027"
SECRET = "5e" * 32
SELECT_MF, VERIFY = "00a40004023f00", "0020000108" + "31323334ffffffff"

POLICY = """
[[grant]]
to = ["ann"]
cards = { host = "farm-a" }
may = ["list", "use", "share", "reset", "events"]
[[grant]]
to = ["eve"]
cards = { host = "farm-b" }
may = ["list", "use", "share", "events"]
[[host]]
who = ["farm-a"]
announces = "*"
[[host]]
who = ["farm-b"]
announces = { iccid = ["", "8988211777*"] }
"""

LIMITS = ("--max-connections-per-principal", "8", "--requests-per-s", "200", "--keep-s", "60")


class Peer:
    """A client that is none of ours, with a token."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.number = 0

    def say(self, msg_type: str, **fields: Any) -> int:
        self.number += 1
        said = {"msg_type": msg_type, "id": self.number, **fields}
        self.socket.send(json.dumps({k: v for k, v in said.items() if v is not None}))
        return self.number

    def hear(self, *kinds: str) -> dict[str, Any]:
        while True:
            heard: dict[str, Any] = json.loads(self.socket.recv(5.0))
            if not kinds or heard["msg_type"] in kinds:
                return heard

    def ask(self, msg_type: str, **fields: Any) -> dict[str, Any]:
        number = self.say(msg_type, **fields)
        while (heard := self.hear()).get("id") != number or heard["msg_type"] == "waiting":
            pass
        return heard

    def listed(self, iccid: str) -> dict[str, Any]:
        """Return a card that is there soon."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            for card in self.ask("list_cards")["cards"]:
                if card["identities"].get("ICCID") == iccid:
                    return dict(card)
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def hello(self, client_type: str = "user", **fields: Any) -> dict[str, Any]:
        return self.ask("hello", client_type=client_type, version=1, **fields)


class Place:
    """A server with tokens, a policy and an audit log, a card host, and who comes to it."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        self.audit = folder / "audit"
        self.policy = folder / "policy.toml"
        self.policy.write_text(POLICY, "utf-8")
        self.context = ssl.create_default_context(cafile=programs.certificates.ca)
        # This client reads in a thread, and waits for ever where a ticket of TLS 1.3 comes first.
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.tokens: dict[str, str] = {}
        with TokenStore(folder / "state") as store:
            for name in ("ann", "eve"):
                self.tokens[name] = store.add(name, ClientType.USER, now(), None)
            for name in ("farm-a", "farm-b"):
                self.tokens[name] = store.add(name, ClientType.CARD, now(), None)
            self.expired = store.add("late", ClientType.USER, now(), now() - 1)
        self.server = self.started()
        file = token_file(folder / "farm-a", self.tokens["farm-a"])
        given = ("--no-pcsc", "--simulated", "default", "--token-file", str(file))
        self.host = programs.card_client(*given)
        self.host.wait_for("has card", 2)

    def started(self) -> Program:
        more = ("--tokens", "--state-dir", str(self.folder / "state"), "--log-level", "debug")
        files = ("--policy", str(self.policy), "--audit-dir", str(self.audit))
        return self.programs.server(*more, *files, *LIMITS)

    def url(self, kind: str) -> str:
        port = self.programs.user_port if kind == "user" else self.programs.card_port
        return f"wss://localhost:{port}/{kind}"

    @contextlib.contextmanager
    def peer(self, name: str, kind: str = "user") -> Iterator[Peer]:
        headers = {"Authorization": f"Bearer {self.tokens[name]}"}
        with connect(
            self.url(kind),
            ssl=self.context,
            additional_headers=headers,
            subprotocols=["wsrc.v1"],  # type: ignore[list-item]
            compression=None,
        ) as socket:
            yield Peer(socket)

    def status(self, headers: Any, query: str = "", **more: Any) -> int:
        try:
            with connect(
                self.url("user") + query, ssl=self.context, additional_headers=headers, **more
            ):
                return 101
        except InvalidStatus as exc:
            return exc.response.status_code

    def told(self, *kinds: str) -> list[dict[str, Any]]:
        texts = [t for f in sorted(self.audit.glob("*.jsonl")) for t in f.read_text().splitlines()]
        return [each for text in texts if (each := json.loads(text))["event"] in kinds]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with running(make(tmp_path / "certs")) as programs:
        place = Place(programs, tmp_path)
        yield place
        assert place.host.process.poll() is None
        assert place.server.end() == 0
        assert "Traceback" not in place.server.output + place.host.output
        checked = subprocess.run(
            argv("wsrc-server", "audit", "verify", str(place.audit)),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        said = place.server.output + "".join(f.read_text() for f in place.audit.glob("*"))
        for token in (*place.tokens.values(), place.expired):
            assert token[5:30] not in said
        assert VERIFY[10:] not in said


def told_of(heard: dict[str, Any], *names: str) -> str:
    """Return what was heard, without what was asked for."""
    text = json.dumps({k: v for k, v in heard.items() if k != "id"})
    for name in names:
        text = text.replace(name, "NAME")
    return text


def test_13_a_hidden_card_is_an_absent_one_whatever_is_asked(place: Place) -> None:
    with place.peer("ann") as ann, place.peer("eve") as eve:
        ann.hello(name="ann's laptop")
        held = ann.ask("select_card", iccid=UICC, secret=SECRET, keep_s=60.0)
        assert held["msg_type"] == "select_card_ack", held
        eve.hello(name="ann")
        for form in ("wsrc", "json_rpc"):
            watched = eve.ask("watch_readers", form=form)
            assert not watched.get("readers"), watched
        assert eve.ask("list_cards")["cards"] == []
        assert eve.ask("list_readers")["readers"] == []
        reader = held["card"]["reader"]
        pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"iccid": UICC}, {"iccid": ABSENT}),
            ({"iccid": UICC, "share": "shared"}, {"iccid": ABSENT, "share": "shared"}),
            ({"reader": reader, "share": "direct"}, {"reader": "none", "share": "direct"}),
            ({"any": UICC}, {"any": ABSENT}),
            ({"id_type": "ICCID", "id_str": UICC}, {"id_type": "ICCID", "id_str": ABSENT}),
        ]
        for hidden, absent in pairs:
            one, other = (eve.ask("select_card", **each) for each in (hidden, absent))
            names = [str(v) for each in (hidden, absent) for v in each.values()]
            assert told_of(one, *names) == told_of(other, *names)
        for iccid in (UICC, ABSENT):
            eve.say("select_card", iccid=iccid, wait_s=0.3)
            assert eve.hear("waiting", "error")["position"] == 1
            assert eve.hear("error")["code"] == "no_such_card"
        ann.ask("c_apdu", session=held["session"], command=SELECT_MF)
        ann.ask("c_apdu", session=held["session"], command=VERIFY)
        ann.ask("detach", session=held["session"])
        assert eve.ask("list_cards")["cards"] == []
        # Whatever happened to the card meanwhile, eve was told of nothing.
        eve.socket.ping().wait(LIMIT_S)
        with pytest.raises(TimeoutError):
            eve.socket.recv(0.2)


def test_13_the_session_of_another_is_not_resumed_with_its_secret_nor_after_a_restart(
    place: Place,
) -> None:
    with place.peer("ann") as ann:
        ann.hello(instance="run-of-ann")
        held = ann.ask("select_card", iccid=UICC, secret=SECRET, keep_s=60.0)
        session, card = held["session"], held["card"]
        where = {"session": session, "secret": SECRET, "seq": 0, "host": card["host"]}
        where["reader"] = card["reader"]
        with place.peer("eve") as eve:
            eve.hello(instance="run-of-ann")
            eve.say("resume", **where)
            with pytest.raises(TimeoutError):
                eve.socket.recv(0.5)
            answered = ann.ask("c_apdu", session=session, command=SELECT_MF, seq=1)
            assert answered["msg_type"] == "r_apdu"
        (denied,) = [each for each in place.told("denied") if each["who"]["principal"] == "eve"]
        assert denied["wanted"] == f"session {session[:8]}"
        place.server.end(signal.SIGKILL)
        place.server = place.started()
    with place.peer("eve") as eve:
        eve.hello()
        eve.say("resume", **where)
        place.server.wait_for("came back with card host")
        with pytest.raises(TimeoutError):
            eve.socket.recv(0.5)
        with place.peer("ann") as ann:
            ann.hello(instance="run-of-ann")
            resumed = ann.ask("resume", **where)
            assert resumed["msg_type"] == "resumed", resumed
            answered = ann.ask("c_apdu", session=session, command=SELECT_MF, seq=2)
            assert answered["msg_type"] == "r_apdu", answered
            ann.ask("detach", session=session)


def test_13_a_rogue_card_host_poses_as_no_card_of_another(place: Place) -> None:
    ours = {"reader": "R", "name": "R 00", "state": "ready", "insertion": 1}
    theirs = ours | {"iccid": UICC}
    stolen = {"session": "s" * 32, "reader": "R", "insertion": 1, "keep_s": 60.0}
    with place.peer("farm-b", "card") as farm, place.peer("eve") as eve:
        farm.hello(
            "card",
            readers=[theirs],
            features=["resume", "share"],
            sessions=[stolen | {"holder": "ann"}],
        )
        assert "may not announce" in farm.hear("error")["message"]
        eve.hello()
        assert eve.ask("list_cards")["cards"] == []
        farm.say("reader_state", reader=ours | {"iccid": ALLOWED})
        eve.listed(ALLOWED)
        for each in (theirs, ours | {"iccid": ABSENT}):
            farm.say("reader_state", reader=each)
            farm.hear("error")
            found = [c["identities"].get("ICCID") for c in eve.ask("list_cards")["cards"]]
            assert UICC not in found
        for _ in range(150):
            for iccid in (UICC, ABSENT):
                farm.say("reader_state", reader=ours | {"iccid": iccid})
    withheld = place.told("withheld")
    assert {each["card"]["host_principal"] for each in withheld} == {"farm-b"}
    assert len(withheld) < 200
    assert place.server.output.count("may not announce") < 200


NAMES = (
    "ann", "farm-a", "x) (ann", 'ann\n{"n":1}', "\u202eann", "\u0430nn", "first-form@127.0.0.1",
    "a\x00\x1b[2J", '"}\\', "(2)", "n" * 400_000,
)  # fmt: skip


def test_13_whatever_a_user_calls_itself_it_is_shown_by_its_principal(place: Place) -> None:
    card = {"reader": "R", "name": "R 00", "state": "ready", "insertion": 1}
    with place.peer("farm-b", "card") as farm, place.peer("eve") as other:
        farm.hello("card", features=["share"], readers=[card | {"iccid": ALLOWED}])
        other.hello()
        for name in NAMES:
            with place.peer("eve") as eve:
                eve.hello(name=name, instance=name)
                eve.say("select_card", iccid=ALLOWED)
                attach = farm.hear("attach")
                farm.say("attach_ack", session=attach["session"], atr="3b00")
                eve.hear("select_card_ack")
                holder = other.listed(ALLOWED)["lease"]["holder"]
            assert holder == "eve" or holder.startswith("eve (")
            assert len(holder) <= 128
            assert holder.isprintable()
            farm.say("detach_ack", session=farm.hear("detach")["session"])
    place.server.wait_for("eve.* gave back|eve.* lost", len(NAMES))
    for each in place.told("took", "named"):
        assert len(json.dumps(each)) < 2_000


def test_13_nothing_but_a_good_token_in_its_header_lets_in(place: Place) -> None:
    ann = place.tokens["ann"]
    bearer = f"Bearer {ann}"
    none_jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ."
    tried: list[tuple[Any, str, dict[str, Any]]] = [
        ({}, "", {}),
        ({"Authorization": f"Bearer {place.expired}"}, "", {}),
        ({"Authorization": f"Bearer {place.tokens['farm-a']}"}, "", {}),
        ({"Authorization": f"Bearer {none_jwt}"}, "", {}),
        ({"Authorization": f"Bearer {none_jwt}{'x' * 7000}"}, "", {}),
        ([("Authorization", bearer), ("Authorization", bearer)], "", {}),
        ({"Authorization": f"Basic {ann}"}, "", {}),
        ({"Authorization": f"Bearer{ann}"}, "", {}),
        ({"Authorization": f"{bearer}, {bearer}"}, "", {}),
        ({"Authorization": bearer[:-1]}, "", {}),
        ({"Authorization": f"Bearer {ann.upper()}"}, "", {}),
        ({"Proxy-Authorization": bearer}, "", {}),
        ({"X-Authorization": bearer, "Cookie": f"token={ann}"}, "", {}),
        ({"X-Forwarded-User": "ann", "Forwarded": "for=127.0.0.1"}, "", {}),
        ({}, f"?token={ann}", {}),
        ({}, f"?access_token={ann}", {}),
        ({}, "", {"subprotocols": ["wsrc.v1", ann]}),
    ]
    for headers, query, more in tried:
        assert place.status(headers, query, **more) in {401, 403}, (headers, query)
    assert place.status({"Authorization": bearer}) == 101
    assert place.status({"Authorization": f"bEaReR   {ann}"}) == 101


def test_13_who_is_revoked_or_forbidden_keeps_no_card(place: Place) -> None:
    with place.peer("ann") as ann:
        ann.hello()
        held = ann.ask("select_card", iccid=UICC, secret=SECRET, keep_s=60.0)
        text = place.policy.read_text("utf-8")
        place.policy.write_text(text.replace('to = ["ann"]', 'to = ["zoe"]'), "utf-8")
        ended = ann.hear("session_ended")
        assert (ended["session"], ended["code"]) == (held["session"], "forbidden")
        assert ann.ask("list_cards")["cards"] == []
        place.policy.write_text("[[grant]]\nto = 1\n", "utf-8")
        place.server.process.send_signal(signal.SIGHUP)
        place.server.wait_for("A new file is not taken")
        place.policy.write_text(text, "utf-8")
        place.server.wait_for("The policy was read anew", 2)
        held = ann.ask("select_card", iccid=UICC, secret=SECRET, keep_s=60.0, wait_s=LIMIT_S)
        assert held["msg_type"] == "select_card_ack"
        with TokenStore(place.folder / "state") as store:
            store.revoke(["ann"])
        with pytest.raises(ConnectionClosed, match="revoked"):
            ann.hear("nothing")
    place.server.wait_for("ann gave back|ann lost", 2)
    assert place.status({"Authorization": f"Bearer {place.tokens['ann']}"}) == 401
    assert [each["why"] for each in place.told("revoked")] == ["its token is revoked"]
    assert [each for each in place.told("reloaded") if each.get("why")]
    assert {each["action"] for each in place.told("token_changed")} == {"revoked"}


def test_13_a_flood_of_what_lets_nobody_in_grows_nothing(place: Place) -> None:
    def resident() -> int:
        text = Path(f"/proc/{place.server.process.pid}/statm").read_text("ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    headers = {"Authorization": "Bearer " + "eyJhbGciOiJSUzI1NiIsImtpZCI6I" + "A" * 7000}
    for _ in range(30):
        place.status(headers)
    before, lines = resident(), len(place.server.output)
    for _ in range(300):
        assert place.status(headers) in {401, 429}
    assert resident() < before + (8 << 20)
    assert len(place.server.output) - lines < 20_000
    with place.peer("eve") as eve:
        eve.hello()
        refused = eve.ask("select_card", label="x" * 900_000, wait_s=3600)
        assert refused["code"] == "bad_message"
        for kind in ("list_cards", "list_readers", "watch_readers"):
            assert eve.ask(kind, label="*x" * 400_000)["code"] == "bad_message"
