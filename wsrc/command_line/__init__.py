# SPDX-License-Identifier: Apache-2.0
"""The commands of `wsrc`, and what they share; `wsrc.command_line.program` puts them together."""
