# SPDX-License-Identifier: Apache-2.0
"""What can be set, where a value comes from, and the options of a command line."""
