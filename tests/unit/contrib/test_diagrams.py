# SPDX-License-Identifier: Apache-2.0
"""Tables of transitions as the documents show them."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.support.paths import ROOT

TABLE = {"open": {"pushed": "shut"}, "shut": {"pulled": "open", "burnt": "ashes"}, "ashes": {}}


@pytest.fixture(scope="module")
def diagrams() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "contrib" / "tools"))
        import diagrams  # noqa: PLC0415 - contrib is no package

        yield diagrams


def test_a_table_of_transitions_is_drawn(diagrams: ModuleType) -> None:
    table = {
        "free": {"take": "in use"},
        "in use": {"take": "in use", "give back": "free", "lose": "over", "end": "over"},
    }
    assert diagrams.transitions(table).splitlines() == [
        "```mermaid",
        "stateDiagram-v2",
        '    state "in use" as in_use',
        "    [*] --> free",
        "    free --> in_use: take",
        "    in_use --> in_use: take",
        "    in_use --> free: give back",
        "    in_use --> over: lose, end",
        "    over --> [*]",
        "```",
    ]


def test_a_diagram_can_begin_in_several_states(diagrams: ModuleType) -> None:
    lines = diagrams.transitions(TABLE, "open", "shut").splitlines()
    assert [line.strip() for line in lines if "[*] -->" in line] == [
        "[*] --> open",
        "[*] --> shut",
    ]
