# SPDX-License-Identifier: Apache-2.0
"""A card client with readers of a real pcscd, as a program."""

from tests.support.pcsc.bench import SOCKET_VARIABLE, Bench, Slot
from tests.support.processes import Program, Programs


def start_card_client(programs: Programs, bench: Bench, slot: Slot) -> Program:
    env = {SOCKET_VARIABLE: str(bench.socket_path)}
    program = programs.card_client("--reader-include", slot.reader, env=env)
    program.wait_for("Connected to")
    program.wait_for(f"{slot.reader} has card")
    return program
