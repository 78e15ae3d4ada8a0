# SPDX-License-Identifier: Apache-2.0
"""What a client is made of: a connection, requests on it, sessions across several, watches."""
