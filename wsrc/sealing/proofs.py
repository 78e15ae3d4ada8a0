# SPDX-License-Identifier: Apache-2.0
"""
Proofs that resume a session, and the card host's words on requests that have no box.

Both are HMAC-SHA256 (RFC 2104), each under a key of its own. A proof is good on one connection,
once. A word is believed where it is the answer to what was last asked, or is the last at all.
"""

from typing import NamedTuple

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from wsrc.sealing.encoding import MAX_NUMBER, NONCE_OCTETS, PURPOSE, number, pack
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.keys import Keys

PROOF_OCTETS = 32
"""Octets of a proof, and of a word."""


class Claim(NamedTuple):
    """
    What a proof is over.

    Attributes:
        seq: Number of the last request that was sent, 0 if none.
        host, reader: Where the card is, as `resume` says; empty where it does not.
        nonce: What `hello_ack` gave to the connection on which it is sent, `NONCE_OCTETS`.
    """

    seq: int
    host: str
    reader: str
    nonce: bytes


class Proof(NamedTuple):
    """What `resume` has in place of the secret; each has a higher `counter` than all before."""

    counter: int
    mac: bytes


class Prover:
    """The user's end: proves that a session is its own."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._counter = 0

    def prove(self, claim: Claim) -> Proof:
        """Return a proof, the only one that counts from now on."""
        self._counter += 1
        return Proof(
            self._counter, _mac(self._keys.proofs, _claimed(self._keys, claim, self._counter))
        )

    def resumed(self, seq: int, taken: int, word: bytes) -> bool:
        """
        Return whether the card host has said that to the last proof.

        Args:
            seq: What the claim had.
            taken: Number of the request that it says it took in hand last.
            word: What came with it.
        """
        return bytes_eq(word, _word_resumed(self._keys, self._counter, seq, taken))

    def refused(self, seq: int, word: bytes) -> bool:
        """Return whether the card host has said that a request is not begun and never will be."""
        return bytes_eq(word, _word_refused(self._keys, seq))

    def ended(self, taken: int, word: bytes) -> bool:
        """Return whether the card host has said that the session is over, after that request."""
        return bytes_eq(word, _word_ended(self._keys, taken))


class Verifier:
    """The card host's end: takes proofs, and gives its word."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._counter = 0
        self._may_repeat: tuple[Claim, Proof] | None = None
        self._last: tuple[Claim, Proof] | None = None

    def check(self, claim: Claim, proof: Proof) -> None:
        """
        Check a proof, which counts from now on.

        Raises:
            SealError: If it is not the user's, not for this claim, or not newer than the last.
        """
        if not _is_claim(claim, proof):
            raise SealError(Fault.PROOF, "What resumes the session is malformed.")
        if not bytes_eq(
            proof.mac, _mac(self._keys.proofs, _claimed(self._keys, claim, proof.counter))
        ):
            why = "The proof that the session is the user's is not good, or for another connection."
            raise SealError(Fault.PROOF, why)
        if proof.counter <= self._counter and (claim, proof) != self._may_repeat:
            raise SealError(
                Fault.PROOF, "The proof that the session is the user's was used before."
            )
        self._counter, self._may_repeat = proof.counter, None
        self._last = claim, proof

    def lost(self) -> None:
        """Note that the server was lost: another may ask again what the last one asked."""
        self._may_repeat = self._last

    def resumed(self, seq: int, taken: int) -> bytes:
        """Return the word that goes with `resumed`: the answer to the last proof."""
        return _word_resumed(self._keys, self._counter, seq, taken)

    def refused(self, seq: int) -> bytes:
        """Return the word that a request is not begun, and will not be."""
        return _word_refused(self._keys, seq)

    def ended(self, taken: int) -> bytes:
        """Return the word that the session is over, and what it took in hand last."""
        return _word_ended(self._keys, taken)


def _is_claim(claim: Claim, proof: Proof) -> bool:
    numbers = 0 <= claim.seq <= MAX_NUMBER and 1 <= proof.counter <= MAX_NUMBER
    return numbers and len(claim.nonce) == NONCE_OCTETS and len(proof.mac) == PROOF_OCTETS


def _claimed(keys: Keys, claim: Claim, counter: int) -> bytes:
    return pack(
        PURPOSE + b"resume",
        keys.session.encode(),
        claim.host.encode(),
        claim.reader.encode(),
        number(claim.seq),
        number(counter),
        claim.nonce,
    )


def _word_resumed(keys: Keys, counter: int, seq: int, taken: int) -> bytes:
    return _word(keys, b"resumed", counter, seq, taken)


def _word_refused(keys: Keys, seq: int) -> bytes:
    return _word(keys, b"refused", seq)


def _word_ended(keys: Keys, taken: int) -> bytes:
    return _word(keys, b"ended", taken)


def _word(keys: Keys, what: bytes, *numbers: int) -> bytes:
    said = pack(PURPOSE + b"word", keys.session.encode(), what, *map(number, numbers))
    return _mac(keys.words, said)


def _mac(key: bytes, octets: bytes) -> bytes:
    mac = HMAC(key, SHA256())
    mac.update(octets)
    return mac.finalize()
