# SPDX-License-Identifier: Apache-2.0
"""A relay whose policy changes in the middle of everything gives what the document says at once."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support import policy_table as table
from tests.support.models import authorisation as book
from tests.support.models.authorisation import Verdict
from tests.support.policy_served import COMMAND, FORBIDDEN, Served, refusal, use
from tests.support.relay_clients import Peer
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m

CHANGES = int(os.environ.get("WSRC_TABLE_POLICIES", "12")) * 10
"""So many changes from one policy to another."""

STAGES = ("held", "attaching", "in flight", "batch", "waiting", "kept", "claimed")
"""Where a user may be with a card when the policy changes."""

SECRET = "5e" * 32


@dataclass
class Scene:
    """A user with a card, or on the way to one; `seen` is what it watches, by their numbers."""

    who: book.Who
    user: Peer
    thing: book.Thing
    share: Share
    stage: str
    session: str = ""
    seen: dict[int, str] = field(default_factory=dict[int, str])
    request: int = 0


def scenes(served: Served, number: int) -> Iterator[Scene]:
    """Have some users take cards, each another one, and let each be at some stage with it."""
    draw = table.drawn("change", number)
    things = [each for each, host in served.things.items() if host is not None and each.has_card]
    draw.shuffle(things)
    users = draw.sample(table.USERS, min(len(things), len(table.USERS)))
    for who, thing in zip(users, things, strict=False):
        share, stage = draw.choice(list(Share)), draw.choice(STAGES)
        scene = Scene(who, served.user(who), thing, share, stage)
        verdict = served.judge(who, thing, wish(scene))
        if verdict is Verdict.ALLOWED and thing.state == "ready":
            begin(served, scene)
            yield scene


def wish(scene: Scene, wait_s: float = 0.0) -> m.SelectCard:
    scene.request = scene.user.new_id()
    return m.SelectCard(
        id=scene.request, reader=scene.thing.shown, share=scene.share, wait_s=wait_s,
        secret=SECRET, keep_s=60.0,
    )  # fmt: skip


def begin(served: Served, scene: Scene) -> None:
    """Bring a user to its stage."""
    user, host = scene.user, served.things[scene.thing]
    assert host is not None
    host.auto = True
    if scene.stage == "waiting":
        looker = served.user(table.LOOKER)
        looker.hold(reader=scene.thing.shown or "")
        user.say(wish(scene, 500.0))
        assert isinstance(user.inbox.pop(), m.Waiting)
        return
    host.auto = scene.stage != "attaching"
    user.say(wish(scene))
    if scene.stage == "attaching":
        return
    scene.session = user.one(m.SelectCardAck).session or ""
    host.auto = False
    scene.request = user.new_id()
    names = {"id": scene.request, "session": scene.session, "seq": 1}
    if scene.stage == "in flight":
        user.say(m.CApdu(command=COMMAND, **names))  # type: ignore[arg-type]
    elif scene.stage == "batch":
        user.say(m.Batch(steps=(m.Step(COMMAND), m.Step(COMMAND)), **names))  # type: ignore[arg-type]
    elif scene.stage in {"kept", "claimed"}:
        user.leave()
        scene.user = served.user(scene.who)
        if scene.stage == "claimed":
            scene.user.say(claim(scene))


def claim(scene: Scene) -> m.Resume:
    return m.Resume(id=scene.user.new_id(), session=scene.session, secret=SECRET)


def go_on(served: Served) -> None:
    """Let card hosts answer what they were asked while the policy changed."""
    for host in served.hosts:
        asked, host.inbox = host.inbox, []
        host.auto = True
        for message in asked:
            if not isinstance(message, (m.Error, m.HelloAck)):
                host.answer(message)
    served.world.pass_time(3.0)


def ended(served: Served, scene: Scene) -> bool:
    """Return whether the policy does not allow any more what a user has, or waits for."""
    return served.judge(scene.who, scene.thing, wish(scene)) is not Verdict.ALLOWED


def check(served: Served, scene: Scene, told: list[m.Message]) -> None:
    """Compare what became of a user's card with what the policy allows now."""
    over, where = ended(served, scene), (scene, told, served.text)
    if scene.stage == "waiting":
        verdict = served.judge(scene.who, scene.thing, wish(scene))
        refused = [refusal(each) for each in told if isinstance(each, m.Error)]
        assert refused == ([FORBIDDEN] if verdict is Verdict.FORBIDDEN else []), where
        return
    if scene.stage == "attaching":
        (answer,) = told
        expected = ErrorCode.FORBIDDEN if over else None
        assert getattr(answer, "code", None) == expected, where
        scene.session = getattr(answer, "session", None) or ""
    elif scene.stage in {"in flight", "batch"}:
        answer = told[0]
        assert (refusal(answer) == (ErrorCode.FORBIDDEN, Outcome.UNKNOWN)) == over, where
        assert any(isinstance(each, m.SessionEnded) for each in told) == over, where
    elif scene.stage == "kept":
        scene.user.say(claim(scene))
        (answer,) = (each for each in scene.user.inbox if not isinstance(each, m.ReaderEvent))
        scene.user.inbox.clear()
        assert isinstance(answer, m.Resumed) != over, (answer, where)
    elif scene.stage == "claimed":
        assert isinstance(told[0], m.Resumed) != (over and len(told) == 1), where
        assert any(isinstance(each, m.SessionEnded | m.Error) for each in told) == over, where
    else:
        codes = [each.code for each in told if isinstance(each, m.SessionEnded)]
        assert codes == ([ErrorCode.FORBIDDEN] if over else []), where
    if not over:
        use(served, scene.who, scene.user, scene.thing, scene.session, scene.share)


def test_13_a_policy_that_changes_in_the_middle_of_everything_is_that_of_the_document() -> None:
    stages = Counter(pair for number in range(CHANGES) for pair in changed(number))
    assert set(stages) == {(stage, over) for stage in STAGES for over in (True, False)}, stages


def changed(number: int) -> Iterator[tuple[str, bool]]:
    """Change one policy for another; yield the stages of users, and whether they were over."""
    served = Served(number)
    there = list(scenes(served, number))
    for host in served.hosts:
        host.auto = False
    watchers = [(who, served.user(who)) for who in table.USERS]
    seen: dict[int, dict[int, str]] = {}
    before = [who for who, _ in watchers if served.watches(who)]
    for who, user in watchers:
        user.say(m.WatchReaders(id=user.new_id()))
        ack = user.one(m.Message)
        assert isinstance(ack, m.WatchReadersAck if who in before else m.Error), (who, served.text)
        shown = ack.readers if isinstance(ack, m.WatchReadersAck) else ()
        seen[user.number] = {each.number: each.reader for each in shown or ()}
    served.obey(number + 1000)
    served.world.pass_time(3.0)
    go_on(served)
    for scene in there:
        told, scene.user.inbox = scene.user.inbox, []
        yield scene.stage, ended(served, scene)
        check(served, scene, told)
    for who, user in watchers:
        visible = served.visible(who)
        if not served.watches(who):
            over, user.inbox = user.inbox, []
            ends = [isinstance(each, m.Error) and each.id is None for each in over]
            assert ends.count(True) == (who in before), (who, served.text)
            after = over[ends.index(True) if True in ends else 0 :]
            assert not any(isinstance(each, m.ReaderEvent) for each in after)
            continue
        if who not in before:
            continue
        watched(user, seen[user.number])
        events = {t.shown for t in visible if served.verdict(who, t, "events") is Verdict.ALLOWED}
        assert set(seen[user.number].values()) == events, (who, served.text)
        readers = user.ask(m.ListReaders(id=user.new_id()), m.ListReadersAck).readers
        assert {each.reader for each in readers} == {each.shown for each in visible}


def watched(user: Peer, seen: dict[int, str]) -> None:
    """Follow what a watcher was told."""
    told, user.inbox = user.inbox, []
    for event in told:
        assert isinstance(event, m.ReaderEvent)
        number = event.reader.number
        assert (number in seen) == (event.change is not m.Change.ADDED)
        if event.change is m.Change.REMOVED:
            del seen[number]
        else:
            seen[number] = event.reader.reader
