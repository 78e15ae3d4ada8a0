# SPDX-License-Identifier: Apache-2.0
"""The programs over HTTP, as an operator meets them: health, metrics, logs in JSON."""

import json
import socket
import urllib.error
import urllib.request

from tests.support.certificates import Certificates
from tests.support.ports import free_port
from tests.support.processes import LIMIT_S, Program, argv, environment, running


def asked(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def test_the_ready_line_says_where_http_is(certificates: Certificates) -> None:
    with running(certificates) as programs:
        server = programs.server()
        url = server.wait_for(r"HTTP on (http://localhost:\d+)/")[1]
        assert asked(f"{url}/healthz") == (200, "ok\n")
        assert asked(f"{url}/readyz") == (200, '{"ready":true}')
        status, text = asked(f"{url}/metrics")
        assert status == 200
        assert "wsrc_cards 0.0" in text
        assert "process_cpu_seconds_total" in text
        status, text = asked(f"{url}/api/v1/tokens")
        assert (status, json.loads(text)) == (200, {"tokens": []})
        assert server.end() == 0


def test_a_card_client_has_metrics_where_it_is_told(certificates: Certificates) -> None:
    with running(certificates) as programs:
        programs.server()
        port = free_port()
        given = ("--no-pcsc", "--simulated", "default", "--metrics-port", str(port))
        client = programs.card_client(*given)
        client.wait_for("Connected to", 1)
        client.wait_for(r"has card \d", 2)
        status, text = asked(f"http://localhost:{port}/metrics")
        assert status == 200
        assert 'wsrc_host_readers{state="ready"} 2.0' in text
        assert client.end() == 0


def test_logs_in_json_are_one_object_a_line(certificates: Certificates) -> None:
    with running(certificates) as programs:
        server = programs.server("--log-format", "json")
        client = programs.card_client("--no-pcsc", "--simulated", "default", "--log-format", "json")
        client.wait_for("Connected to", 1)
        client.end()
        server.end()
        for program in (server, client):
            lines = [json.loads(line) for line in program.output.splitlines()]
            assert lines
            assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)


def test_a_port_for_http_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = ("--no-tls", "--user-port", "0", "--card-port", "0", "--http-port", str(port))
        program = Program(argv("wsrc-server", *given), environment())
        try:
            program.wait_for(rf"wsrc-server: http_port: port {port} on .* is in use .*another")
            assert program.process.wait(LIMIT_S) == 2
        finally:
            program.close()
