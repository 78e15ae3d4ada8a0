# SPDX-License-Identifier: Apache-2.0
"""
Both ends of a sealed session: what each sends and takes, message by message.

Numbers, copies and what is begun are the business of `wsrc.session`; here a text becomes a box and
a box a text, and what a server says of requests is told from what the card host says.
"""

from datetime import datetime

from wsrc.sealing.boxes import Direction, Opener, Sealer, check_order
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.handshake import Offer, Offered, Secret
from wsrc.sealing.keys import Keys
from wsrc.sealing.proofs import Claim, Proof, Prover, Verifier
from wsrc.sealing.trust import Signer

_NOT_YET = "Nothing has said yet how the session is sealed; its first request does."


class UserSeal:
    """
    The user's end of a sealed session.

    `secret` goes with each request and each `resume`, until something of the card host has come
    that only it can have said; it is None from then on.

    Args:
        secret, keys: What `Agreed.seal` gave.
        pad_octets: To a multiple of what texts are padded.
    """

    def __init__(self, secret: Secret, keys: Keys, pad_octets: int = 1) -> None:
        self.secret: Secret | None = secret
        self._sealer = Sealer(keys.requests, Direction.REQUESTS, keys.session, pad_octets)
        self._opener = Opener(keys.answers, Direction.ANSWERS, keys.session)
        self._prover = Prover(keys)
        self._ran = 0

    def seal(self, kind: str, seq: int, text: bytes) -> bytes:
        """
        Return the box of a request; for a copy the same octets.

        Raises:
            SealError: If the number was used for something else.
        """
        return self._sealer.seal(kind, seq, text, self._ran)

    def open(self, kind: str, seq: int, box: bytes) -> bytes:
        """
        Return the text of an answer.

        Raises:
            SealError: If the card host has not said that to this request.
        """
        text = self._opener.open(kind, seq, box).text
        self.secret = None
        return text

    def settled(self, seq: int) -> None:
        """Note that a program was told that a request has run, or may have."""
        self._ran = max(self._ran, seq)

    def prove(self, claim: Claim) -> Proof:
        """Return the proof that goes with `resume`."""
        return self._prover.prove(claim)

    def resumed(self, seq: int, taken: int, word: bytes) -> bool:
        """Return whether the card host has said that to the last proof; see `Prover`."""
        return self._heard(self._prover.resumed(seq, taken, word))

    def refused(self, seq: int, word: bytes) -> bool:
        """Return whether the card host has said that a request is not begun; see `Prover`."""
        return self._heard(self._prover.refused(seq, word))

    def ended(self, taken: int, word: bytes) -> bool:
        """Return whether the card host has said how the session ended; see `Prover`."""
        return self._heard(self._prover.ended(taken, word))

    def _heard(self, certain: bool) -> bool:
        if certain:
            self.secret = None
        return certain


class CardSeal:
    """
    The card host's end of a sealed session.

    Args:
        offered: What `Host.offer` gave.
        pad_octets: To a multiple of what texts are padded.
    """

    def __init__(self, offered: Offered, pad_octets: int = 1) -> None:
        self._offered = offered
        self._pad_octets = pad_octets
        self._keyed: _Keyed | None = None

    @property
    def offer(self) -> Offer:
        """The offer, for the user."""
        return self._offered.offer

    @property
    def user(self) -> Signer | None:
        """Who has proved to be the user, if anybody has."""
        return self._offered.user

    def open(self, kind: str, seq: int, box: bytes, taken: int) -> bytes:
        """
        Return the text of a request; `accept` is called before, where it has a secret.

        Args:
            kind: Its `msg_type`.
            seq: Its number.
            box: What came.
            taken: Number of the request that was taken in hand last.

        Raises:
            SealError: If the user has not said that, or was told of an earlier request that it had
                not run; then nothing is to be begun.
        """
        keyed = self._keyed or self._keys()
        opened = keyed.opener.open(kind, seq, box)
        if taken > opened.ran and seq > taken:
            check_order(seq, opened.ran, taken)
        return opened.text

    def seal(self, kind: str, seq: int, text: bytes) -> bytes:
        """
        Return the box of the answer to a request; for a copy the same octets.

        Raises:
            SealError: If the number was used for another answer.
        """
        keyed = self._keyed or self._keys()
        return keyed.sealer.seal(kind, seq, text)

    def accept(self, secret: Secret, now: datetime) -> None:
        """
        Take the secret that came with a request or with `resume`.

        Raises:
            SealError: See `Offered.accept`.
        """
        keys = self._offered.accept(secret, now)
        self._keyed = self._keyed or _Keyed(keys, self._pad_octets)

    def check(self, claim: Claim, proof: Proof) -> None:
        """
        Check the proof of a `resume`.

        Raises:
            SealError: If the session is not resumed by it.
        """
        if self._keyed is None:
            raise SealError(Fault.PROOF, _NOT_YET)
        self._keyed.verifier.check(claim, proof)

    def lost(self) -> None:
        """Note that the server is lost; see `Verifier`."""
        if self._keyed is not None:
            self._keyed.verifier.lost()

    def resumed(self, seq: int, taken: int) -> bytes:
        """Return the word that goes with `resumed`, after `check`."""
        return self._keys().verifier.resumed(seq, taken)

    def refused(self, seq: int) -> bytes:
        """Return the word that a request is not begun; empty where nobody could tell it is ours."""
        return b"" if self._keyed is None else self._keyed.verifier.refused(seq)

    def ended(self, taken: int) -> bytes:
        """Return the word that the session is over; empty where nobody could tell it is ours."""
        return b"" if self._keyed is None else self._keyed.verifier.ended(taken)

    def late(self) -> "LateSeal":
        """Return what is left of the session once it is over."""
        return LateSeal(self._offered, None if self._keyed is None else self._keyed.verifier)

    def _keys(self) -> "_Keyed":
        if self._keyed is None:
            raise SealError(Fault.SECRET, _NOT_YET)
        return self._keyed


class LateSeal:
    """
    What a card host keeps of a session that is over, to tell its user from others.

    It has no key of a box: what was said in the session stays sealed. Of a session whose user was
    never heard it has the one-time key, until the secret comes with a proof.
    """

    def __init__(self, offered: Offered, verifier: Verifier | None) -> None:
        self._secret = offered.taken
        self._verifier = verifier
        self._offered = None if verifier is not None else offered

    @property
    def was_heard(self) -> bool:
        """Whether the secret came, before the session was over or since."""
        return self._verifier is not None

    def accept(self, secret: Secret, now: datetime) -> None:
        """
        Take the secret that came with `resume`, or a copy of it.

        Raises:
            SealError: If it is another than came before; see `Offered.accept`.
        """
        if self._offered is not None:
            offered, self._offered = self._offered, None
            self._verifier = Verifier(
                offered.accept(secret, now)._replace(requests=b"", answers=b"")
            )
            self._secret = secret
        elif secret != self._secret:
            raise SealError(Fault.SECRET, "Another secret came for a session that is over.")

    def check(self, claim: Claim, proof: Proof) -> None:
        """
        Check the proof of a `resume`.

        Raises:
            SealError: If it is not that of the user.
        """
        if self._verifier is None:
            raise SealError(Fault.PROOF, _NOT_YET)
        self._verifier.check(claim, proof)

    def ended(self, taken: int) -> bytes:
        """Return the word that the session is over; empty where nobody could tell it is ours."""
        return b"" if self._verifier is None else self._verifier.ended(taken)


class _Keyed:
    """What a card host has once it has the keys."""

    def __init__(self, keys: Keys, pad_octets: int) -> None:
        self.sealer = Sealer(keys.answers, Direction.ANSWERS, keys.session, pad_octets)
        self.opener = Opener(keys.requests, Direction.REQUESTS, keys.session)
        self.verifier = Verifier(keys._replace(requests=b"", answers=b""))
