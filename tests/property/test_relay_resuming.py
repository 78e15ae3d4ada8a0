# SPDX-License-Identifier: Apache-2.0
"""Sessions whose connections break at every turn, among all else that peers do."""

from hypothesis import settings, strategies as st
from hypothesis.stateful import precondition, rule

from tests.support.models.relay_machine import ICCIDS, RelayMachine
from tests.support.models.relay_peers import LIMITS
from tests.support.models.relay_sharing import PICK
from wsrc.card.slot import Share
from wsrc.protocol import messages as m


class ResumingMachine(RelayMachine):
    @precondition(lambda self: self.askers and self.hosts)
    @rule(
        at=PICK,
        what=st.sampled_from(["user", "card", "card", "server", "both", "goodbye", "user stays"]),
        command=st.booleans(),
        right=st.sampled_from(["right", "right", "right", "wrong"]),
        seconds=st.sampled_from([0.0, 0.0, 2.0, 5.0]),
        rival=st.booleans(),
        prompt=st.booleans(),
    )
    def session_is_cut_and_resumed(
        self,
        at: int,
        what: str,
        command: bool,
        right: str,
        seconds: float,
        rival: bool,
        prompt: bool,
    ) -> None:
        self.user_selects(
            at=at,
            kind="reader",
            iccid=ICCIDS[0],
            wait_s=0.0,
            share=Share.SHARED if at % 3 else Share.EXCLUSIVE,
            keep_s=99.0,
            prompt=True,
        )
        if command:
            self.user_sends_command(at=at, which=0, what="c_apdu", prompt=False)
        self.cut(what)
        if rival:
            self.rival_waits(Share.SHARED if at % 2 else Share.EXCLUSIVE)
        self.time_passes(seconds=seconds)
        if what in {"card", "both", "server"} and (self.hosts or self.cut_hosts):
            self.card_client_comes_back(at=at)
        if what not in {"user stays", "card"} and len(self.askers) < 4:
            self.user_comes(first_form=False, instance=None)
        if prompt:
            self.all_answer_well()
        if self.askers and self.known:
            self.user_resumes(at=-1, which=0, secret=right, placed=bool(at % 2))
        if prompt:
            self.all_answer_well()

    def rival_waits(self, share: Share) -> None:
        """Have a user wait for the card of the newest session."""
        _, name = self.where.get(next(reversed(self.known), ""), ("", "none"))
        for asker in [each for each in self.askers if not each.peer.first_form and not each.held]:
            select = m.SelectCard(id=asker.peer.new_id(), reader=name, wait_s=99.0, share=share)
            limit = LIMITS["wait_max_s"] + LIMITS["attach_s"]
            self.ask(asker, select, limit)
            return

    def cut(self, what: str) -> None:
        """Break the connections of the newest session."""
        session = next(reversed(self.known), "")
        name, _ = self.where.get(session, ("", ""))
        for asker in self.askers:
            if session in asker.held and what in {"user", "both", "goodbye"}:
                asker.peer.leave(goodbye=what == "goodbye")
        for host in self.hosts:
            if host.name == name and what in {"card", "both"}:
                host.peer.leave()
        self.look()
        if what == "server":
            self.server_is_killed(sure=0)


TestResuming = ResumingMachine.TestCase
TestResuming.settings = settings(stateful_step_count=40)
