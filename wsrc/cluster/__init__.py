# SPDX-License-Identifier: Apache-2.0
"""Many servers under one name: a node is a relay that knows others, and finds cards with them."""
