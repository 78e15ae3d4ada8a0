# SPDX-License-Identifier: Apache-2.0
"""Servers that serve as one: what nodes say to each other, and what carries it."""
