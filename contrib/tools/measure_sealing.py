# SPDX-License-Identifier: Apache-2.0
"""
Measure what sealing costs: the CPU time of one command, and of setting a session up.

A command is sealed, opened, and so is its answer; beside it stands the cipher alone, which is what
no code of ours can do without. Then the same as messages, by way of a server, and beside it what
is not sealed. The smallest of many runs counts: a machine is never too fast.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

from wsrc.certs.making import Issuer, Kind, Period, make_ca, make_leaf, new_key
from wsrc.net.certificates import subject_of
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.boxed import CardBoxes, UserBoxes
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, canonical, decode, encode
from wsrc.sealing.boxes import Direction, Opener, Sealer
from wsrc.sealing.encoding import NONCE_OCTETS
from wsrc.sealing.ends import CardSeal, UserSeal
from wsrc.sealing.handshake import Agreed, Expected, Host, Offered, agree
from wsrc.sealing.keys import SECRET_OCTETS
from wsrc.sealing.modes import Mode
from wsrc.sealing.signing import Identity
from wsrc.sealing.suites import available
from wsrc.sealing.terms import Ask, Asked, Card
from wsrc.sealing.trust import HOST_ROLE, Authority

TEXT = b"x" * 40
COMMAND, RESPONSE = Octets.fromhex("00b000000a"), Octets.fromhex("988812010000400310f0")
CARD = Card("bench", "Reader 00 00@bench", "Reader 00 00", iccid="8988211000000430010")
ASKED = Asked("5f0c0123456789abcdef0123456789ab", "exclusive", (), "anna@desk")
EXPECTED = Expected(ASKED.session, ASKED.share, ASKED.ways, lambda card: card == CARD)


def cpu_us(function: Callable[[], object], times: int, runs: int) -> float:
    """Return the least CPU time of a call, in microseconds."""
    least = float("inf")
    for _ in range(runs):
        began = time.process_time()
        for _ in range(times):
            function()
        least = min(least, (time.process_time() - began) / times)
    return least * 1e6


def command(runs: int) -> None:
    """Print what the boxes of one command and its answer cost at both ends."""
    aead, nonce, data = AESGCM(bytes(32)), bytes(12), bytes(100)
    box = aead.encrypt(nonce, TEXT, data)

    def cipher() -> None:
        for _ in range(2):
            aead.encrypt(nonce, TEXT, data)
            aead.decrypt(nonce, box, data)

    ends = [(Sealer(bytes(32), d, "s"), Opener(bytes(32), d, "s")) for d in Direction]
    seq = 0

    def boxes() -> None:
        nonlocal seq
        seq += 1
        for sealer, opener in ends:
            opener.open("c_apdu", seq, sealer.seal("c_apdu", seq, TEXT, seq - 1))

    bare, ours = cpu_us(cipher, 2000, runs), cpu_us(boxes, 2000, runs)
    print(f"a command of {len(TEXT)} octets and its answer: {ours:.1f} us at both ends together,")
    print(f"  {ours / bare:.1f} times the cipher alone ({bare:.1f} us)")


def messages(runs: int) -> None:
    """Print what sealing adds to a command and its answer as messages, in all three programs."""
    now = datetime.now(UTC)
    offered, agreed = _agreed(now)
    secret, keys = agreed.seal(secrets.token_bytes(SECRET_OCTETS))
    user = UserBoxes(UserSeal(secret, keys), lambda: b"")
    host = CardBoxes(CardSeal(offered), lambda: now, lambda: MAX_MESSAGE_OCTETS)
    session, seq = "s" * 32, 0

    def passed(message: m.Message) -> m.Message:
        """Send a message by a server: it is written, read, passed on, and read."""
        text = encode(message)
        canonical(text, decode(text))
        return decode(text)

    def plain() -> None:
        passed(m.CApdu(id=1, seq=1, session=session, command=COMMAND))
        passed(m.RApdu(id=1, seq=1, session=session, response=RESPONSE, sw="9000"))

    def sealed() -> None:
        nonlocal seq
        seq += 1
        asked = passed(user.seal(m.CApdu(id=1, seq=seq, session=session, command=COMMAND)))
        assert isinstance(asked, m.Sealed)
        host.open(asked, seq - 1)
        said = m.RApdu(id=1, seq=seq, session=session, response=RESPONSE, sw="9000")
        answer = passed(host.seal(said))
        assert isinstance(answer, m.SealedResp)
        user.open(answer)
        user.settled(seq)

    bare, ours = cpu_us(plain, 2000, runs), cpu_us(sealed, 2000, runs)
    print(f"as messages: {ours - bare:.1f} us more in all programs together,")
    print(f"  {ours / bare:.2f} times one that is not sealed")
    sizes = len(encode(m.CApdu(id=1, seq=1, session=session, command=COMMAND)))
    text = len(encode(user.seal(m.CApdu(id=1, seq=seq + 1, session=session, command=COMMAND))))
    print(f"  {text - sizes} octets more for a command of {len(COMMAND)}")


def _agreed(now: datetime) -> tuple[Offered, Agreed]:
    period = Period(now - timedelta(hours=1), now + timedelta(days=1))
    ca_key, key = new_key(), new_key()
    ca = make_ca(ca_key, "a CA", period)
    made = make_leaf(
        key.public_key(), Kind.CARD_HOST, ["bench.example"], period, Issuer(ca, ca_key)
    )
    host = Host(Identity((made.public_bytes(Encoding.DER),), key), Mode.PREFERRED)
    ask = Ask(secrets.token_bytes(NONCE_OCTETS), tuple(available()), Mode.REQUIRED)
    offered = host.offer(ask, ASKED, CARD, secrets.token_bytes(NONCE_OCTETS))
    trust = Authority([ca], subject_of, HOST_ROLE)
    return offered, agree(ask, EXPECTED, offered.offer, trust, now)


def set_up(runs: int) -> None:
    """Print what it costs to set a session up, for each suite."""
    now = datetime.now(UTC)
    period = Period(now - timedelta(hours=1), now + timedelta(days=1))
    ca_key, key = new_key(), new_key()
    ca = make_ca(ca_key, "a CA", period)
    made = make_leaf(
        key.public_key(), Kind.CARD_HOST, ["bench.example"], period, Issuer(ca, ca_key)
    )
    host = Host(Identity((made.public_bytes(Encoding.DER),), key), Mode.PREFERRED)
    trust, nonce = Authority([ca], subject_of, HOST_ROLE), secrets.token_bytes(NONCE_OCTETS)
    for suite in available():
        ask = Ask(nonce, (suite,), Mode.REQUIRED)

        def whole(ask: Ask = ask) -> None:
            offered = host.offer(ask, ASKED, CARD, nonce)
            agreed = agree(ask, EXPECTED, offered.offer, trust, now)
            secret, _ = agreed.seal(secrets.token_bytes(SECRET_OCTETS))
            offered.accept(secret, now)

        def unused(ask: Ask = ask) -> None:
            host.offer(ask, ASKED, CARD, nonce)

        both, alone = cpu_us(whole, 50, runs), cpu_us(unused, 50, runs)
        print(f"{suite}: {both:.0f} us to set up, of these {alone:.0f} us before the first request")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="how often each is measured")
    runs = parser.parse_args().runs
    command(runs)
    messages(runs)
    set_up(runs)


if __name__ == "__main__":
    main()
