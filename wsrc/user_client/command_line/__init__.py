# SPDX-License-Identifier: Apache-2.0
"""The commands of `wsrc`, and what they share; `wsrc.user_client.cli` puts them together."""
