# SPDX-License-Identifier: Apache-2.0
"""Diagrams of the documents, made from the tables that the code goes by."""

from wsrc.states import Table


def transitions(table: Table[str, str], *starts: str) -> str:
    """Return a state diagram in Mermaid; without `starts` the first state of the table is one."""
    arrows = [f"[*] --> {start}" for start in starts or list(table)[:1]]
    for state, after in table.items():
        arrows += [f"{state} --> {then}: {event}" for event, then in after.items()]
        arrows += [] if after else [f"{state} --> [*]"]
    return "\n".join(("```mermaid", "stateDiagram-v2", *(f"    {a}" for a in arrows), "```"))
