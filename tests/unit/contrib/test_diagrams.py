# SPDX-License-Identifier: Apache-2.0
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


def test_a_diagram_has_every_transition_with_its_event(diagrams: ModuleType) -> None:
    assert diagrams.transitions(TABLE) == (
        "```mermaid\n"
        "stateDiagram-v2\n"
        "    [*] --> open\n"
        "    open --> shut: pushed\n"
        "    shut --> open: pulled\n"
        "    shut --> ashes: burnt\n"
        "    ashes --> [*]\n"
        "```"
    )


def test_a_diagram_can_begin_in_several_states(diagrams: ModuleType) -> None:
    lines = diagrams.transitions(TABLE, "open", "shut").splitlines()
    assert [line.strip() for line in lines if "[*] -->" in line] == [
        "[*] --> open",
        "[*] --> shut",
    ]
