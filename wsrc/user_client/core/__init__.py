# SPDX-License-Identifier: Apache-2.0
"""What a client is made of: the connection, requests on it, sessions across several, and watches."""
