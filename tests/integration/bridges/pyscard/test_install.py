# SPDX-License-Identifier: Apache-2.0
"""What installing changes in pyscard, and that nothing of it remains."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from smartcard import CardRequest  # noqa: TID251
from smartcard.CardConnectionDecorator import CardConnectionDecorator  # noqa: TID251
from smartcard.Exceptions import CardConnectionException, NoCardException  # noqa: TID251
from smartcard.ExclusiveConnectCardConnection import (  # noqa: TID251
    ExclusiveConnectCardConnection,
)
from smartcard.ExclusiveTransmitCardConnection import (  # noqa: TID251
    ExclusiveTransmitCardConnection,
)
from smartcard.pcsc.PCSCExceptions import EstablishContextException  # noqa: TID251
from smartcard.reader.ReaderFactory import ReaderFactory  # noqa: TID251
from smartcard.System import readers  # noqa: TID251

from tests.support.certificates import Certificates
from tests.support.in_thread import Elsewhere, elsewhere
from tests.support.paths import ROOT
from tests.support.sent_commands import sent_commands
from tests.support.world import EUICC, UICC
from wsrc.bridges.pyscard import install as pyscard
from wsrc.bridges.pyscard.install import RemoteReader
from wsrc.card.slot import Pick
from wsrc.errors import ConfigError, ConnectionLostError, LocalProtocolError, RefusedError
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import default_cards


@pytest.fixture
def there(certificates: Certificates) -> Iterator[Elsewhere]:
    with elsewhere(certificates) as there:
        there.do(there.world.host(default_cards(), read_ahead_s=30.0))
        yield there


def install(there: Elsewhere, **which: Any) -> pyscard.Installation:
    which = which or {"all_cards": True}
    return pyscard.install(there.url, ca=there.certificates.ca, **which)


def names() -> list[str]:
    return sorted(reader.name for reader in readers() if isinstance(reader, RemoteReader))


def state() -> list[Any]:
    """Everything in pyscard that is changed."""
    return [
        list(ReaderFactory.factorymethods),
        CardRequest.PCSCCardRequest,
        ExclusiveConnectCardConnection.connect,
        ExclusiveTransmitCardConnection.lock,
        ExclusiveTransmitCardConnection.unlock,
        ExclusiveTransmitCardConnection.transmit,
    ]


def test_one_reader_has_any_card_and_the_card_stays(there: Elsewhere) -> None:
    with install(there, pick="any") as installed:
        assert names() == ["WSRC any 00 00"]
        seen = []
        for _ in range(2):
            connection = installed.readers()[0].createConnection()
            connection.connect()
            seen.append(bytes(connection.getATR()))
            connection.disconnect()
        assert seen[0] == seen[1]
    with install(there, pick=Pick.ANY, iccid=UICC) as installed:
        assert names() == [f"WSRC any {UICC} 00 00"]
        connection = installed.readers()[0].createConnection()
        connection.connect()
        assert there.do(there.world.state_of(iccid=UICC)) is CardState.ASSOCIATED


def test_who_waits_has_an_empty_reader_until_a_card_is_given(there: Elsewhere) -> None:
    user = there.do(there.world.user())
    card = there.do(user.select(iccid=UICC).__aenter__())
    with install(there, pick="any", iccid=UICC, wait_s=30.0) as installed:
        with pytest.raises(NoCardException):
            installed.readers()[0].createConnection().connect()
        wanted = CardRequest.CardRequest(timeout=30, readers=[installed.readers()[0]])
        there.do(card.detach())
        assert wanted.waitforcard() is not None
        connection = installed.readers()[0].createConnection()
        connection.connect()
        assert there.do(there.world.state_of(iccid=UICC)) is CardState.ASSOCIATED


def test_one_reader_has_the_card_of_a_reservation(
    certificates: Certificates, tmp_path: Path
) -> None:
    with elsewhere(certificates, state_dir=tmp_path) as there:
        there.do(there.world.host(default_cards()))
        user = there.do(there.world.user())
        made = there.do(user.reserve(3600, iccid=UICC))
        with install(there, reservation=made.token) as installed:
            assert names() == [f"WSRC reservation {made.reservation.number} 00 00"]
            connection = installed.readers()[0].createConnection()
            connection.connect()
            assert there.do(there.world.state_of(iccid=UICC)) is CardState.ASSOCIATED
        with pytest.raises(RefusedError, match="No reservation has this token"):
            install(there, reservation="none")


@pytest.mark.parametrize(
    "wrong",
    [
        {"pick": "any", "all_cards": True},
        {"reservation": "x", "iccid": UICC},
        {"reservation": "x", "all_cards": True},
        {"pick": "none", "iccid": UICC},
        {"iccid": UICC, "wait_s": 5.0},
        {"pick": "any", "wait_s": "long"},
    ],
)
def test_what_cannot_be_meant_is_said(there: Elsewhere, wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        install(there, **wrong)


@pytest.mark.parametrize("read_ahead", [False, True])
def test_a_script_is_read_ahead_where_that_is_asked_for(
    there: Elsewhere, monkeypatch: pytest.MonkeyPatch, read_ahead: bool
) -> None:
    sent = sent_commands(monkeypatch)
    select, read = bytes.fromhex("00a40004022fe2"), bytes.fromhex("00b000000a")
    with pyscard.install(
        there.url, ca=there.certificates.ca, iccid=UICC, read_ahead=read_ahead
    ) as installed:
        connection = installed.readers()[0].createConnection()
        connection.connect()
        _, sw1, sw2 = connection.transmit(list(select))
        assert sw1 == 0x61
        connection.transmit([0, 0xC0, 0, 0, sw2])
        assert bytes(connection.transmit(list(read))[0]).hex() == "988812010000400310f0"
        connection.disconnect()
    assert sent == [select.hex(), *([] if read_ahead else [read.hex()])]


def test_uninstalling_leaves_nothing_behind(there: Elsewhere) -> None:
    before = state()
    installed = install(there)
    during = state()
    assert all(a != b for a, b in zip(before, during, strict=True))
    reader = readers()[-1]
    connection = reader.createConnection()
    connection.connect()
    installed.uninstall()
    installed.uninstall()
    assert state() == before
    assert installed.readers() == []
    with pytest.raises(CardConnectionException):
        connection.getATR()
    with pytest.raises(CardConnectionException, match="Failed to establish context"):
        reader.createConnection()
    with install(there):
        assert names()
    assert state() == before


def test_what_others_added_meanwhile_stays(there: Elsewhere) -> None:
    def others(groups: Any = None) -> list[Any]:
        return []

    with install(there):
        ReaderFactory.factorymethods.append(others)
    try:
        assert ReaderFactory.factorymethods[-1] is others
    finally:
        ReaderFactory.factorymethods.remove(others)


def test_one_installation_at_a_time(there: Elsewhere) -> None:
    with install(there), pytest.raises(LocalProtocolError, match="installed already"):
        install(there)
    install(there).uninstall()


@pytest.mark.parametrize(
    ("which", "count"),
    [
        ({}, 2),
        ({"iccid": UICC}, 1),
        ({"iccid": UICC[:-1]}, 1),
        ({"iccid": "8988*"}, 2),
        ({"eid": EUICC}, 1),
        ({"label": "none of these"}, 0),
    ],
)
def test_cards_are_chosen(there: Elsewhere, which: dict[str, str], count: int) -> None:
    with install(there, **which):
        assert len(names()) == count


def test_readers_are_made_by_name(there: Elsewhere) -> None:
    made = "wsrc.bridges.pyscard.install.RemoteReader"
    with install(there, eid=EUICC):
        reader = ReaderFactory.createReader(made, names()[0])
        assert reader == readers()[-1]
        connection = reader.createConnection()
        connection.connect()
        connection.release()
    with pytest.raises(CardConnectionException, match="No remote cards are installed"):
        ReaderFactory.createReader(made, "x")


def test_readers_of_a_service_that_is_away_hide_no_others(
    there: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(groups: Any = None) -> list[Any]:
        raise EstablishContextException(0x8010001D)

    monkeypatch.setattr(ReaderFactory, "factorymethods", [away])
    with pytest.raises(EstablishContextException):
        readers()
    with install(there):
        assert len(readers()) == 2
    assert ReaderFactory.factorymethods == [away]


def test_the_decorators_of_pyscard_go_on_for_other_connections(there: Elsewhere) -> None:
    said: list[Any] = []

    class Local:
        def connect(self, *args: Any) -> None:
            said.append(args)

        def transmit(self, command: list[int], protocol: Any = None) -> Any:
            return [], 0x90, 0x00

    with install(there):
        exclusive = ExclusiveConnectCardConnection(CardConnectionDecorator(Local()))
        exclusive.connect(1, 2, 0)
        assert said == [(1, 2, 0)]
        locking = ExclusiveTransmitCardConnection(Local())
        locking.lock()
        assert locking.transmit([0]) == ([], 0x90, 0x00)
        locking.unlock()


def test_settings_are_those_of_the_command(
    there: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSRC_SERVER_URL", there.url)
    monkeypatch.setenv("WSRC_TLS_CA", str(there.certificates.ca))
    with pyscard.install(iccid=UICC):
        assert names() == [f"WSRC {UICC} 00 00"]


def test_a_server_that_is_not_reached_leaves_pyscard_alone(certificates: Certificates) -> None:
    before = state()
    with pytest.raises(ConfigError):
        pyscard.install("http://localhost", all_cards=True)
    with pytest.raises(ConnectionLostError):
        pyscard.install("wss://localhost:1/user", ca=certificates.ca, all_cards=True)
    assert state() == before


@pytest.mark.parametrize("which", [{}, {"iccid": None}, {"iccid": UICC, "all_cards": True}])
def test_d29_which_cards_is_said_one_way(there: Elsewhere, which: dict[str, Any]) -> None:
    before = state()
    with pytest.raises(LocalProtocolError, match=r"Say which cards, .* all_cards=True"):
        pyscard.install(there.url, ca=there.certificates.ca, **which)
    assert state() == before


def test_a8_a_program_may_have_a_password_in_its_url(there: Elsewhere) -> None:
    url = there.url.replace("wss://", "wss://user:geheim@")
    with pyscard.install(url, ca=there.certificates.ca, iccid=UICC):
        assert names() == [f"WSRC {UICC} 00 00"]


_IMPORT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
try:
    import wsrc.bridges.pyscard.install
except ImportError as exc:
    print(exc)
else:
    print("imported")
"""


def run(*missing: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, *missing],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    return done.stdout + done.stderr


def test_missing_pyscard_is_one_sentence_that_says_what_to_install() -> None:
    said = run("smartcard")
    assert said.count("\n") == 1
    assert "pip install 'wsrc[pcsc]'" in said


@pytest.mark.skipif(sys.platform != "linux", reason="libpcsclite is of Linux")
def test_the_library_of_pcsc_is_not_needed(unusable_library: str) -> None:
    said = run(LD_LIBRARY_PATH=unusable_library)
    assert "imported" in said
    assert "Traceback" not in said
