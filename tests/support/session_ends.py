# SPDX-License-Identifier: Apache-2.0
"""Both ends of a session at some point of its life, and what goes to and fro between them."""

from wsrc.errors import (
    ErrorCode,
    Outcome,
    SessionError,
)
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.session import CardEnd, Send, Settled, State, UserEnd

SECRET = "0123456789abcdef" * 4
KEEP_S = 60.0


def request(seq: int | None = None, command: bytes = b"\x00\xa4\x00\x00") -> m.CApdu:
    return m.CApdu(session="s", seq=seq, command=Octets(command))


def answer(seq: int | None = None, sw: str = "9000") -> m.RApdu:
    return m.RApdu(session="s", seq=seq, response=Octets(), sw=sw)


def resume(seq: int = 0, secret: str = SECRET, session: str = "s", owner: str = "") -> m.Resume:
    return m.Resume(id=7, session=session, secret=secret, seq=seq, owner=owner)


def over(seq: int | None, kept: m.Answer | None = None) -> m.SessionEnded:
    code = ErrorCode.CARD_NOT_PRESENT
    return m.SessionEnded(session="s", code=code, message="It was pulled.", seq=seq, answer=kept)


def refusal(code: ErrorCode = ErrorCode.SHUTTING_DOWN) -> m.Error:
    return m.error(code, "Not now.", outcome=Outcome.NOT_EXECUTED)


def card_end(*, taken: int = 0, kept: m.Answer | None = None, owner: str = "") -> CardEnd:
    end = CardEnd("s", SECRET, KEEP_S, owner=owner)
    if taken:
        end.receive(request(taken))
    if kept is not None:
        end.answered(kept)
    return end


def user_end(*, asked: bool = False, state: State = State.LIVE, keep_s: float = KEEP_S) -> UserEnd:
    end = UserEnd("s", SECRET, keep_s, "host", "reader")
    if asked:
        end.ask(request())
    if state is not State.LIVE:
        end.disconnected(100.0)
    if state is State.RESUMING:
        end.connected()
    return end


def settled(effects: object) -> m.Answer | SessionError:
    """Return what the open request is settled with, which is all that happens."""
    match effects:
        case (Settled(answer=told),):
            return told
        case _:
            raise AssertionError(effects)


def sent(effects: object) -> m.Forwarded | m.Resume | m.Detach:
    """Return what is sent, which is all that happens."""
    match effects:
        case (Send(message=message),):
            return message
        case _:
            raise AssertionError(effects)
