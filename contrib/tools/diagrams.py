# SPDX-License-Identifier: Apache-2.0
"""Diagrams of the documents, made from tables of the code."""

from collections.abc import Mapping


def transitions(table: Mapping[str, Mapping[str, str]]) -> str:
    """
    Return a table of transitions as a diagram in Markdown (Mermaid), which is readable as text.

    Args:
        table: The next state by state and event. Life begins in the first state, and ends in those
            that nothing follows.
    """
    states = list(dict.fromkeys([*table, *(s for moves in table.values() for s in moves.values())]))
    names = {state: state.replace(" ", "_") for state in states}
    lines = [f'state "{state}" as {name}' for state, name in names.items() if state != name]
    lines += [f"[*] --> {names[state]}" for state in states[:1]]
    for state, moves in table.items():
        for after in dict.fromkeys(moves.values()):
            events = ", ".join(event for event, to in moves.items() if to == after)
            lines.append(f"{names[state]} --> {names[after]}: {events}")
    lines += [f"{name} --> [*]" for state, name in names.items() if not table.get(state)]
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"])
