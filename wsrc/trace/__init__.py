# SPDX-License-Identifier: Apache-2.0
"""
What sessions exchange with cards, for those who debug: as text, as a pcapng file, as GSMTAP.

PINs and keys are left out, unless the operator wants them in.
"""
