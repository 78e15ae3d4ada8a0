# SPDX-License-Identifier: Apache-2.0
"""What a process owes its surroundings: logs, signals, and word to systemd."""
