# SPDX-License-Identifier: Apache-2.0
"""Which commands read what has a name: a generator of APDUs, without I/O; no counter changes."""

from collections.abc import Generator, Sequence
from typing import Any, Final, NamedTuple, TypeGuard

from wsrc.card import tlv
from wsrc.card.apdu import Command, Response, describe_sw, on_channel
from wsrc.card.contents import fcp
from wsrc.card.contents.catalogue import (
    CATALOGUE,
    GSM,
    MF,
    TELECOM,
    USIM,
    Es10,
    Pins,
    Records,
    Transparent,
)
from wsrc.card.identify import ISD_R_AIDS
from wsrc.card.identity import eid_from_response

MAX_FILE_OCTETS: Final = 8_192
"""Octets of a file that are read; no file of the catalogue comes near."""

MAX_RECORDS: Final = 254

MAX_BLOCKS: Final = 64
"""Responses of an ISD-R that are put together, of 256 octets each."""

_USIM_AID: Final = bytes.fromhex("a0000000871002")
_DIR: Final = 0x2F00
_GET_EID: Final = bytes.fromhex("bf3e035c015a")
_PART: Final = 0xF0
"""Octets of one READ BINARY, fewer than what any reader carries."""

_NOT_THERE: Final = frozenset({0x6A82, 0x6A83, 0x6A88, 0x9404, 0x9402, 0x6A81, 0x6D00, 0x6E00})
_CONDITION: Final = frozenset({0x6982, 0x9804})

_Ask = Generator[Command, Response, Response]


class Reading(NamedTuple):
    """
    What was read for a name.

    Args:
        value: JSON values; None where nothing is stored, or it was not read.
        raw: The octets: of a file, of each of its records, of each answer.
        sw: Status word with which the card refused; None where it was read.
        why: Why there is no value, as a sentence; empty where it was read.
        there: Whether the card has it at all.
    """

    value: Any
    raw: tuple[bytes, ...] = ()
    sw: int | None = None
    why: str = ""
    there: bool = True


Readings = Generator[Command, Response, dict[str, Reading]]


class _RefusedError(Exception):
    """The card refused with a status word."""

    def __init__(self, sw: int) -> None:
        self.sw = sw


def read(names: Sequence[str], eids: Sequence[str] = ()) -> Readings:
    """
    Ask a card for what has a name in the catalogue.

    Commands are SELECT, READ BINARY, READ RECORD, MANAGE CHANNEL, VERIFY and UNBLOCK without data,
    and questions to an ISD-R. They go on a supplementary logical channel, which is closed at the
    end, where the card opens one; else on the basic one. A card that refuses class 00 is asked in
    class A0 (3GPP TS 51.011).

    Args:
        names: Keys of the catalogue; the result has them in this order.
        eids: Those that the card is known to have; once all are found, no further ISD-R is.
    """
    asking = _Asking(eids)
    yield from asking.begin()
    found: dict[str, Reading] = {}
    for name in sorted(set(names), key=_place):
        found[name] = yield from asking.about(name)
    yield from asking.end()
    return {name: found[name] for name in names}


def _place(name: str) -> tuple[int, bytes]:
    """Put names together whose files are in one directory, and the ISD-R last."""
    source = CATALOGUE[name].source
    if isinstance(source, Es10):
        return 2, b""
    return (1, b"") if isinstance(source, Pins) else (0, source.directory + (source.sim or b""))


class _Asking:
    """Where on the card we are."""

    def __init__(self, eids: Sequence[str]) -> None:
        self._eids = set(eids)
        self._channel = 0
        self._gsm = False
        self._at = b""
        self._usim: bytes | None = None
        self._isd_rs: list[bytes] | None = None

    def begin(self) -> Generator[Command, Response, None]:
        opened = yield Command(0x00, 0x70, 0, 0, ne=1)
        if opened.sw == 0x9000 and len(opened.data) == 1 and 1 <= opened.data[0] <= 19:
            self._channel = opened.data[0]
        selected = yield from self._select(MF)
        if selected.sw in {0x6E00, 0x6D00} and not self._channel:
            self._gsm = True
        elif _usable(selected):
            self._at = MF

    def end(self) -> Generator[Command, Response, None]:
        if self._channel:
            yield Command(0x00, 0x70, 0x80, self._channel)

    def about(self, name: str) -> Generator[Command, Response, Reading]:
        source = CATALOGUE[name].source
        raw: tuple[bytes, ...] = ()
        try:
            match source:
                case Pins():
                    return Reading((yield from self._pins()))
                case Es10():
                    return (yield from self._es10(source))
                case Transparent():
                    raw = ((yield from self._transparent(source)),)
                case Records():
                    raw = yield from self._records(source)
            return Reading(_value(source, raw, gsm=self._gsm), raw)
        except _RefusedError as refused:
            return _absent(refused.sw)
        except (ValueError, IndexError) as exc:
            said = str(exc) if isinstance(exc, ValueError) else "it is too short"
            return Reading(None, raw, why=f"What is stored is not as the standard says: {said}.")

    def _transparent(self, source: Transparent) -> Generator[Command, Response, bytes]:
        file = yield from self._open(source)
        return (yield from self._binary(file))

    def _records(self, source: Records) -> Generator[Command, Response, tuple[bytes, ...]]:
        file = yield from self._open(source)
        if self._gsm and source.decode_sim is not None:
            return ((yield from self._binary(file)),)
        octets = file.record_octets if file is not None else 0
        last = min(file.records, MAX_RECORDS) if file is not None else MAX_RECORDS
        records: list[bytes] = []
        for number in range(1, last + 1):
            answer = yield from self._sized(Command(self._cla, 0xB2, number, 4, ne=octets or 256))
            if answer.sw in {0x6A83, 0x9402} and records:
                break
            _require(answer)
            octets = len(answer.data)
            records.append(answer.data)
        return tuple(records)

    def _binary(self, file: fcp.File | None) -> Generator[Command, Response, bytes]:
        size = min(file.octets, MAX_FILE_OCTETS) if file is not None else 0
        data = b""
        while not size or len(data) < size:
            wanted = min(size - len(data), _PART) if size else 256
            at = len(data)
            answer = yield from self._sized(Command(self._cla, 0xB0, at >> 8, at & 0xFF, ne=wanted))
            _require(answer)
            data += answer.data
            if not size or not answer.data:
                break
        return data

    def _sized(self, command: Command) -> _Ask:
        """Ask again where the card says how much there is (ETSI TS 102 221 clause 7.3.1.1.5.2)."""
        answer = yield command
        if answer.sw >> 8 in {0x6C, 0x67} and answer.sw & 0xFF:
            answer = yield command._replace(ne=answer.sw & 0xFF)
        return answer

    def _open(self, source: Transparent | Records) -> Generator[Command, Response, fcp.File | None]:
        """Select a file; return what the card says of it, None where it says nothing."""
        directory = source.sim if self._gsm else source.directory
        if directory is None:
            raise _RefusedError(0x6A82)
        yield from self._enter(directory)
        selected = _require((yield from self._select(source.file_id.to_bytes(2))))
        return fcp.file_of_gsm(selected.data) if self._gsm else fcp.file_of(selected.data)

    def _enter(self, directory: bytes) -> Generator[Command, Response, bytes]:
        """Select a directory; return what the card says of it, empty where we are there already."""
        if self._at == directory:
            return b""
        self._at = b""
        if directory == USIM:
            aid = yield from self._usim_aid()
            selected = yield Command(self._cla, 0xA4, 4, 4, aid, ne=256)
        else:
            selected = yield from self._select(MF)
            if directory in {GSM, TELECOM}:
                _require(selected)
                selected = yield from self._select(directory)
        data = _require(selected).data
        self._at = directory
        return data

    def _usim_aid(self) -> Generator[Command, Response, bytes]:
        """Return the AID of EF.DIR, else its beginning, by which cards select it as well."""
        if self._usim is None:
            self._usim = _USIM_AID
            try:
                records = yield from self._records(Records(MF, _DIR, list))
            except _RefusedError:
                records = ()
            self._at = b""
            for record in records:
                aid = tlv.find(record.rstrip(b"\xff"), 0x61, 0x4F)
                if aid is not None and aid.startswith(_USIM_AID):
                    self._usim = aid
                    break
        return self._usim

    def _pins(self) -> Generator[Command, Response, list[dict[str, Any]]]:
        self._at = b""
        described = yield from self._enter(MF)
        if self._gsm:
            return _pins_of_gsm(described)
        status = fcp.pins_of(described)
        try:
            self._at = b""
            status += fcp.pins_of((yield from self._enter(USIM)))
        except _RefusedError:
            pass
        found: dict[int, dict[str, Any]] = {}
        for each in status:
            if each.reference not in found:
                found[each.reference] = yield from self._pin(each)
        return list(found.values())

    def _pin(self, status: fcp.PinStatus) -> Generator[Command, Response, dict[str, Any]]:
        """Ask without data, which takes no try (TS 102 221 clauses 11.1.9.1.2, 11.1.13.1.2)."""
        asked = yield Command(self._cla, 0x20, 0, status.reference)
        unblock = yield Command(self._cla, 0x2C, 0, status.reference)
        return {
            "reference": f"{status.reference:02X}",
            "name": fcp.key_name(status.reference),
            "enabled": status.enabled,
            "verified": asked.sw == 0x9000 if status.enabled else None,
            "tries": _tries(asked.sw),
            "unblock_tries": _tries(unblock.sw),
        }

    def _es10(self, source: Es10) -> Generator[Command, Response, Reading]:
        if self._isd_rs is None:
            yield from self._find_isd_rs()
        assert self._isd_rs is not None
        if not self._isd_rs:
            return _absent(0x6A82)
        values: list[Any] = []
        raw: list[bytes] = []
        refused, wrong = 0, ""
        for aid in self._isd_rs:
            answer = yield from self._stored(aid, source.request)
            if not answer.ok:
                refused = answer.sw
                continue
            raw.append(answer.data)
            try:
                value = source.decode(answer.data)
            except ValueError as exc:
                wrong = f"The ISD-R does not answer as the standard says: {exc}."
                continue
            values += _of(aid, value)
        if raw and (values or not wrong):
            return Reading(values or None, tuple(raw))
        return Reading(None, tuple(raw), why=wrong) if wrong else _absent(refused)

    def _find_isd_rs(self) -> Generator[Command, Response, None]:
        """Find each ISD-R once: some cards have one under several AIDs."""
        self._isd_rs, found = [], set[str]()
        for aid in () if self._gsm else ISD_R_AIDS:
            answer = yield from self._stored(aid, _GET_EID)
            eid = eid_from_response(answer.data) if answer.ok else None
            if eid is not None and eid not in found:
                found.add(eid)
                self._isd_rs.append(aid)
            if found and self._eids == found:
                return

    def _stored(self, aid: bytes, request: bytes) -> _Ask:
        """Ask an ISD-R (SGP.22 clause 5.7.2), selecting it first where it is not."""
        if self._at != aid:
            self._at = b""
            selected = yield Command(self._cla, 0xA4, 4, 0, aid, ne=256)
            if not _usable(selected):
                return selected
            self._at = aid
        cla = on_channel(0x80, self._channel)
        answer = yield Command(cla, 0xE2, 0x91, 0, request, ne=256)
        data = answer.data
        for _ in range(MAX_BLOCKS):
            if answer.sw >> 8 != 0x61:
                break
            answer = yield Command(self._cla, 0xC0, 0, 0, ne=answer.sw & 0xFF or 256)
            data += answer.data
        return Response(data, answer.sw)

    def _select(self, file_id: bytes) -> _Ask:
        p2 = 0 if self._gsm else 4
        selected = yield Command(self._cla, 0xA4, 0, p2, file_id, ne=256)
        return selected

    @property
    def _cla(self) -> int:
        return 0xA0 if self._gsm else on_channel(0x00, self._channel)


def _value(source: Transparent | Records, raw: tuple[bytes, ...], *, gsm: bool) -> Any:
    if isinstance(source, Transparent):
        return source.decode(raw[0])
    if gsm and source.decode_sim is not None:
        return source.decode_sim(raw[0])
    return source.decode(raw)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _of(aid: bytes, value: Any) -> list[Any]:
    """Return what an ISD-R says as a list, in which objects say whose they are."""
    values = value if _is_list(value) else [value]
    return [{"isd_r": aid.hex(), **each} if isinstance(each, dict) else each for each in values]


def _pins_of_gsm(answer: bytes) -> list[dict[str, Any]]:
    """Return what SELECT of a directory of a SIM says of its CHVs (TS 51.011 clause 9.2.1)."""
    if len(answer) < 22:
        return []
    return [
        {
            "reference": f"{number:02X}",
            "name": f"CHV{number}",
            "enabled": not answer[13] & 0x80 if number == 1 else True,
            "verified": None,
            "tries": state & 0x0F,
            "unblock_tries": unblock & 0x0F if unblock & 0x80 else None,
        }
        for number, state, unblock in ((1, *answer[18:20]), (2, *answer[20:22]))
        if state & 0x80
    ]


def _tries(sw: int) -> int | None:
    if sw & 0xFFF0 == 0x63C0:
        return sw & 0xF
    return 0 if sw == 0x6983 else None


def _usable(answer: Response) -> bool:
    return answer.ok or answer.sw >> 8 in {0x62, 0x63}


def _require(answer: Response) -> Response:
    if not _usable(answer):
        raise _RefusedError(answer.sw)
    return answer


def _absent(sw: int) -> Reading:
    if sw in _NOT_THERE:
        return Reading(None, sw=sw, why="The card does not have it.", there=False)
    if sw in _CONDITION:
        return Reading(None, sw=sw, why="The card asks for a PIN or a key first.")
    return Reading(None, sw=sw, why=f"The card refuses: {sw:04X}, {describe_sw(sw)}.")
