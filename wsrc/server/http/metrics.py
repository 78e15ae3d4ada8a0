# SPDX-License-Identifier: Apache-2.0
"""
Metrics of a server, read when they are asked for: nothing is counted for them that costs a command.

No label has the name of anybody or of any card.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from wsrc import __version__
from wsrc.errors import ErrorCode
from wsrc.relay.tally import BOUNDS_S, Tally


class Meaning(NamedTuple):
    """
    A metric, for documents.

    Attributes:
        kind: `gauge`, `counter`, `histogram` or `info`; names of counters end in `_total`.
        label: The label that it has, if any.
        text: What it is, with units.
    """

    kind: str
    label: str
    text: str


METRICS: Final[Mapping[str, Meaning]] = {
    "wsrc_info": Meaning("info", "version", "1, with the version of the server"),
    "wsrc_cards": Meaning("gauge", "", "Cards in readers, whatever they are doing"),
    "wsrc_readers": Meaning("gauge", "", "Readers of all card hosts"),
    "wsrc_peers": Meaning(
        "gauge", "role", "Card hosts that are connected, and users, those over HTTP too"
    ),
    "wsrc_sessions": Meaning("gauge", "", "Sessions, those that are kept without a user as well"),
    "wsrc_waiting": Meaning("gauge", "", "Users that wait for a card"),
    "wsrc_draining": Meaning("gauge", "", "1 once the server is about to stop, else 0"),
    "wsrc_commands_total": Meaning(
        "counter", "outcome", "Requests of sessions by what became of them; a batch is one"
    ),
    "wsrc_command_seconds": Meaning(
        "histogram", "", "Seconds from a request of a session to its answer, in the server"
    ),
    "wsrc_resumes_total": Meaning("counter", "", "Sessions that were resumed"),
    "wsrc_refusals_total": Meaning("counter", "code", "Requests that were refused"),
    "wsrc_handshakes_total": Meaning(
        "counter",
        "result",
        "Connections that were accepted, refused, or kept out by a limit",
    ),
    "wsrc_limits_total": Meaning("counter", "limit", "How often a limit was reached"),
    "wsrc_received_octets_total": Meaning("counter", "", "Octets of frames that came, without TLS"),
    "wsrc_sent_octets_total": Meaning("counter", "", "Octets of frames that were sent"),
    "wsrc_http_users": Meaning("gauge", "", "Sessions, streams and visitors over HTTP"),
    "wsrc_cluster_connected": Meaning(
        "gauge", "", "1 while a server of a cluster reaches NATS, else 0; only with `cluster_url`"
    ),
    "wsrc_cluster_nodes": Meaning(
        "gauge", "state", "Other servers of the cluster: with a road to them, and lost"
    ),
    "wsrc_cluster_guests": Meaning("gauge", "", "Users of other servers that are known here"),
    "wsrc_cluster_sessions": Meaning(
        "gauge", "", "Sessions of users of this server with cards of others"
    ),
    "wsrc_cluster_state_current": Meaning(
        "gauge", "", "1 while what servers share is up to date, else 0; only with state = nats"
    ),
    "wsrc_cluster_other_policy": Meaning(
        "gauge", "", "Other servers that have another policy in force; only with state = nats"
    ),
    "wsrc_loop_lag_seconds": Meaning(
        "gauge", "", "By how much the latest heartbeat of the last minute came too late"
    ),
}
"""Every metric of ours; the exposition has those of the process and of Python as well."""


class Figures(NamedTuple):
    """What there is to tell, at one moment."""

    counts: Mapping[str, int]
    roles: Mapping[str, int]
    tally: Tally
    draining: bool
    handshakes: Mapping[str, int]
    limits: Mapping[str, int]
    received: int
    sent: int
    http_users: int
    lag_s: float
    beside: Mapping[str, int]


class _Collector:
    """Makes metrics of figures."""

    def __init__(self, look: Callable[[], Figures]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called at each scrape."""
        f = self._look()
        yield InfoMetricFamily("wsrc", _text("wsrc_info"), {"version": __version__})
        for name in ("cards", "readers", "sessions", "waiting"):
            yield _gauge(f"wsrc_{name}", f.counts[name])
        yield _gauge("wsrc_draining", f.draining)
        yield _gauge("wsrc_http_users", f.http_users)
        yield _gauge("wsrc_loop_lag_seconds", f.lag_s)
        peers = GaugeMetricFamily("wsrc_peers", _text("wsrc_peers"), labels=["role"])
        for role, count in f.roles.items():
            peers.add_metric([str(role)], count)
        yield peers
        yield _counters("wsrc_commands_total", f.tally.outcomes)
        yield _counters("wsrc_refusals_total", _by_text(f.tally.refusals))
        yield _counters("wsrc_handshakes_total", f.handshakes)
        yield _counters("wsrc_limits_total", f.limits)
        for name, value in (
            ("wsrc_resumes_total", f.tally.resumes),
            ("wsrc_received_octets_total", f.received),
            ("wsrc_sent_octets_total", f.sent),
        ):
            yield CounterMetricFamily(name, _text(name), value)
        yield _histogram(f.tally)
        if f.beside:
            yield from _cluster(f.beside)


class Metrics:
    """
    The exposition.

    Args:
        look: Returns the figures of this moment.
    """

    def __init__(self, look: Callable[[], Figures]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Collector(look))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def latest(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their media type, in the form that is accepted."""
        encode, kind = choose_encoder(accept)
        return encode(self.registry), kind


def _by_text(counts: Mapping[ErrorCode, int]) -> dict[str, int]:
    return {str(code): count for code, count in counts.items()}


def _text(name: str) -> str:
    return METRICS[name].text


def _gauge(name: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, _text(name), value)


def _cluster(beside: Mapping[str, int]) -> Iterator[Metric]:
    """Yield what a server of a cluster tells of the others."""
    yield _gauge("wsrc_cluster_connected", beside["connected"])
    yield _gauge("wsrc_cluster_guests", beside["guests"])
    yield _gauge("wsrc_cluster_sessions", beside["elsewhere"])
    nodes = GaugeMetricFamily("wsrc_cluster_nodes", _text("wsrc_cluster_nodes"), labels=["state"])
    nodes.add_metric(["up"], beside["nodes"])
    nodes.add_metric(["lost"], beside["known"] - beside["nodes"])
    yield nodes
    if "shared" in beside:
        yield _gauge("wsrc_cluster_state_current", beside["shared"])
        yield _gauge("wsrc_cluster_other_policy", beside["other_policy"])


def _counters(name: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, _text(name), labels=[METRICS[name].label])
    for label, count in sorted(values.items()):
        family.add_metric([str(label)], count)
    return family


def _histogram(tally: Tally) -> HistogramMetricFamily:
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*BOUNDS_S, "+Inf"), tally.durations, strict=True):
        total += count
        buckets.append((str(bound), total))
    name = "wsrc_command_seconds"
    return HistogramMetricFamily(name, _text(name), buckets=buckets, sum_value=tally.seconds)
