# SPDX-License-Identifier: Apache-2.0
"""
Every exception that WSRC raises on purpose, and its code on the wire.

    WsrcError
    ├── ProtocolError                 a message broke docs/protocol.md
    │   ├── LocalProtocolError        we were about to: a bug in the caller
    │   └── RemoteProtocolError       the peer did
    ├── RefusedError                  the server or the card client said no
    │   ├── NoSuchCardError
    │   ├── AmbiguousCardError        (candidates)
    │   ├── CardBusyError             (holder, since, until)
    │   └── GuardedError              (sw)
    ├── CardError                     the card or the reader
    │   ├── CardNotPresentError
    │   ├── CardUnresponsiveError
    │   ├── CardTransmissionError
    │   ├── CardWasResetError
    │   ├── ReaderUnavailableError
    │   └── ReaderInUseError
    ├── BadApduError                  octets that are no command APDU
    ├── BadHexError                   text that is no octets
    ├── ConnectionLostError
    ├── SessionError
    │   ├── SessionLostError          it is over, and nothing was executed: open a new one
    │   ├── NotExecutedError          it provably never reached the card: safe to repeat
    │   └── OutcomeUnknownError       it may have run: never repeated by WSRC
    └── ConfigError                   a setting that cannot work

A class stores facts; `__str__` makes the sentence. `codec.UnreadableError` and
`user_client.script.ScriptError` stand where they are raised, for nobody else has a use for them;
`sealing.faults.SealError`, a RefusedError, stands with the words for its reasons.
"""

from wsrc.words import OpenWord, Word

# Longer than the aim: the codes of the protocol are one list, with what each means.


class ErrorCode(OpenWord):
    """Why a request was not answered with its result; stable, on the wire."""

    BAD_MESSAGE = (
        "bad_message",
        (
            "A message breaks the protocol: no `id`, too many commands in a batch, a pattern "
            "that is no status word, a number that was used; where it is not JSON, or a field is "
            "missing or of another type, the connection is closed with 1002"
        ),
    )
    BAD_HEX = "bad_hex", "Octets are not pairs of hexadecimal digits"
    BAD_APDU = "bad_apdu", "Octets are no command APDU"
    UNKNOWN_MESSAGE = "unknown_message", "There is no such `msg_type` in this version"
    UNEXPECTED_MESSAGE = "unexpected_message", "The message is known, but has no place here or now"
    NOT_SUPPORTED = (
        "not_supported",
        "The peer cannot do that, or does not know a word of the request",
    )
    TOO_MANY = (
        "too_many",
        "A limit of the server or of the card client is reached; of `resume`, ask again later",
    )
    HELLO_TIMEOUT = (
        "hello_timeout",
        "No `hello`, or no first-form card identified, in time; the connection is closed with 1008",
    )
    NOTHING_SELECTED = (
        "nothing_selected",
        "A selection without a condition, or a command without a session",
    )
    FORBIDDEN = (
        "forbidden",
        (
            "The policy of the server does not allow that to whoever asks; or no longer, of a "
            "session that ends"
        ),
    )
    NO_SUCH_CARD = "no_such_card", "No card that is there matches"
    AMBIGUOUS = "ambiguous", "Several cards match; `candidates` has some"
    CARD_BUSY = "card_busy", "Another user holds the card; `lease` says who"
    NO_SUCH_SESSION = "no_such_session", "The session is over, or was never this connection's"
    RESUMED_ELSEWHERE = (
        "resumed_elsewhere",
        "The session was resumed on another connection with its secret",
    )
    CONNECTION_LOST = (
        "connection_lost",
        "The connection to the server is lost; said by clients to programs, never on the wire",
    )
    NOT_KEPT = (
        "not_kept",
        "The server could not write what it was to keep; `message` says what holds for now, if any",
    )
    REQUEST_IN_FLIGHT = "request_in_flight", "The request before this one is not answered yet"
    CANCELLED = "cancelled", "The request was given up with `cancel`"
    LEASE_EXPIRED = (
        "lease_expired",
        "Taken back: not used for `lease_idle_s`, or its user was out of reach for `keep_s`",
    )
    REVOKED = "revoked", "Taken back by who may; `message` says who did, and why"
    RESERVED = "reserved", "The card is reserved for another at that time, or until then"
    NO_SUCH_RESERVATION = (
        "no_such_reservation",
        "No reservation is known by that number or token, or it is another's, or over",
    )
    DRAINING = "draining", "The card host is drained: no session begins on its cards for now"
    NO_SUCH_PEER = "no_such_peer", "No connection, card host or ban is known by that"
    SHUTTING_DOWN = "shutting_down", "The server is stopping"
    CARD_NOT_PRESENT = "card_not_present", "The card was taken out"
    CARD_UNRESPONSIVE = "card_unresponsive", "The card gives no ATR, or did not answer in time"
    CARD_TRANSMISSION_ERROR = (
        "card_transmission_error",
        "The reader reports that the exchange failed",
    )
    READER_UNAVAILABLE = (
        "reader_unavailable",
        "The reader was unplugged, or its PC/SC service stopped",
    )
    READER_IN_USE = "reader_in_use", "Another program on the card host holds the card"
    PROTOCOL_MISMATCH = (
        "protocol_mismatch",
        "The card has none of the protocols, or another is in force and no reset was asked for",
    )
    CARD_WAS_RESET = (
        "card_was_reset",
        (
            "Another user reset a shared card, or a transaction was open too long; `reconnect` or "
            "`reset_req` goes on"
        ),
    )
    GUARDED = (
        "guarded",
        "A rule of the card host, named by `message`, kept it from the card, which has not run it",
    )
    NOT_TRANSACTED = "not_transacted", "The session has no transaction that could end"
    CARD_CLIENT_GONE = (
        "card_client_gone",
        "The card client lost its connection to the server, or said goodbye",
    )
    COMMAND_TIMEOUT = "command_timeout", "The card client did not answer within `command_s`"
    SEAL_REQUIRED = (
        "seal_required",
        "One end wants the session sealed, and the other has not said so",
    )
    SEAL_SUITE = "seal_suite", "The two ends have no suite in common, or one is not known"
    SEAL_TERMS = (
        "seal_terms",
        "What is signed is not what was asked: the relay may have changed it",
    )
    SEAL_HOST = (
        "seal_host",
        "The card host's signature or certificate is not good, or not for this card",
    )
    SEAL_HOST_CHANGED = "seal_host_changed", "The card host has another key than it had before"
    SEAL_USER = "seal_user", "The user's signature or certificate is not good, or missing"
    SEAL_KEY = "seal_key", "A public key is none, or one whose secret everybody knows"
    SEAL_SECRET = "seal_secret", "The secret does not open, or another came for the same key"
    SEAL_BOX = (
        "seal_box",
        "A sealed message was changed, or belongs to another number or session",
    )
    SEAL_NUMBER = "seal_number", "A number was to be sealed again with something else"
    SEAL_PROOF = "seal_proof", "The proof that resumes a session is not good, or was used"
    SEAL_ORDER = "seal_order", "A request has run of which the user was told that it had not"
    INTERNAL = "internal", "A bug; please report it with the log of the program"

    @property
    def pcsc(self) -> str:
        """The PC/SC error that a program would be given for this code."""
        if not self.known:
            return _PCSC[ErrorCode.INTERNAL]
        return _PCSC.get(self, "SCARD_E_INVALID_PARAMETER")


_PCSC: dict[ErrorCode, str] = {
    ErrorCode.NOT_SUPPORTED: "SCARD_E_UNSUPPORTED_FEATURE",
    ErrorCode.TOO_MANY: "SCARD_E_SERVER_TOO_BUSY",
    ErrorCode.HELLO_TIMEOUT: "SCARD_E_TIMEOUT",
    ErrorCode.NOTHING_SELECTED: "SCARD_E_INVALID_HANDLE",
    ErrorCode.FORBIDDEN: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.NO_SUCH_CARD: "SCARD_E_UNKNOWN_READER",
    ErrorCode.AMBIGUOUS: "SCARD_E_INVALID_VALUE",
    ErrorCode.CARD_BUSY: "SCARD_E_SHARING_VIOLATION",
    ErrorCode.NO_SUCH_SESSION: "SCARD_E_INVALID_HANDLE",
    ErrorCode.RESUMED_ELSEWHERE: "SCARD_E_INVALID_HANDLE",
    ErrorCode.CONNECTION_LOST: "SCARD_E_NO_SERVICE",
    ErrorCode.REQUEST_IN_FLIGHT: "SCARD_E_NOT_READY",
    ErrorCode.CANCELLED: "SCARD_E_CANCELLED",
    ErrorCode.LEASE_EXPIRED: "SCARD_W_RESET_CARD",
    ErrorCode.REVOKED: "SCARD_W_RESET_CARD",
    ErrorCode.RESERVED: "SCARD_E_SHARING_VIOLATION",
    ErrorCode.NO_SUCH_RESERVATION: "SCARD_E_INVALID_HANDLE",
    ErrorCode.DRAINING: "SCARD_E_SHARING_VIOLATION",
    ErrorCode.SHUTTING_DOWN: "SCARD_E_SERVICE_STOPPED",
    ErrorCode.CARD_NOT_PRESENT: "SCARD_W_REMOVED_CARD",
    ErrorCode.CARD_UNRESPONSIVE: "SCARD_W_UNRESPONSIVE_CARD",
    ErrorCode.CARD_TRANSMISSION_ERROR: "SCARD_E_NOT_TRANSACTED",
    ErrorCode.READER_UNAVAILABLE: "SCARD_E_READER_UNAVAILABLE",
    ErrorCode.READER_IN_USE: "SCARD_E_SHARING_VIOLATION",
    ErrorCode.PROTOCOL_MISMATCH: "SCARD_E_PROTO_MISMATCH",
    ErrorCode.CARD_WAS_RESET: "SCARD_W_RESET_CARD",
    ErrorCode.GUARDED: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.NOT_KEPT: "SCARD_F_INTERNAL_ERROR",
    ErrorCode.NOT_TRANSACTED: "SCARD_E_NOT_TRANSACTED",
    ErrorCode.CARD_CLIENT_GONE: "SCARD_E_READER_UNAVAILABLE",
    ErrorCode.COMMAND_TIMEOUT: "SCARD_E_COMM_DATA_LOST",
    ErrorCode.INTERNAL: "SCARD_F_INTERNAL_ERROR",
    ErrorCode.SEAL_REQUIRED: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.SEAL_SUITE: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.SEAL_TERMS: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.SEAL_HOST: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.SEAL_HOST_CHANGED: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.SEAL_USER: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.SEAL_KEY: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.SEAL_SECRET: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.SEAL_BOX: "SCARD_E_COMM_DATA_LOST",
    ErrorCode.SEAL_NUMBER: "SCARD_E_COMM_DATA_LOST",
    ErrorCode.SEAL_PROOF: "SCARD_W_SECURITY_VIOLATION",
    ErrorCode.SEAL_ORDER: "SCARD_W_SECURITY_VIOLATION",
}


class Outcome(Word):
    """What is known of a command that was not answered by the card."""

    NOT_EXECUTED = (
        "not_executed",
        "The command provably never reached the card: it is safe to repeat it",
    )
    UNKNOWN = "unknown", "The card may or may not have run it: look before you repeat it"

    @classmethod
    def _missing_(cls, value: object) -> "Outcome | None":
        """Read a word of a later version as what promises nothing."""
        return cls.UNKNOWN if isinstance(value, str) else None


class WsrcError(Exception):
    """
    Base of every error that WSRC raises on purpose.

    `retry_after_s` is when it may be otherwise, where whoever refused has said so.
    """

    code: ErrorCode = ErrorCode.INTERNAL
    retry_after_s: float | None = None


class ProtocolError(WsrcError):
    """A message broke docs/protocol.md."""

    code = ErrorCode.BAD_MESSAGE


class LocalProtocolError(ProtocolError):
    """We were about to break the protocol: a bug in the caller."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; its connection is closed with `close_code`."""

    def __init__(self, sentence: str, close_code: int = 1002) -> None:
        super().__init__(sentence)
        self.close_code = close_code


class RefusedError(WsrcError):
    """The server or the card client said no; nothing was done."""

    def __init__(self, code: ErrorCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class NoSuchCardError(RefusedError):
    """No card that is connected now matches the selection."""

    def __init__(self, sentence: str) -> None:
        super().__init__(ErrorCode.NO_SUCH_CARD, sentence)


class AmbiguousCardError(RefusedError):
    """More than one card matches the selection; `candidates` describes some of them."""

    def __init__(self, sentence: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(ErrorCode.AMBIGUOUS, sentence)
        self.candidates = candidates


class CardBusyError(RefusedError):
    """Another user holds the card; `since` and `until` are RFC 3339 times in UTC."""

    def __init__(
        self, sentence: str, holder: str = "", since: str = "", until: str | None = None
    ) -> None:
        super().__init__(ErrorCode.CARD_BUSY, sentence)
        self.holder = holder
        self.since = since
        self.until = until


class GuardedError(RefusedError):
    """
    The card host keeps a command from its card, which has not run it.

    `sw` is the status word with which it is answered instead, four digits; None for an error.
    """

    def __init__(self, sentence: str, sw: str | None = None) -> None:
        super().__init__(ErrorCode.GUARDED, sentence)
        self.sw = sw


class CardError(WsrcError):
    """The card or the reader failed; `outcome` says what is known of the command."""

    code = ErrorCode.CARD_TRANSMISSION_ERROR

    def __init__(self, sentence: str, outcome: Outcome = Outcome.UNKNOWN) -> None:
        super().__init__(sentence)
        self.outcome = outcome


class CardNotPresentError(CardError):
    """The card was taken out of the reader."""

    code = ErrorCode.CARD_NOT_PRESENT


class CardUnresponsiveError(CardError):
    """The card gives no ATR, or did not answer in time."""

    code = ErrorCode.CARD_UNRESPONSIVE


class CardTransmissionError(CardError):
    """The reader reports that the exchange with the card failed."""

    code = ErrorCode.CARD_TRANSMISSION_ERROR


class CardWasResetError(CardError):
    """Another user reset a card that is shared; nothing was sent, reconnect to go on."""

    code = ErrorCode.CARD_WAS_RESET


class ReaderUnavailableError(CardError):
    """The reader was unplugged, or the PC/SC service of its host stopped."""

    code = ErrorCode.READER_UNAVAILABLE


class ReaderInUseError(CardError):
    """Another program on the card host holds the reader."""

    code = ErrorCode.READER_IN_USE


class BadApduError(WsrcError):
    """Octets that are no command APDU of ISO/IEC 7816-3 clause 12.1."""

    code = ErrorCode.BAD_APDU


class BadHexError(WsrcError):
    """Text that is not pairs of hexadecimal digits."""

    code = ErrorCode.BAD_HEX


class ConnectionLostError(WsrcError):
    """The connection to the server could not be made, or broke."""

    code = ErrorCode.CONNECTION_LOST


class SessionError(WsrcError):
    """A session with a card ended."""

    code = ErrorCode.NO_SUCH_SESSION

    def __init__(self, sentence: str, code: ErrorCode = ErrorCode.NO_SUCH_SESSION) -> None:
        super().__init__(sentence)
        self.code = code


class SessionLostError(SessionError):
    """The session ended before the command reached the card; select the card again."""


class NotExecutedError(SessionError):
    """The command provably never reached the card; it is safe to repeat."""


class OutcomeUnknownError(SessionError):
    """The command may have run on the card; WSRC never repeats it."""

    def __init__(self, sentence: str, code: ErrorCode = ErrorCode.COMMAND_TIMEOUT) -> None:
        super().__init__(sentence, code)


class ConfigError(WsrcError):
    """A setting that cannot work; programs end with exit status 2 and this sentence."""

    def __init__(self, setting: str, sentence: str) -> None:
        super().__init__(f"{setting}: {sentence}")
        self.setting = setting


def in_doubt(exc: WsrcError) -> bool:
    """Return whether the card may have run the command that ended with an error."""
    if isinstance(exc, CardError):
        return exc.outcome is Outcome.UNKNOWN
    return isinstance(exc, OutcomeUnknownError)
