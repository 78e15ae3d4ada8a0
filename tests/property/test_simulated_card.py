# SPDX-License-Identifier: Apache-2.0
"""The simulated card answers the same over T=0 and T=1, whatever it is sent."""

from hypothesis import given, strategies as st

from tests.support.card_user import SELECT_USIM, VERIFY_PIN1, apdu, card
from wsrc.readers.base import CardProtocol

T0_ALONE = "gsm_access = false\n"
"""What a SIM does, by class A0, is said over T=0 alone."""

BIG = '[[file]]\npath = "6fe0"\nsize_octets = 2000\n[[file]]\npath = "6fe4"\ndeactivated = true'
KEY_IDS = "ci_pki_ids = [" + ", ".join(f'"{n:040x}"' for n in range(20)) + "]"
EUICC_INFO = "80e29100 03 bf2000 00"
SELECT_ISD_R = "00a4040c 10 a0000005591010ffffffff8900000100"
SAME = [
    "00200001",
    "00200001 08 30303030ffffffff",
    VERIFY_PIN1,
    "00a4000c 02 2fe2",
    "00b00000 00",
    "00b00000 0a",
    "00b20104 1c",
    "00a40004 02 3f00 00",
    "00a40004 02 6fe4 00",
    "00a40404 07 a0000000871002 00",
    "00a4040c 07 a0000000871002",
    "00a40004 02 6fe0 00",
    "00a40004 02 dead 00",
    "00d60000 000140 " + "5a" * 320,
    "00d60000 0000ff " + "a5" * 255,
    "00b00000 00",
    "00b00100 40",
    "80f20000 00",
    "80f2000c",
    "80f20001 00",
    "00a4080c 04 7fff6f39",
    "80320000 03 000001 00",
    "80320000 000003 000001 0000",
    "00b20104 03",
    "00700000 01",
    "01a40004 02 3f00 00",
    "00708001",
    "00708003",
    "00eeeeee 01 00 00",
    "a0a40000 02 3f00",
    SELECT_USIM,
    SELECT_ISD_R,
    EUICC_INFO.replace("03 bf2000 00", "000003 bf2000 0000"),
    "80e29100 06 bf3e035c015a 00",
    "00ca005a 00",
]


@given(st.lists(st.sampled_from(SAME), min_size=1, max_size=20))
def test_both_protocols_give_the_same_results(commands: list[str]) -> None:
    """ISO/IEC 7816-3 clause 12.2: what T=0 makes of an APDU is what T=1 carries as it is."""
    description = BIG + "\n[faults]\n"
    over_t0 = card(T0_ALONE + KEY_IDS + "\n" + description, kind="euicc")
    over_t1 = card(T0_ALONE + KEY_IDS + "\n" + description, kind="euicc", protocol=CardProtocol.T1)
    assert [apdu(over_t0, c) for c in commands] == [apdu(over_t1, c) for c in commands]
