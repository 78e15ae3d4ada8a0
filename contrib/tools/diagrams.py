# SPDX-License-Identifier: Apache-2.0
"""Diagrams of the documents, made from the tables that the code goes by."""

from wsrc.states import Table


def transitions(table: Table[str, str], *starts: str) -> str:
    """
    Return a table of transitions as a diagram in Markdown (Mermaid), which is readable as text.

    Args:
        table: The next state by state and event. Life ends in the states that nothing follows.
        starts: Where life begins; without them in the first state of the table.
    """
    states = dict.fromkeys(
        [*table, *(after for moves in table.values() for after in moves.values())]
    )
    names = {state: state.replace(" ", "_") for state in states}
    lines = [f'state "{state}" as {name}' for state, name in names.items() if state != name]
    lines += [f"[*] --> {names[state]}" for state in starts or list(table)[:1]]
    for state, moves in table.items():
        for after in dict.fromkeys(moves.values()):
            events = ", ".join(event for event, to in moves.items() if to == after)
            lines.append(f"{names[state]} --> {names[after]}: {events}")
    lines += [f"{name} --> [*]" for state, name in names.items() if not table.get(state)]
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"])
