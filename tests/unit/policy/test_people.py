# SPDX-License-Identifier: Apache-2.0
"""wsrc.policy.people: groups within groups."""

from functools import partial

import pytest

from tests.support.steps import steps
from wsrc.errors import ConfigError
from wsrc.policy.reading import read


def layered(layers: int, *, deepest_first: bool = False) -> str:
    """Return groups in layers of three, each of which has all groups of the next layer in it."""
    groups = {
        f"g{layer}{each}": [f"group:g{layer + 1}{other}" for other in range(3)]
        if layer + 1 < layers
        else ["bob"]
        for layer in range(layers)
        for each in range(3)
    }
    names = sorted(groups, reverse=deepest_first, key=lambda name: int(name[1:-1]))
    expected = "[[expect]]\nwho = 'ann'\ncard = '*'\nmay_not = ['use']\n"
    grant = "[[grant]]\nto = ['group:g00']\ncards = '*'\nmay = ['use']\n"
    return "\n".join(
        ["[groups]", *(f"{name} = {groups[name]}" for name in names), grant + expected]
    )


def test_13_groups_are_looked_through_once_however_many_ways_lead_to_them() -> None:
    took = [steps(partial(read, layered(layers), "policy.toml")) for layers in (5, 15)]
    assert took[1] < 4 * took[0]


@pytest.mark.parametrize("deepest_first", [False, True])
def test_13_groups_that_are_too_deep_are_refused_in_whatever_order_they_stand(
    deepest_first: bool,
) -> None:
    assert read(layered(16, deepest_first=deepest_first), "policy.toml").expectations == 1
    with pytest.raises(ConfigError, match="too deep: g"):
        read(layered(17, deepest_first=deepest_first), "policy.toml")


def test_a_group_within_a_group_that_names_none_is_refused_by_its_line() -> None:
    text = '[groups]\nlab = ["group:robots"]\nrobots = ["group:yone"]\n'
    with pytest.raises(ConfigError, match="there is no 'group:yone'"):
        read(text, "policy.toml")
