# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.http.metrics: the exposition has what is documented, and no name of anybody."""

import json
import re

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.paths import ROOT
from wsrc.card_client.metrics import NAMES
from wsrc.errors import ErrorCode, Outcome
from wsrc.relay.tally import BOUNDS_S, Tally
from wsrc.server.http.metrics import METRICS, Figures, Metrics


@pytest.fixture
def tally() -> Tally:
    made = Tally()
    for seconds in (0.0005, 0.004, 100.0):
        made.answered(seconds)
    made.not_answered(Outcome.NOT_EXECUTED)
    made.not_answered(None)
    made.refused(ErrorCode.CARD_BUSY)
    return made


def exposed(tally: Tally) -> dict[str, dict[tuple[str, ...], float]]:
    figures = Figures(
        counts={"cards": 3, "readers": 4, "sessions": 1, "waiting": 2},
        roles={"user": 5, "card": 1},
        tally=tally,
        draining=False,
        handshakes={"accepted": 6, "refused": 1, "kept_out": 0},
        limits={"max_peers": 1},
        received=1 << 40,
        sent=7,
        http_users=1,
        lag_s=0.25,
        beside={
            "connected": 1,
            "known": 3,
            "nodes": 2,
            "guests": 4,
            "elsewhere": 5,
            "shared": 1,
            "other_policy": 6,
        },
    )
    text, _ = Metrics(lambda: figures).latest("")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = tuple(sample.labels.values())
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_what_is_exposed_is_what_is_documented(tally: Tally) -> None:
    found = {name for name in exposed(tally) if name.startswith("wsrc_")}
    histogram = {f"wsrc_command_seconds_{part}" for part in ("bucket", "sum", "count")}
    assert found == {*METRICS, *histogram} - {"wsrc_command_seconds"}


def test_values_are_those_of_the_relay(tally: Tally) -> None:
    found = exposed(tally)
    assert found["wsrc_commands_total"] == {
        ("answered",): 3.0,
        ("not_executed",): 1.0,
        ("unknown",): 1.0,
    }
    assert found["wsrc_refusals_total"] == {("card_busy",): 1.0}
    assert found["wsrc_peers"] == {("user",): 5.0, ("card",): 1.0}
    assert found["wsrc_received_octets_total"][()] == 1 << 40
    assert found["wsrc_cluster_nodes"] == {("up",): 2.0, ("lost",): 1.0}
    assert found["wsrc_cluster_state_current"] == {(): 1.0}
    assert found["wsrc_cluster_other_policy"] == {(): 6.0}
    buckets = found["wsrc_command_seconds_bucket"]
    assert buckets["0.001",] == 1.0
    assert buckets["0.005",] == 2.0
    assert buckets["+Inf",] == found["wsrc_command_seconds_count"][()] == 3.0
    assert len(buckets) == len(BOUNDS_S) + 1


def test_both_forms_can_be_read(tally: Tally) -> None:
    figures = Metrics(lambda: pytest.fail("not asked"))
    del figures
    assert exposed(tally)["wsrc_info"]


def test_the_document_has_every_metric_and_no_other() -> None:
    text = (ROOT / "docs" / "http.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(wsrc_\w+)` \|", text, re.MULTILINE)) == {*METRICS, *NAMES}


def known() -> set[str]:
    histogram = {f"wsrc_command_seconds_{part}" for part in ("bucket", "sum", "count")}
    return {*METRICS, *NAMES} | histogram


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "contrib" / "grafana" / "wsrc.json").read_text("utf-8"))
    asked = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    names = {name for expr in asked for name in re.findall(r"\bwsrc_\w+", expr)}
    assert names
    assert names <= known()
    shown = {*METRICS} - {"wsrc_info", "wsrc_command_seconds"}
    assert shown <= names, "a metric that no panel shows"


def test_the_alert_rules_ask_for_metrics_that_there_are() -> None:
    rules = yaml.safe_load((ROOT / "contrib" / "prometheus" / "wsrc.yml").read_text("utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        names = set(re.findall(r"\bwsrc_\w+", rule["expr"]))
        assert names <= known(), rule
        assert names or "up{" in rule["expr"]
        assert rule["annotations"]["summary"]
