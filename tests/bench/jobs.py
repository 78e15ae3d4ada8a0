# SPDX-License-Identifier: Apache-2.0
"""What a tool sends that reads a SIM: the commands of jobs whose round trips are counted."""

MF, EF_ICCID, EF_DIR, EF_IMSI, EF_LI, EF_AD = "3f00", "2fe2", "2f00", "6f07", "6f05", "6fad"
EF_LINEAR, RECORDS = "2f40", 50
FILES = f"""[[file]]
path = "{EF_LINEAR}"
structure = "linear_fixed"
record_octets = 28
record_count = {RECORDS}
[[file]]
path = "7fff{EF_LI}"
size_octets = 10
"""
"""What the card of the jobs has besides, for the description of a simulated card."""

USIM = "a0000000871002"
COUNT = 150


def select(file: str) -> str:
    """Return a SELECT by identifier, with the FCP in its answer."""
    return f"00a4000402{file}00"


def commands() -> list[str]:
    """Return 150 commands, one after the other."""
    result = [select(MF), select(EF_ICCID), "00b0000000", select(EF_DIR)]
    result += ["00b2010400", select(EF_LINEAR)]
    result += [f"00b2{number:02x}0400" for number in range(1, RECORDS + 1)]
    result += [f"00a4040407{USIM}00", "002000010831323334ffffffff"]
    for file in (EF_IMSI, EF_LI, EF_AD):
        result += [select(file), "00b0000000"]
    result.append("00d600000100")
    result += [f"008800812210{'00' * 16}10{'00' * 16}00"] * 20
    while len(result) < COUNT:
        result += [select(EF_IMSI), "00b0000000"]
    return result[:COUNT]
