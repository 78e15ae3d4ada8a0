# SPDX-License-Identifier: Apache-2.0
"""The bench itself: several at once, restarts, and nothing left behind."""

import signal
import subprocess
import sys

import pytest

from tests.support.pcsc.bench import Bench, BenchError, reader_states, refuse
from tests.support.pcsc.virtual_card import ATR_T0, VirtualCard

_LIST = """
from wsrc.readers.pcsc import PcscSource
source = PcscSource()
def report(slots):
    print(sorted(slot.name for slot in slots))
    source.stop()
source.watch(report)
"""


@pytest.mark.pcscd
def test_each_program_sees_the_bench_of_its_environment(bench: Bench) -> None:
    with Bench(name="Other") as other:
        for one in (bench, other):
            done = subprocess.run(
                [sys.executable, "-c", _LIST],
                env=one.environment,
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            )
            assert done.stdout == f"{sorted(slot.reader for slot in one.slots)}\n"


@pytest.mark.pcscd
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_restart_keeps_socket_and_ports(bench: Bench, number: int) -> None:
    with Bench(name="Other") as other:
        ports = [slot.port for slot in other.slots]
        with VirtualCard(ATR_T0).inserted(other.slot().port):
            other.wait_present(other.slot())
            other.restart(number)
        assert [slot.port for slot in other.slots] == ports
        with VirtualCard(ATR_T0).inserted(other.slot().port):
            other.wait_present(other.slot())


@pytest.mark.pcscd
def test_closed_bench_leaves_nothing_behind(bench: Bench) -> None:
    with Bench(name="Other") as other:
        daemon = other.process
        assert daemon is not None
    assert daemon.poll() is not None
    assert not other.folder.exists()
    assert reader_states(other.socket_path) == {}


@pytest.mark.pcscd
def test_pcscd_that_does_not_come_up_is_told_with_its_log(bench: Bench) -> None:
    with Bench(name="Other") as other:
        other.kill()
        (other.folder / "reader.conf.d" / "pair0").write_text("LIBPATH nonsense without end {\n")
        with pytest.raises(BenchError, match="does not show its readers"):
            other.start(attempts=1)


def test_missing_pcscd_skips_by_name_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="missing: pcscd"):
        refuse("missing: pcscd")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="missing: pcscd"):
        refuse("missing: pcscd")
