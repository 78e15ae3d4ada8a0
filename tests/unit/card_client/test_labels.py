# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.identification: which label of the operator a card is given."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.paths import VECTORS
from wsrc.card_client.identification import Identification
from wsrc.card_client.worker import ReaderThread
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.settings.load import CardClientSettings

I18, I19 = "898821100000043001", "8988211000000430010"
NAMES = [
    pytest.param(v, id=v["name"])
    for v in json.loads((VECTORS / "identity.json").read_text("utf-8"))["names"]
    if v["kind"] != "label"
]


def label_of(labels: Mapping[str, str], **fields: Any) -> str | None:
    """Return the label that a card is told with after a reset."""
    told: list[m.Message] = []
    settings = CardClientSettings(labels=labels)
    thread = ReaderThread("reader", lambda: pytest.fail("The reader is not asked."))
    card = Identification(settings, "-n-", thread, told.append)
    atr = fields.pop("atr", Octets.fromhex("3b00"))
    card.info = m.ReaderInfo(
        **{"reader": "-r-", "name": "-n-", "state": m.ReaderState.READY, **fields}
    )
    card.was_reset(m.ResetResp(session="s", atr=atr), None)
    thread.stop()
    (report,) = told
    assert isinstance(report, m.ReaderReport)
    return report.reader.label


@pytest.mark.parametrize("v", NAMES)
def test_a_label_is_for_the_card_that_would_be_selected(v: dict[str, Any]) -> None:
    kind, name = v["kind"], v["card"]
    values = {
        "eid": {"eids": (name,)},
        "atr": {"atr": Octets.fromhex(name) if kind == "atr" else 0},
    }
    fields = values.get(kind, {kind: name})
    assert label_of({v["text"]: "it"}, **fields) == ("it" if v["same"] else None)


def test_the_very_iccid_counts_more_than_one_that_agrees_but_for_the_check_digit() -> None:
    for labels in ({I18: "short", I19: "long"}, {I19: "long", I18: "short"}):
        assert label_of(labels, iccid=I18) == "short"
        assert label_of(labels, iccid=I19) == "long"


def test_an_iccid_counts_more_than_an_eid_and_that_more_than_a_reader_or_an_atr() -> None:
    labels = {"3b00": "atr", "-n-": "name", "-r-": "id", "8" * 32: "eid", I19: "iccid"}
    fields: dict[str, Any] = {"iccid": I19, "eids": ("8" * 32,)}
    seen: list[str | None] = []
    for name in ("iccid", "eid", "id", "name", "atr"):
        seen.append(label_of(labels, **fields))
        labels = {key: label for key, label in labels.items() if label != name}
    assert seen == ["iccid", "eid", "id", "name", "atr"]
    assert label_of({}, **fields) is None
