# SPDX-License-Identifier: Apache-2.0
"""Cards of a server, kept as readers: watched, named, taken, given back."""
