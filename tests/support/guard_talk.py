# SPDX-License-Identifier: Apache-2.0
"""A guard that is given commands in hexadecimal, and a card that answers what it is told."""

from wsrc.guard.machine import Guard, Judging, Orders, Refusal
from wsrc.guard.tries import Tries

LAST_TRY = frozenset({"last-try"})
PIN = "3132333435363738"
VERIFY = f"0020000108{PIN}"
UNBLOCK = f"002c000110{PIN}{PIN}"
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
