# SPDX-License-Identifier: Apache-2.0
"""wsrc.cluster.nats_login: what can be in a file of credentials, and what is none."""

import base64
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.support.nats_keys import ACCOUNT, OPERATOR, USER, Operator, new
from wsrc.cluster.nats_login import MOST_OCTETS, Credentials
from wsrc.errors import ConfigError


def _of(tmp_path: Path, text: str) -> Credentials:
    path = tmp_path / "creds"
    path.write_text(text, "utf-8")
    return Credentials.of_file(path)


def test_the_example_of_the_documents_of_nats(tmp_path: Path) -> None:
    made = _of(tmp_path, "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY")
    assert made.public == "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
    assert not made.jwt


def test_a_seed_makes_the_key_that_signs(tmp_path: Path) -> None:
    key = new(USER)
    made = _of(tmp_path, f"\n{key.seed}\n\n")
    assert made.public == key.public
    public = key.private.public_key()
    public.verify(base64.b64decode(made.sign("nonce")), b"nonce")
    other = Ed25519PublicKey.from_public_bytes(new(USER).private.public_key().public_bytes_raw())
    with pytest.raises(InvalidSignature):
        other.verify(base64.b64decode(made.sign("nonce")), b"nonce")


def test_a_file_of_nsc_has_a_jwt_and_a_seed(tmp_path: Path) -> None:
    path = Operator().creds(tmp_path / "a.creds")
    made = Credentials.of_file(path)
    assert made.jwt.count(".") == 2
    assert made.jwt in path.read_text("utf-8")
    assert made.public.startswith("U")


def test_what_is_shown_of_credentials_is_no_secret(tmp_path: Path) -> None:
    key = new(USER)
    made = _of(tmp_path, key.seed)
    assert repr(made) == f"Credentials({key.public})"


NEITHER = {
    "nothing": "",
    "too short": "SU",
    "prose": "not a seed at all",
    "a mistake": "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU4VY",
    "a public key": "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
    "an account": new(ACCOUNT).seed,
    "an operator": new(OPERATOR).seed,
    "cut": new(USER).seed[:-2],
    "two": new(USER).seed * 2,
    "no JWT": f"-----BEGIN USER NKEY SEED-----\n{new(USER).seed}\n------END USER NKEY SEED------\n",
    "no ASCII": "ä" * 100,
    "long": "A" * (MOST_OCTETS + 9),
}


@pytest.mark.parametrize("text", NEITHER.values(), ids=NEITHER)
def test_what_is_neither_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="has no credentials of a NATS user") as caught:
        _of(tmp_path, text)
    assert caught.value.setting == "cluster_creds"
    assert len(str(caught.value)) < 400
    if len(text) > 10:
        assert text[:10] not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match=r"cluster_creds: cannot read .*: .*; let this"):
            Credentials.of_file(path)
