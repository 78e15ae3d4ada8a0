# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.shared_values and shared_mirror: sealed, and by the rules that many writers need."""

import msgspec
import pytest

from wsrc.cluster.bucket import Entry
from wsrc.protocol.messages import ClientType
from wsrc.relay.effects import Book
from wsrc.relay.kept import Kept
from wsrc.relay.reservations import GRACE_S, Booking, Numbering
from wsrc.server.shared_mirror import Mirror
from wsrc.server.shared_values import (
    CARD,
    MOST_OF_CARD,
    NOTE,
    CardValue,
    NoteValue,
    Placed,
    TokenValue,
    UnreadableError,
    Value,
    Vault,
    booked,
)

NOW = 1_800_000_000.0
ONE, TWO = "iccid 1", "iccid 2"
NONCE = bytes(12)
TOKEN = TokenValue(1, b"h" * 32, "ida", ClientType.USER, NOW)


@pytest.fixture
def vault() -> Vault:
    return Vault(b"secret" * 8, "wsrc-c")


def booking(number: int, identity: str = ONE, **fields: object) -> Booking:
    given = {
        "digest": bytes([number % 256]) * 32,
        "owner": "o",
        "holder": "ida",
        "begins": NOW + 10.0 * number,
        "ends": NOW + 10.0 * number + 5,
        **fields,
    }
    return Booking(number, identity=identity, **given)  # type: ignore[arg-type]  # by name


def after(card: CardValue, *changes: Book, moves: dict[int, int] | None = None) -> CardValue:
    return booked(card, changes, moves or {}, NOW).card


def numbers(card: CardValue) -> list[int]:
    return [placed.booking.number for placed in card.placed]


def test_a_value_is_opened_under_its_own_key_with_the_same_secret_alone(vault: Vault) -> None:
    octets = vault.seal("token.1", TOKEN, NONCE)
    assert vault.open("token.1", octets) == TOKEN
    assert b"ida" not in octets
    for key, other in (
        ("token.2", vault),
        ("token.1", Vault(b"another" * 8, "wsrc-c")),
        ("token.1", Vault(b"secret" * 8, "wsrc-d")),
    ):
        with pytest.raises(UnreadableError, match="another state_key"):
            other.open(key, octets)
    for broken in (octets[:-1], octets[:10], octets + b"x", octets[:13]):
        with pytest.raises(UnreadableError, match="another state_key"):
            vault.open("token.1", broken)


@pytest.mark.parametrize("octets", [b"", b"\x02", b"\x00" * 40])
def test_what_is_of_a_later_version_is_told_from_what_was_changed(
    vault: Vault, octets: bytes
) -> None:
    for key in ("token.1", "later.1"):
        with pytest.raises(UnreadableError, match="was made by a later version"):
            vault.open(key, octets)
    odd = vault.seal("token.1", NoteValue("x"), NONCE)
    with pytest.raises(UnreadableError, match="was made by a later version"):
        vault.open("token.1", odd)


def test_the_key_of_a_card_shows_no_number_and_is_another_for_each_kind_and_secret(
    vault: Vault,
) -> None:
    number = "iccid 8988211000000430010"
    keys = {
        vault.key(NOTE, number),
        vault.key(CARD, number),
        vault.key(NOTE, number + "1"),
        Vault(b"another" * 8, "wsrc-c").key(NOTE, number),
    }
    assert len({each.partition(".")[2] for each in keys}) == 4
    assert not any("8988" in each for each in keys)


def test_of_two_that_overlap_the_first_has_the_card_and_the_other_is_told_why() -> None:
    card = after(CardValue(ONE), Book(1, booking(1)))
    other = booking(2, begins=NOW + 12, ends=NOW + 20)
    made = booked(card, [Book(7, other)], {}, NOW)
    assert made.card == card
    assert made.refused == {7: "Another server reserved this card for that time a moment ago."}
    beside = booking(3, begins=NOW + 15, ends=NOW + 20)
    assert numbers(after(card, Book(8, beside))) == [1, 3]


def test_one_that_gave_way_is_in_nobodys_way_until_it_would_have_the_card_again() -> None:
    first, second = booking(1), booking(2, begins=NOW + 10, ends=NOW + 15)
    away = msgspec.structs.replace(first, gave_way=True)
    card = after(CardValue(ONE), Book(1, first), Book(0, away), Book(2, second))
    assert numbers(card) == [1, 2]
    again = after(card, Book(0, first))
    assert again == card
    assert not after(card, Book(3, second, drops=True), Book(0, first)).placed[0].booking.gave_way


def test_what_was_struck_is_not_brought_back_by_a_change_of_it() -> None:
    card = after(CardValue(ONE), Book(1, booking(1)), Book(2, booking(1), drops=True))
    linked = msgspec.structs.replace(booking(1), session=b"s")
    assert after(card, Book(0, linked)) == card == CardValue(ONE, 1)


def test_one_that_is_over_is_kept_for_other_clocks_a_day_and_can_be_cancelled() -> None:
    over = booking(1, begins=NOW - 20, ends=NOW - 10)
    card = CardValue(ONE, 1, (Placed(over),))
    assert after(card, Book(0, over, drops=True)) == card
    assert after(card, Book(9, over, drops=True)) == CardValue(ONE, 1)
    assert booked(card, [], {}, NOW + GRACE_S).card == CardValue(ONE, 1)


def test_a_card_has_a_most_of_reservations() -> None:
    many = [Book(n, booking(n)) for n in range(1, MOST_OF_CARD + 2)]
    made = booked(CardValue(ONE), many, {}, NOW)
    assert len(made.card.placed) == MOST_OF_CARD
    assert list(made.refused) == [MOST_OF_CARD + 1]


class Keys:
    """A mirror, and what it told."""

    def __init__(self, vault: Vault) -> None:
        self.told: list[tuple[Value | None, Value | None]] = []
        self.mirror = Mirror(vault, lambda *what: self.told.append(what))
        self._vault = vault
        self._revision = 0

    def put(self, key: str, value: Value | None) -> None:
        self._revision += 1
        octets = None if value is None else self._vault.seal(key, value, NONCE)
        self.mirror.take(Entry(key, octets, self._revision))

    def card(self, value: CardValue) -> None:
        self.put(self._vault.key(CARD, value.identity), value)


def test_a_revision_that_is_known_tells_nothing(vault: Vault) -> None:
    keys = Keys(vault)
    note = NoteValue(ONE, {"k": "v"}, "c")
    key = vault.key(NOTE, ONE)
    keys.put(key, note)
    assert keys.mirror.note(ONE) == Kept({"k": "v"}, "c")
    assert keys.mirror.take(Entry(key, b"?", 1)) == ""
    assert keys.told == [(None, note)]
    assert "later version" in keys.mirror.take(Entry(key, b"?", 9))
    assert list(keys.mirror.unreadable) == [key]
    assert keys.mirror.note(ONE) == Kept()


def test_a_reservation_in_two_cards_is_of_that_to_which_it_came_last(vault: Vault) -> None:
    here = CardValue(ONE, 1, (Placed(booking(1)),))
    there = CardValue(TWO, 1, (Placed(booking(1, TWO), moves=1),))
    for order in ((here, there), (there, here)):
        keys = Keys(vault)
        for each in order:
            keys.card(each)
        assert keys.mirror.bookings(ONE) == ()
        assert keys.mirror.bookings(TWO) == (booking(1, TWO),)
    keys.card(CardValue(TWO, 1))
    assert keys.mirror.where(1) is None


def test_numbers_of_servers_grow_beyond_all_that_are_known_and_are_nobody_elses() -> None:
    first, second = Numbering(1_000, 0), Numbering(1_000, 7)
    assert [first.after(0), second.after(0)] == [1_000, 1_007]
    assert first.after(1_007) == 2_000
    assert second.after(2_000) == 3_007
    assert [Numbering().after(each) for each in (0, 1, 41)] == [1, 2, 42]
