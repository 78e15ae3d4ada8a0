# SPDX-License-Identifier: Apache-2.0
"""What a tool sends that reads a SIM: the commands of jobs whose round trips are counted."""

MF, EF_ICCID, EF_DIR, EF_IMSI, EF_LI, EF_AD = "3f00", "2fe2", "2f00", "6f07", "6f05", "6fad"
USIM = "a0000000871002"
COUNT = 150


def select(file: str) -> str:
    """Return a SELECT by identifier, with the FCP in its answer."""
    return f"00a4000402{file}00"


def commands() -> list[str]:
    """Return 150 commands, one after the other."""
    result = [select(MF), select(EF_ICCID), "00b0000000", select(EF_DIR)]
    result += ["00b2010400"] * 50
    result += [f"00a4040407{USIM}00", "002000010831323334ffffffff"]
    for file in (EF_IMSI, EF_LI, EF_AD):
        result += [select(file), "00b0000000"]
    result.append("00d600000100")
    result += [f"008800812210{'00' * 16}10{'00' * 16}00"] * 20
    while len(result) < COUNT:
        result += [select(EF_IMSI), "00b0000000"]
    return result[:COUNT]
