# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.known_hosts: trust on first use."""

import pytest

from tests.support.sealing import MASTER, NOW, Scene, self_signed
from wsrc.certs.making import new_key
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.handshake import Host
from wsrc.sealing.known_hosts import KnownHosts
from wsrc.sealing.modes import Mode

SERVER = "wss://relay.example:4220"


def known(text: str = "", server: str = SERVER) -> KnownHosts:
    return KnownHosts(text, server, "known_hosts")


def test_a_key_is_believed_at_first_use_and_known_from_then_on() -> None:
    hosts = known()
    chain = self_signed().certificates
    first = hosts.check("bench", chain, NOW)
    assert (first.first_use, first.name, "bench" in hosts) == (True, "", False)
    line = hosts.line("bench", first)
    assert line == f"{SERVER} bench {first.fingerprint}\n"
    for each in (hosts, known(line)):
        assert "bench" in each
        assert not each.check("bench", chain, NOW).first_use


def test_a_key_that_changed_is_refused_with_both_fingerprints_and_the_line_to_delete() -> None:
    hosts = known("# a comment\n\n")
    old = hosts.check("bench", self_signed().certificates, NOW)
    hosts.line("bench", old)
    new = self_signed()
    for each in (hosts, known(f"# a comment\n\n{known().line('bench', old)}")):
        with pytest.raises(SealError, match="delete line 3 of known_hosts") as caught:
            each.check("bench", new.certificates, NOW)
        assert caught.value.fault is Fault.HOST_CHANGED
        assert old.fingerprint in str(caught.value)


def test_a_renewed_certificate_with_the_same_key_is_known() -> None:
    key, hosts = new_key(), known()
    hosts.line("bench", hosts.check("bench", self_signed("one", key).certificates, NOW))
    assert not hosts.check("bench", self_signed("two", key).certificates, NOW).first_use


def test_a_name_is_written_as_it_is_but_for_what_means_something_in_a_line() -> None:
    """RFC 20 has 21h to 7Eh for what is printed and no space."""
    hosts = known()
    first = hosts.check("bench", self_signed().certificates, NOW)
    written = hosts.line("!~ \x7f#%", first).split(" ")[1]
    assert written == "!~%20%7F%23%25"


@pytest.mark.parametrize("host", ["Bench Ärger", "a%20b", "#1", "tab\there", "日本", "a" * 300])
def test_a_name_comes_back_as_it_was(host: str) -> None:
    hosts = known()
    line = hosts.line(host, hosts.check(host, self_signed().certificates, NOW))
    assert len(line.split()) == 3
    assert line.isascii()
    assert host in known(line)


def test_the_same_name_on_another_server_is_another_card_host() -> None:
    hosts = known()
    line = hosts.line("bench", hosts.check("bench", self_signed().certificates, NOW))
    other = known(line, "wss://other.example:4220")
    assert "bench" not in other
    assert other.check("bench", self_signed().certificates, NOW).first_use


@pytest.mark.parametrize("line", ["bench SHA256:x", f"{SERVER} bench md5:x", f"{SERVER} a b c"])
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 of known_hosts"):
        known(f"# comment\n{line}\n")


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(SealError, match="of card host bench is not good"):
        known().check("bench", [b"none"], NOW)


def test_a_session_is_sealed_without_any_ca() -> None:
    scene = Scene(host=Host(self_signed(), Mode.PREFERRED))
    hosts = known()
    agreed = scene.agree(trust=hosts)
    assert agreed.signer.first_use
    secret, keys = agreed.seal(MASTER)
    assert scene.offered.accept(secret, NOW) == keys
    hosts.line(agreed.card.host, agreed.signer)
    posing = Scene(host=Host(self_signed(), Mode.PREFERRED))
    with pytest.raises(SealError, match="somebody may be posing as it"):
        posing.agree(trust=hosts)
