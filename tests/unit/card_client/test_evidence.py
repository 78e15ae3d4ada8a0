# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.evidence: what a card host tells of its sessions."""

from tests.support.card_bench import HOLD, Bench, attach, command, running, shared
from wsrc.audit.events import Event, GaveBack, Took
from wsrc.card_client.evidence import Evidence
from wsrc.protocol import messages as m
from wsrc.settings.load import CardClientSettings


class Told:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event, cause: str | None = None) -> None:
        del cause
        self.events.append(event)


async def test_a_card_that_was_taken_out_is_named_where_its_sessions_end() -> None:
    told = Told()
    evidence = Evidence("bench", told)
    async with running(Bench(CardClientSettings(name="bench", command_s=10.0), evidence)) as bench:
        for session in ("s1", "s2"):
            await bench.ask(shared(session), m.AttachAck)
        await bench.hold(command(1, HOLD))
        bench.source.readers.remove(bench.name)
        while (await bench.hear(m.ReaderReport)).reader.state is not m.ReaderState.EMPTY:
            pass
        for session in ("s1", "s2"):
            why = "The card was taken out of the reader."
            bench.agent.request(m.Detach(session=session, message=why))
        bench.gate.open()
        await bench.settled()
        await bench.hear_any(m.DetachAck)
        await bench.hear_any(m.DetachAck)
    took = {each.session: each.card for each in told.events if isinstance(each, Took)}
    gave = {each.session: each.card for each in told.events if isinstance(each, GaveBack)}
    assert gave == took
    assert all(card.iccid for card in gave.values())


async def test_a_card_that_is_given_back_is_the_one_that_was_taken() -> None:
    told = Told()
    evidence = Evidence("bench", told)
    async with running(Bench(CardClientSettings(name="bench", command_s=10.0), evidence)) as bench:
        for session in ("s1", "s2"):
            await bench.ask(attach(session), m.AttachAck)
            await bench.ask(m.Detach(session=session), m.DetachAck)
    cards = [each.card for each in told.events if isinstance(each, Took | GaveBack)]
    assert len(cards) == 4
    assert len(set(cards)) == 1
