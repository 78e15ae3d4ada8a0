# SPDX-License-Identifier: Apache-2.0
"""What an operator should know of the certificate and the key of a server before clients do."""

import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

SOON = timedelta(days=14)
"""A certificate that ends within this is warned of."""


def warnings_of(cert: Path, key: Path, now: datetime) -> Iterator[str]:
    """
    Return what is wrong, or soon will be, with files that TLS takes.

    Args:
        cert: PEM file of the certificate and its chain.
        key: PEM file of its private key.
        now: The time, with its zone.
    """
    for number, each in enumerate(x509.load_pem_x509_certificates(cert.read_bytes())):
        what = f"The certificate in {cert}" if not number else f"Certificate {number + 1} in {cert}"
        begins, ends = each.not_valid_before_utc, each.not_valid_after_utc
        if ends <= now:
            yield f"{what} has expired on {ends:%Y-%m-%d}: clients refuse it; renew it"
        elif begins > now:
            yield f"{what} is not valid before {begins:%Y-%m-%d %H:%M} UTC; check the clock"
        elif ends - now < SOON:
            days = (ends - now).days
            yield f"{what} expires on {ends:%Y-%m-%d}, in {days} days; renew it, then restart"
    if key.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield f"Every user of this host can read or change the key in {key}; chmod o-rw {key}"
