# SPDX-License-Identifier: Apache-2.0
"""TOML descriptions of simulated cards, good and bad."""

from pathlib import Path

import pytest

from tests.support.card_user import SELECT_USIM, apdu, card
from wsrc.errors import ConfigError
from wsrc.readers.base import CardProtocol
from wsrc.readers.simulation import default_cards, load_card, make_card, parse_description


def test_two_lines_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text('kind = "uicc"\niccid = "898821100000043001"\n')
    uicc = load_card(path)
    uicc.power_on()
    assert apdu(uicc, "00b08200 0a") == "988812010000400310ff9000"
    assert uicc.protocol is CardProtocol.T0
    assert uicc.name == "Simulated UICC"


def test_default_cards() -> None:
    uicc, euicc = default_cards()
    assert (uicc.name, euicc.name) == ("Simulated UICC", "Simulated eUICC")
    assert uicc.atr != euicc.atr
    assert default_cards()[0] is not uicc


def test_atr_can_be_given() -> None:
    assert card('atr = "3b00"').atr == b"\x3b\x00"


@pytest.mark.parametrize("imsi", ["00101000000001", "001010", "001010000000001"])
def test_imsi_of_any_length(imsi: str) -> None:
    uicc = card(f'imsi = "{imsi}"\npin1_enabled = false')
    apdu(uicc, SELECT_USIM)
    digits = bytes.fromhex(apdu(uicc, "00b08700 09"))[1:9]
    swapped = "".join(f"{octet & 15:x}{octet >> 4:x}" for octet in digits)
    assert swapped[1:].rstrip("f") == imsi


@pytest.mark.parametrize(
    ("toml", "field", "sentence"),
    [
        ("kind = 3", "kind", 'a kind is "uicc" or "euicc"'),
        ('kind = "sim"', "kind", 'a kind is "uicc" or "euicc"'),
        ('kind = "uicc"\nprotocol = "T=1"', "protocol", '"T0" or "T1"'),
        ('kind = "uicc"\n[faults]\nwhen = "1234"', "faults.when", '"before" or "after"'),
        ('kind = "uicc"\n[[file]]\npath = "6f01"\nread = "pin2"', "file[0].read", '"adm"'),
        ('imsi = "001010"', "", "kind"),
        ('kind = "uicc"\niccid = "898821x"', "iccid", "18 to 20 digits"),
        ('kind = "uicc"\niccid = 8988211000000430010', "iccid", "18 to 20"),
        ('kind = "uicc"\nk = "1122"', "k", "16 octets"),
        ('kind = "uicc"\nicid = "1"', "", "icid"),
        ('kind = "uicc"\n[faults]\nfrozen = true', "faults", "frozen"),
        ('kind = "uicc"\nlogical_channels = 4', "logical_channels", "<= 3"),
        ('kind = "euicc"\n[[isd_r]]\neid = "89"', "isd_r[0].eid", "32 digits"),
        ('kind = "euicc"\ngsm_only = true', "gsm_only", "eUICC"),
        ('kind = "uicc"\ngsm_only = true\nprotocol = "T1"', "protocol", "T=0"),
        ('kind = "uicc"\necasd = true', "isd_r", "euicc"),
        (
            'kind = "euicc"\n' + '[[profile]]\niccid = "898821100000043002"\nenabled = true\n' * 2,
            "profile",
            "at most one",
        ),
        ('kind = "uicc"\n[[file]]\npath = "7fffaaaa6fe0"', "file.path", "AAAA"),
        ('kind = "uicc"\n[[file]]\npath = "6fe"', "file[0].path", "file identifiers"),
        ("kind", "", "not TOML"),
    ],
)
def test_bad_descriptions_name_file_and_field(toml: str, field: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make_card(parse_description(toml, "cards/bad.toml"), "cards/bad.toml")
    assert refused.value.setting == ("cards/bad.toml: " + field if field else "cards/bad.toml")
    assert sentence in str(refused.value)


@pytest.mark.parametrize("field", ["k", "opc", "pin1", "puk1", "adm"])
def test_errors_never_repeat_a_secret(field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_description(f'kind = "uicc"\n{field} = "3141592653"', "bad.toml")
    assert "3141592653" not in str(refused.value)
    assert field in refused.value.setting


def test_text_form_shows_no_secret() -> None:
    shown = repr(parse_description('kind = "uicc"\npin1 = "31415926"', "one.toml"))
    assert "31415926" not in shown
    assert "465b5ce8" not in shown


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_card(tmp_path / "none.toml")
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_card(str(tmp_path / "odd.toml"))
