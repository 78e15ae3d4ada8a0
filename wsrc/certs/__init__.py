# SPDX-License-Identifier: Apache-2.0
"""A small CA: certificates for the server, card hosts and users, and their revocation."""
