# SPDX-License-Identifier: Apache-2.0
"""wsrc.guard.machine: what the guard asks, remembers, follows, and takes for one."""

from collections.abc import Iterable

import pytest

from wsrc.guard.commands import Secret
from wsrc.guard.machine import Guard, Judging, Orders, Refusal
from wsrc.guard.rules import rule_of
from wsrc.guard.tables import Table
from wsrc.guard.tries import MAX_CARDS, MAX_SECRETS, Memory, Tries, Where

LAST_TRY = frozenset({"last-try"})
PIN = "3132333435363738"
VERIFY = f"0020000108{PIN}"
UNBLOCK = f"002c000110{PIN}{PIN}"
USIM, OTHER = "a0000000871002", "d27600012401"
OK = "9000"


class Talk:
    """
    A guard and a card that answers what it is told.

    `asked` are the questions of the guard; `answers` has what they are answered by their INS.
    """

    def __init__(
        self,
        orders: Orders | None = None,
        *,
        uicc: bool = False,
        tries: Tries | None = None,
        **answers: str,
    ) -> None:
        self.tries = tries or Tries()
        self.guard = Guard(orders or Orders(LAST_TRY), self.tries, uicc=uicc)
        self.answers = {name.removeprefix("ins"): answer for name, answer in answers.items()}
        self.asked: list[str] = []

    def hear(self, judging: Judging) -> Refusal | None:
        try:
            question = next(judging)
            while True:
                self.asked.append(question.hex())
                answer = self.answers.get(question[1:2].hex(), "6d00")
                question = judging.send(bytes.fromhex(answer))
        except StopIteration as done:
            refusal: Refusal | None = done.value
            return refusal

    def give(self, octets: str, answer: str | None = OK) -> Refusal | None:
        """Have the card given a command unless it is refused; return why it is."""
        command = bytes.fromhex(octets)
        refusal = self.hear(self.guard.judge(command))
        if refusal is None:
            self.guard.saw(command, None if answer is None else bytes.fromhex(answer))
        return refusal

    def passes(self, octets: str, answer: str | None = OK) -> bool:
        return self.give(octets, answer) is None


def select(aid: str, *, channel: int = 0, p2: str = "0c") -> str:
    return f"{channel:02x}a404{p2}{len(aid) // 2:02x}{aid}"


# What a card that can be asked is asked


def test_a_uicc_is_asked_before_each_presentation_and_for_nothing_else() -> None:
    talk = Talk(uicc=True, ins20="63c3", ins2c="63ca")
    for octets in ("00a40004023f00", "00b000000a", "00200001", "80f2000000", "0088008100"):
        assert talk.passes(octets)
    assert talk.asked == []
    assert talk.passes(VERIFY)
    assert talk.passes(UNBLOCK)
    assert talk.passes(f"0324008110{PIN}{PIN}")
    assert talk.asked == ["00200001", "002c0001", "03200081"]


@pytest.mark.parametrize(("says", "passes"), [("63c3", True), ("63c2", True), ("63c1", False)])
def test_what_a_uicc_says_counts(says: str, passes: bool) -> None:
    assert Talk(uicc=True, ins20=says).passes(VERIFY) is passes


def test_more_tries_are_kept_if_wanted() -> None:
    orders = Orders(LAST_TRY, keep_tries=2)
    assert not Talk(orders, uicc=True, ins20="63c2").passes(VERIFY)
    assert Talk(orders, uicc=True, ins20="63c3").passes(VERIFY)


def test_a_card_that_says_that_a_pin_is_blocked_may_say_so_to_its_user() -> None:
    assert Talk(uicc=True, ins20="6983").passes(VERIFY, "6983")
    assert Talk(uicc=True, ins20="63c0").passes(VERIFY, "6983")


def test_what_was_answered_counts_where_the_card_does_not_say_the_number() -> None:
    """A PIN that is verified, or disabled, is answered 9000; its counter goes on all the same."""
    talk = Talk(uicc=True, ins20=OK)
    assert talk.passes(f"0028000108{PIN}", "63c2")
    assert talk.passes(f"0024000110{PIN}{PIN}", "63c1")
    assert not talk.passes(f"0028000108{PIN}")
    assert talk.passes(UNBLOCK, "63c9")
    assert not talk.passes(f"0024000110{PIN}{PIN}")
    assert talk.passes(UNBLOCK, OK)
    assert talk.passes(f"0024000110{PIN}{PIN}")


def test_a_channel_that_cannot_be_asked_on_is_asked_for_on_the_basic_one() -> None:
    talk = Talk(uicc=True, ins20="6881")
    assert talk.passes(f"c720000108{PIN}")
    assert talk.asked == ["4720000" + "1", "00200001"]


@pytest.mark.parametrize(("aid", "asked"), [(USIM, 1), ("a000000308000010", 1), (OTHER, 0)])
def test_an_application_of_a_standard_is_asked(aid: str, asked: int) -> None:
    talk = Talk(ins20="63c1")
    assert talk.passes(select(aid))
    assert talk.passes(f"0020008008{PIN}") is (asked == 0)
    assert len(talk.asked) == asked


@pytest.mark.parametrize(
    ("command", "at"), [("20000108", 18), ("2c000010", 19), ("24000210", 20), ("2c000210", 21)]
)
def test_a_sim_is_asked_by_status(command: str, at: int) -> None:
    octets = "a0" + command + PIN * (int(command[-2:], 16) // 8)
    state = [0x83, 0x8A, 0x83, 0x8A]
    state[at - 18] = 0x81
    talk = Talk(insf2="00" * 18 + bytes(state).hex() + OK)
    assert not talk.passes(octets)
    assert talk.asked == ["a0f2000016"]
    state[at - 18] = 0x82
    assert Talk(insf2="00" * 18 + bytes(state).hex() + OK).passes(octets)


def test_a_sim_with_a_longer_status_is_asked_for_all_of_it() -> None:
    talk = Talk(insf2="6717")
    assert talk.passes(f"a020000108{PIN}", "9804")
    assert talk.asked == ["a0f2000016", "a0f2000017"]


def test_class_a0_is_no_way_around_what_a_uicc_says() -> None:
    full = "00" * 18 + "838a838a" + OK
    assert not Talk(uicc=True, ins20="63c1", insf2=full).passes(f"a020000108{PIN}")


# What is remembered of a card that cannot be asked


@pytest.mark.parametrize(
    ("answers", "left"),
    [(["63c1"], 1), (["63c2", "63c1"], 1), (["9804", "9804"], 1), (["6983"], 0), (["9840"], 0)],
)
def test_what_a_card_answered_is_remembered(answers: list[str], left: int) -> None:
    talk = Talk()
    for answer in answers:
        assert talk.passes(f"a020000108{PIN}", answer)
    refusal = talk.give(VERIFY)
    assert refusal is not None
    assert refusal.rule == "last-try"
    assert f"{left} {'try is' if left == 1 else 'tries are'} left of PIN 01" in refusal.why


def test_a_question_of_a_user_teaches() -> None:
    talk = Talk()
    assert talk.passes("00200081", "63c1")
    assert not talk.passes(f"0020008108{PIN}")
    assert talk.passes("0020008100", "63c3")
    assert talk.passes(f"0020008108{PIN}")


def test_a_right_pin_fills_its_counter_and_a_question_or_half_a_command_does_not() -> None:
    for said in (
        "00200001",
        "0020000100",
        "00200001000000",
        f"1020000108{PIN}",
        f"0020000100{PIN}",
    ):
        talk = Talk()
        assert talk.passes(VERIFY, "63c2")
        assert talk.passes(said, OK)
        assert talk.passes(VERIFY, "63c1")
        talk.passes(said, OK)
        assert not talk.passes(VERIFY), said
    talk = Talk()
    assert talk.passes(VERIFY, "63c2")
    assert talk.passes(VERIFY, OK)
    assert talk.tries.known(Where(), Secret.PIN, 1) is None


def test_a_presentation_without_an_answer_took_a_try() -> None:
    talk = Talk()
    assert talk.passes(VERIFY, "63c2")
    assert talk.passes(VERIFY, None)
    assert not talk.passes(VERIFY)


def test_a_key_counts_by_its_own() -> None:
    talk = Talk()
    assert talk.passes(f"0082000108{PIN}", "63c1")
    assert talk.passes(VERIFY)
    assert not talk.passes(f"0082000108{PIN}")
    assert talk.passes(f"0082000208{PIN}")
    assert talk.passes(f"0086000208{PIN}", "63c1")
    assert not talk.passes(f"1086000208{PIN}")


def test_a_global_key_is_one_in_all_applications_and_a_local_one_is_not() -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes(VERIFY, "63c1")
    assert talk.passes(f"0020008108{PIN}", "63c1")
    assert talk.passes(select("b000000002"))
    assert not talk.passes(VERIFY)
    assert talk.passes(f"0020008108{PIN}")


@pytest.mark.parametrize(
    "around",
    [
        select("a0000000"),
        select("a000000001ff"),
        select("a000000001", p2="02"),
        "00a40004023f00",
        "10a4040c02a000",
    ],
)
def test_an_application_that_may_be_the_same_is(around: str) -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes(f"0020008108{PIN}", "63c1")
    assert talk.passes(around)
    assert not talk.passes(f"0020008108{PIN}")


@pytest.mark.parametrize("reference", ["00", "a1", "c1", "e1"])
def test_a_reference_that_may_be_the_same_is(reference: str) -> None:
    talk = Talk()
    assert talk.passes(f"0020008108{PIN}", "63c1")
    assert not talk.passes(f"002000{reference}08{PIN}")


def test_each_channel_has_its_application() -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes("0070000001", "01" + OK)
    assert talk.passes(select("b000000002", channel=1))
    assert talk.passes(f"0120008108{PIN}", "63c1")
    assert talk.passes(f"0020008108{PIN}")
    assert not talk.passes(f"0120008108{PIN}")
    assert talk.passes("01700000" + "01", "02" + OK)
    assert not talk.passes(f"0220008108{PIN}")
    assert talk.passes("00708002")
    assert talk.passes("4070000001", "05" + OK)


def test_a_selection_that_failed_is_none() -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes(f"0020008108{PIN}", "63c1")
    assert talk.passes(select("b000000002"), "6a82")
    assert not talk.passes(f"0020008108{PIN}")


def test_a_reset_takes_the_selection_and_leaves_the_counters() -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes(f"0020008108{PIN}", "63c1")
    talk.guard.was_reset()
    assert not talk.passes(f"0020008108{PIN}")
    assert not Talk(tries=talk.tries).passes(f"0020008108{PIN}")


def test_what_is_remembered_has_bounds() -> None:
    tries = Tries()
    for number in range(2 * MAX_SECRETS):
        aid = number.to_bytes(5)
        tries.learn(Where(aid, certain=True), Secret.PIN, 0x81, 0x63C1 if number < 9 else 0x63C5)
    assert len(tries._left) == MAX_SECRETS
    first = Where((3).to_bytes(5), certain=True)
    assert tries.known(first, Secret.PIN, 0x81) == 1
    memory = Memory()
    kept = memory.of("0")
    for number in range(MAX_CARDS + 5):
        memory.of(str(number))
        assert memory.of("0") is kept
    assert len(memory._cards) == MAX_CARDS


# Parts


def destroys(*blocks: str) -> bool:
    """Return whether one of these blocks is refused."""
    talk = Talk(Orders(frozenset({"no-key-management"})))
    return any(not talk.passes(block) for block in blocks)


@pytest.mark.parametrize(
    "blocks",
    [
        ("80e2110001bf", "80e2910101" + "33"),
        ("80e2110000", "80e2110001bf", "80e2910201" + "33"),
        ("90e2910001bf", "80e2910001" + "33"),
        ("80e2110001bf", "00a40004023f00", "80e2910101" + "33"),
        ("81e2110001bf", "82e2110001aa", "81e2910101" + "33"),
        ("80e2110001aa", "00a40004023f00", "80e2910102" + "bf33"),
        ("80e2110001bf", "80f2000000", "80e2110101aa", "80e2910101" + "33"),
    ],
)
def test_blocks_are_put_together_in_every_way(blocks: tuple[str, ...]) -> None:
    assert destroys(*blocks)


def test_a_long_load_is_judged_by_its_beginning_alone() -> None:
    """A profile is loaded in thousands of blocks, which begin with anything."""
    talk = Talk(Orders(frozenset({"no-key-management"})))
    assert talk.passes("80e21100fe" + "bf36" + "00" * 252)
    for number in range(1, 200):
        block = ["bf33" + "00" * 100, "20" * 255][number % 2]
        assert talk.passes(f"80e211{number:02x}{len(block) // 2:02x}{block}"), number
    assert talk.passes("80e291c802bf33")
    assert not talk.guard._parts.open
    assert not talk.passes("80e2910002bf33")


def test_a_long_command_in_envelopes_is_judged_by_its_beginning_alone() -> None:
    talk = Talk(uicc=True, ins20="63c1")
    octets = "00d6000000" + "03e8" + "0020" * 500
    blocks = [octets[at : at + 510] for at in range(0, len(octets), 510)]
    for block in blocks:
        assert talk.passes(f"00c20000{len(block) // 2:02x}{block}")
    assert talk.asked == []
    assert not talk.passes("00c20000" + "0d" + VERIFY)


def test_what_follows_a_command_that_an_envelope_carried_whole_is_judged() -> None:
    talk = Talk(uicc=True, ins20="63c1")
    for beginning in ("05" + "00b0000008", "07" + "00d6000001aa00", "0800b00000000000ff"):
        talk.guard.was_reset()
        assert talk.passes(f"00c20000{beginning}")
        assert not talk.passes("00c200000d" + VERIFY)


def test_an_envelope_of_the_toolkit_is_none() -> None:
    talk = Talk(uicc=True, ins20="63c1")
    assert talk.passes("80c2000006" + "d62001000000")
    assert talk.passes("a0c2000006" + "d12001000000")
    assert not talk.passes("80c200000d" + VERIFY)
    assert talk.asked == ["00200001"]


def test_parts_that_may_belong_to_too_many_commands_are_refused() -> None:
    talk = Talk(Orders(frozenset({"no-key-management"})))
    refusal = None
    for number in range(40):
        refusal = refusal or talk.give(f"80e21100{1:02x}{number:02x}")
        talk.guard.saw(bytes.fromhex("00b000000a"), b"\x90\x00")
    assert refusal is not None
    assert refusal.rule == "parts"
    assert sum(map(len, talk.guard._parts._held.values())) <= 32
    talk.guard.was_reset()
    assert talk.passes("80e29100" + "06bf3e035c015a")


def test_a_chain_is_asked_for_once() -> None:
    talk = Talk(uicc=True, ins20="63c2")
    assert talk.passes("1020000104" + PIN[:8])
    assert talk.passes("0020000104" + PIN[8:], "63c1")
    assert talk.asked == ["00200001"]
    talk.answers["20"] = "63c1"
    assert not talk.passes("1020000104" + PIN[:8])
    assert not talk.passes("0020000104" + PIN[8:])


# Rules


def ruled(tables: Iterable[dict[str, str]], *profiles: str) -> Talk:
    rules = tuple(rule_of(Table(**table), n) for n, table in enumerate(tables, start=1))
    return Talk(Orders(frozenset(profiles or ("full",)), rules=rules, answer="6985"))


def test_the_first_rule_decides() -> None:
    talk = ruled(
        [
            {"match": "00 d6 00 00", "answer": "allow"},
            {"match": "00 d6 xx xx"},
            {"match": "00 xx xx xx", "answer": "error"},
        ]
    )
    assert talk.passes("00d6000001aa")
    refusal = talk.give("00d6000101aa")
    assert refusal is not None
    assert (refusal.rule, refusal.sw) == ("table 2 of guard", "6985")
    refusal = talk.give("00b000000a")
    assert refusal is not None
    assert (refusal.rule, refusal.sw) == ("table 3 of guard", None)
    assert talk.passes("80f2000000")
    assert talk.passes("00c0000010")


@pytest.mark.parametrize(
    "octets", ["00d6000001aa", "03d6000001aa", "10d6000001aa", "4fd6000001aa", "0cd7000001aa"]
)
def test_a_rule_is_for_all_channels(octets: str) -> None:
    assert not ruled([{"match": "00d6xxxx"}]).passes(octets)
    assert ruled([{"match": "80d6xxxx"}]).passes(octets)


def test_a_rule_of_one_channel_is_for_that_alone() -> None:
    talk = ruled([{"match": "01xxxxxx"}])
    assert not talk.passes("01b000000a")
    assert talk.passes("02b000000a")


def test_a_rule_looks_at_the_beginning_of_the_data() -> None:
    talk = ruled([{"match": "80e2xxxx", "data": "bf3x"}])
    assert not talk.passes("80e2910003bf3100")
    assert talk.passes("80e2910003bf2d00")
    assert not talk.passes("00c2000008" + "80e2910003bf3200")


def test_a_rule_that_refuses_by_aid_holds_where_the_application_may_be_the_one() -> None:
    table = {"aid": "a0000005591010", "match": "80e2xxxx"}
    talk = ruled([table])
    assert not talk.passes("80e2910003bf2d00")
    for aid, refused in ((USIM, False), ("a000000559", True), ("a0000005591010ffff", True)):
        assert talk.passes(select(aid))
        assert talk.passes("80e2910003bf2d00") is not refused


def test_a_rule_that_allows_by_aid_holds_where_nothing_else_can_be_meant() -> None:
    talk = ruled([{"aid": USIM, "match": "00d6xxxx", "answer": "allow"}], "read-only")
    assert not talk.passes("00d6000001aa")
    assert talk.passes(select("a00000"))
    assert not talk.passes("00d6000001aa")
    assert talk.passes(select(USIM + "ff"))
    assert talk.passes("00d6000001aa")


def test_a_rule_that_allows_leaves_the_last_try() -> None:
    talk = ruled([{"match": "0020xxxx", "answer": "allow"}], "no-pin")
    assert talk.passes(VERIFY, "63c1")
    assert not talk.passes(VERIFY)
    assert not talk.passes(UNBLOCK)


# Control codes

FEATURES = "060400330006" + "0704" + "00330007" + "0a04" + "0033000a" + "1304" + "00330013"


def pad(command: str, *, head: int = 19) -> str:
    octets = bytes.fromhex(command)
    return (bytes(head - 4) + len(octets).to_bytes(4, "little") + octets).hex()


def code(
    talk: Talk, number: int, octets: str, *, features: str = FEATURES, card: bool = True
) -> str | None:
    """Return the rule by which a control code is refused, if it is."""
    judging = talk.guard.judge_control(
        number, bytes.fromhex(octets), bytes.fromhex(features), harmless=False, card=card
    )
    refusal = talk.hear(judging)
    return None if refusal is None else refusal.rule


@pytest.mark.parametrize("features", [FEATURES, ""])
@pytest.mark.parametrize(("number", "head"), [(0x330006, 19), (0x330007, 24)])
def test_a_pin_pad_is_judged_as_the_command_in_it(number: int, head: int, features: str) -> None:
    few, more = Talk(uicc=True, ins20="63c1"), Talk(uicc=True, ins20="63c2")
    octets = pad(VERIFY, head=head)
    assert code(few, number, octets, features=features) == "last-try"
    assert code(more, number, octets, features=features) is None
    assert code(more, number, octets, features=features, card=False) == "vendor-codes"
    assert code(Talk(Orders(frozenset({"no-pin"}))), number, octets) == "no-pin"


def test_a_pin_pad_without_data_fills_them_in() -> None:
    assert code(Talk(uicc=True, ins20="63c1"), 0x330006, pad("0020000100")) == "last-try"


def test_what_a_pin_pad_was_answered_teaches() -> None:
    talk = Talk()
    octets = bytes.fromhex(pad(VERIFY))
    talk.guard.saw_control(0x330006, octets, bytes.fromhex(FEATURES), b"\x63\xc1")
    assert not talk.passes(VERIFY)


@pytest.mark.parametrize(
    ("number", "octets"),
    [
        (1, ""),
        (2048, "00"),
        (0x330013, "00"),
        (0x330008, VERIFY),
        (0x330020, ""),
        (0x330006, ""),
        (0x330006, "00" * 19),
        (0x330006, pad(VERIFY)[:-2]),
        (0x330006, pad(VERIFY) + "00"),
    ],
)
def test_a_code_that_may_hide_a_command_is_refused_unless_allowed(number: int, octets: str) -> None:
    assert code(Talk(uicc=True, ins20="63c3"), number, octets) == "vendor-codes"
    allowing = Orders(LAST_TRY, allowed=frozenset({"vendor-codes"}))
    assert code(Talk(allowing), number, octets) is None


@pytest.mark.parametrize("number", [3400, 0x33000A, 0x330012, 0x330005])
def test_a_code_that_asks_the_reader_alone_passes(number: int) -> None:
    assert code(Talk(Orders(frozenset({"read-only"}))), number, "") is None


def test_a_reader_that_says_two_things_of_a_code_is_not_believed() -> None:
    features = FEATURES + "0a04" + "00330006"
    assert code(Talk(uicc=True, ins20="63c3"), 0x330006, pad(VERIFY), features=features) == (
        "vendor-codes"
    )


def test_the_last_try_may_be_typed_where_it_may_be_sent() -> None:
    orders = Orders(LAST_TRY, allowed=frozenset({"pin-last-try"}), keep_tries=0)
    assert code(Talk(orders, uicc=True, ins20="63c1"), 0x330006, pad(VERIFY)) is None
    assert code(Talk(orders), 0x330006, pad(VERIFY), card=False) is None
    assert Talk(orders, uicc=True, ins20="63c1").passes(VERIFY)


def test_attributes_are_set_unless_all_is_read_only() -> None:
    assert Talk().guard.judge_attribute() is None
    refusal = Talk(Orders(frozenset({"read-only"}))).guard.judge_attribute()
    assert refusal is not None
    assert refusal.rule == "read-only"


def test_what_needs_no_look_is_told_by_one_look_up() -> None:
    guard = Talk().guard
    for octets in ("00b000000a", "00c0000010", "80f2000000", "00d6000001aa", "80e2910001bf"):
        assert guard.ignores(bytes.fromhex(octets))
    for octets in (VERIFY, "00a40004023f00", "00c2000001aa", "ffca000000", "0070000001"):
        assert not guard.ignores(bytes.fromhex(octets))
