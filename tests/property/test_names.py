# SPDX-License-Identifier: Apache-2.0
"""Whatever card hosts claim, no two are called alike, and an id means one reader or none."""

from hypothesis import given, settings, strategies as st

from tests.support.relay_clients import CardClient, Peer
from tests.support.relay_world import World, reader
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

HOSTS = st.sampled_from(["a", "A", "a (2)", "b", "a (3)"])
IDS = st.sampled_from(["S", "s", "S@a", "S@a (2)", "S@b", "X@a"])
STEPS = st.lists(
    st.tuples(HOSTS, st.lists(IDS, max_size=3, unique=True), st.integers(0, 3), st.integers(0, 9)),
    max_size=12,
)


def readers_of(user: Peer) -> tuple[m.ReaderView, ...]:
    return user.ask(m.ListReaders(id=user.new_id()), m.ListReadersAck).readers


def iccid_by(user: Peer, id_: str) -> str | None:
    """Return the ICCID of the card that is selected by an id, None if none is."""
    user.say(m.SelectCard(id=user.new_id(), reader=id_))
    answer = user.inbox.pop()
    if isinstance(answer, m.Error):
        assert answer.code in {ErrorCode.AMBIGUOUS, ErrorCode.NO_SUCH_CARD}
        return None
    assert isinstance(answer, m.SelectCardAck)
    user.ask(m.Detach(id=user.new_id(), session=answer.session or ""), m.DetachAck)
    return answer.identities.iccid


@settings(max_examples=100)
@given(steps=STEPS)
def test_a1_ids_and_names_are_unique_whatever_is_claimed(
    steps: list[tuple[str, list[str], int, int]],
) -> None:
    world = World()
    user = world.user()
    hosts: list[CardClient] = []
    claims: dict[CardClient, str] = {}
    number = 0
    for claimed, ids, run, leaving in steps:
        infos = [reader(id_, str(number + at)) for at, id_ in enumerate(ids)]
        number += len(infos)
        hosts.append(world.card(*infos, name=claimed, instance=f"run {run}" if run else None))
        claims[hosts[-1]] = claimed
        hosts = [host for host in hosts if host.closed is None]
        if leaving < len(hosts):
            hosts.pop(leaving).leave()
        views = readers_of(user)
        shown = [view.reader.casefold() for view in views]
        assert len(shown) == len(set(shown))
        names = {host.number: host.shown_as or claims[host] for host in hosts}
        assert len({name.casefold() for name in names.values()}) == len(hosts)
        assert {view.host for view in views} <= set(names.values())
        for view in views:
            assert iccid_by(user, view.reader) == view.iccid
    for host in hosts:
        host.leave()
    user.leave()
    assert world.leftovers() == {}
