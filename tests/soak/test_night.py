# SPDX-License-Identifier: Apache-2.0
"""The short form of a night, and what its judge finds in evidence with one thing wrong."""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.soak import night_events as told
from tests.soak.night import NightSizes, night
from tests.soak.night_judge import FRESH, PUSHED_OUT, Down, Evidence, judge
from tests.support.certificates import Certificates

RED, BLUE = "8988211000001001000", "8988211000001001018"
KINDS = {RED: "usim", BLUE: "usim"}
KILLED, STOPPED = Down(50.0, 55.0, killed=True), Down(50.0, 55.0, killed=False)


def test_a_night_of_a_farm(certificates: Certificates) -> None:
    sizes = NightSizes.given(users=16, programs=4, night_s=8.0, crashes=2, wanted_kinds=2, common=1)
    figures = night(sizes, certificates)
    assert (figures.violations, figures.restarts, figures.crashes) == (0, 2, 2), sizes.seed
    assert min(figures.takes, figures.any, figures.shared, figures.waits), sizes.seed
    assert min(figures.revokes, figures.pulled, figures.commands), sizes.seed
    assert min(figures.reserved, figures.by_token), sizes.seed


def utc(at: float) -> str:
    return f"1970-01-01T00:{int(at) // 60:02}:{at % 60:09.6f}Z"


def line(event: str, at: float, session: str, who: str, iccid: str, **more: Any) -> dict[str, Any]:
    name = {"peer": 1, "name": f"{who} (x@y)", "principal": who}
    return {
        "event": event, "at": utc(at), "session": session, "who": name,
        "card": {"iccid": iccid, "host": "farm-1"}, "share": "exclusive", "why": "it is done",
        **more,
    }  # fmt: skip


class Story:
    """A night in which two users have a card one after the other, told by all alike."""

    def __init__(self, *, share: str = "exclusive") -> None:
        self.users: list[told.Event] = []
        self.log: list[dict[str, Any]] = []
        self.server: list[dict[str, Any]] = []
        self.sums = dict.fromkeys(KINDS, 0)
        self.number = 0
        self.share = share

    def asks(self, who: str, at: float, *waits: float, kind: str = "", iccid: str = "") -> int:
        self.number += 1
        asked = told.Asked(who, self.number, at, self.share, iccid=iccid, kind=kind)
        self.users += [asked, *(told.Waits(who, self.number, each) for each in waits)]
        return self.number

    def has(
        self, who: str, number: int, begin: float, end: float, iccid: str = RED, count: int = 2
    ) -> str:
        session, total = f"s{number}", self.sums[iccid]
        self.users.append(told.Took(who, number, begin, session, iccid))
        self.users.append(told.Found(session, FRESH, total))
        self.users += [told.Counted(session, total + 1 + n) for n in range(count)]
        self.sums[iccid] += count
        asked = next(e for e in self.users if isinstance(e, told.Asked) and e.number == number)
        more = {"share": self.share, "waited_s": begin - asked.at}
        for event, at in (("took", begin), ("gave_back", end)):
            self.log.append(line(event, at, session, who, iccid, **more))
        return session

    def faults(self, downs: Iterable[Down] = (), killed: int = 0) -> str:
        totals = [told.Total(*each) for each in self.sums.items()]
        log = sorted(self.log, key=lambda each: str(each["at"]))
        server = sorted([*log, *self.server], key=lambda each: str(each["at"]))
        evidence = Evidence(
            KINDS, [*self.users, *totals], server, {"farm-1": log}, [*downs], killed
        )
        return "\n".join(judge(evidence)[1])


def two(first: float = 20.0, second: float = 30.0) -> Story:
    """Ann asks and is told to wait, then Bob; who has the card when is given."""
    story = Story()
    ann = story.asks("ann", 1.0, 1.1, iccid=RED)
    bob = story.asks("bob", 2.0, 2.1, iccid=RED)
    for at, who, number in sorted([(first, "ann", ann), (second, "bob", bob)]):
        story.has(who, number, at, at + 5.0)
    return story


def test_a_night_in_which_all_agree_has_no_fault() -> None:
    assert two().faults() == ""


def test_one_who_came_later_and_has_the_card_first_is_found() -> None:
    assert "ann waited since 1.100, bob asked at 2.000" in two(30.0, 20.0).faults()


@pytest.mark.parametrize("wants", [{"kind": "usim"}, {"iccid": BLUE}])
def test_who_waits_for_any_card_is_not_overtaken(wants: dict[str, str]) -> None:
    story = Story()
    ann = story.asks("ann", 1.0, 1.1, kind="usim")
    bob = story.asks("bob", 2.0, **wants)
    story.has("bob", bob, 2.1, 3.0, BLUE)
    story.has("ann", ann, 9.0, 9.5)
    assert "ann waited since" in story.faults()


def test_a_card_that_is_hidden_is_not_waited_for() -> None:
    story = Story()
    story.asks("v1", 1.0, 1.1, kind="sgp22")
    bob = story.asks("bob", 2.0, iccid=RED)
    story.has("bob", bob, 2.1, 3.0)
    assert story.faults() == ""


@pytest.mark.parametrize(("bob_asks", "overtaken"), [(57.0, True), (45.0, False)])
def test_after_a_restart_those_are_in_their_order_who_are_back(
    bob_asks: float, *, overtaken: bool
) -> None:
    story = Story()
    ann = story.asks("ann", 40.0, 40.1, 56.0, iccid=RED)
    bob = story.asks("bob", bob_asks, 55.5 if bob_asks < 50.0 else 57.1, iccid=RED)
    story.has("bob", bob, 55.6 if bob_asks < 50.0 else 58.0, 59.0)
    story.has("ann", ann, 59.1, 59.5)
    assert ("ann waited since" in story.faults([STOPPED])) == overtaken


def keeps(number: int, user: str, *, any_card: bool = False) -> told.Reserved:
    return told.Reserved(user, number, 5.0, RED, 10.0, 60.0, any_card)


def test_a_card_that_is_given_while_it_is_reserved_for_another_is_found() -> None:
    story = two(first=8.0, second=30.0)
    story.users.append(keeps(1, "ann"))
    assert f"bob took {RED}, which ann had from 10 until 60.000" in story.faults()
    story.log[-1]["why"] = "The card is reserved for another from now on."
    assert story.faults() == ""
    story.log[-1]["why"] = "it is done"
    story.users.append(told.Cancels("ann", 1, 29.0))
    assert story.faults() == ""


def test_who_takes_a_card_by_a_reservation_overtakes_nobody() -> None:
    story = Story()
    story.asks("ann", 1.0, 1.1, iccid=RED)
    story.users.append(keeps(1, "bob"))
    bob = story.asks("bob", 20.0)
    story.users[-1] = told.Asked("bob", bob, 20.0, "exclusive", reservation=1)
    story.has("bob", bob, 20.1, 25.0)
    assert story.faults() == ""


@pytest.mark.parametrize(("at", "lost"), [(4.0, False), (20.0, True), (61.0, False)])
def test_a_reservation_that_is_not_listed_any_more_is_found(at: float, *, lost: bool) -> None:
    story = two()
    story.users += [keeps(3, "cid"), told.Listed("cid", at, at + 0.1, (1, 2))]
    assert ("cid is not told of reservation 3 any more" in story.faults()) == lost
    story.users.append(told.Cancels("cid", 3, 19.0))
    assert story.faults() == ""


@pytest.mark.parametrize(("at", "lost"), [(30.0, True), (60.5, False)])
def test_a_token_that_is_not_known_in_its_time_is_found(at: float, *, lost: bool) -> None:
    story = two()
    story.users += [
        keeps(3, "cid", any_card=True),
        told.Asked("cid", 9, at - 1.0, "exclusive", reservation=3),
        told.Ended("cid", 9, at, "no_such_reservation", "No reservation has this token."),
    ]
    assert ("reservation 3 of cid is not known" in story.faults()) == lost


def test_two_holders_of_one_card_are_found_in_the_logs() -> None:
    assert "farm-1: the card 8988211000001001000 has two holders" in two(20.0, 22.0).faults()


def test_who_loses_a_card_to_one_who_would_share_it_is_found() -> None:
    story = two()
    story.log[1]["why"] = PUSHED_OUT
    assert f"farm-1: ann lost {RED} in s1 to another" in story.faults()


def test_two_who_share_a_card_are_no_fault_and_a_third_is_that_was_not_let() -> None:
    story = Story(share="shared")
    story.has("ann", story.asks("ann", 1.0, iccid=RED), 1.1, 9.0)
    story.has("bob", story.asks("bob", 2.0, iccid=RED), 2.1, 8.0)
    assert "has two holders" not in story.faults()
    story.users.append(told.Allowed("s1", "dan"))
    assert "bob took 8988211000001001000 in s2, that ann lets only ['dan'] share" in story.faults()


def test_a_card_that_another_has_used_meanwhile_says_so() -> None:
    story = two()
    story.users.append(told.Counted("s1", 4))
    assert "counted from 2 to 4" in story.faults()


def test_a_command_that_was_answered_and_not_run_is_found() -> None:
    story = two()
    story.sums[RED] -= 1
    assert f"card {RED} says 3, its users 4" in story.faults()


def test_a_card_that_was_not_reset_is_found() -> None:
    story = two()
    story.users = [
        told.Found(each.session, "9000", each.total) if isinstance(each, told.Found) else each
        for each in story.users
    ]
    assert "session s1 got a card that was not fresh: 9000" in story.faults()


def test_a_revoke_is_in_the_log_and_ends_the_session() -> None:
    story = two()
    story.users.append(told.Revoked(RED, "night 1", ("s1",)))
    assert "does not have the revoke 'night 1'" in story.faults()
    assert "session s1 was revoked, and ended with 'it is done'" in story.faults()
    story.server.append({"event": "operated", "did": "revoke", "why": "night 1", "at": utc(24.0)})
    story.log[1]["why"] = "Revoked by operator: night 1."
    assert story.faults() == ""


def test_a_revoke_that_nobody_asked_for_is_found() -> None:
    story = two()
    story.users.append(told.Lost("ann", "s1", 25.0, "revoked", "Revoked by eve."))
    assert "ann was told of a revoke of s1" in story.faults()


def test_a_story_that_the_server_tells_in_another_order_is_found() -> None:
    story = Story()
    story.has("ann", story.asks("ann", 1.0, iccid=RED), 1.1, 2.0)
    story.has("ann", story.asks("ann", 3.0, iccid=RED), 3.1, 4.0)
    story.users = [*story.users[5:], *story.users[:5]]
    assert "ann tells ['s2', 's1'], the audit log of the server ['s1', 's2']" in story.faults()


def test_a_session_that_no_host_knows_is_found() -> None:
    story = two()
    story.users.append(told.Took("bob", story.asks("bob", 40.0, iccid=RED), 41.0, "s9", RED))
    assert "bob had session s9, of which no card host knows" in story.faults()


def test_a_server_that_was_killed_may_lack_its_last_moment_and_no_more() -> None:
    story = two(first=20.0, second=49.5)
    story.log = [each for each in story.log if each["session"] != "s2"]
    faults = story.faults([KILLED])
    assert "of which no card host knows" in faults
    assert "the audit log of the server" not in faults
    assert "the audit log of the server" in story.faults([STOPPED])


def test_what_broke_is_told() -> None:
    story = two()
    story.users.append(told.Broke("ann", "LocalProtocolError: no"))
    assert "ann met what must not be: LocalProtocolError: no" in story.faults()
