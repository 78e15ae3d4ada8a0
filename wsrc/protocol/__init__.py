# SPDX-License-Identifier: Apache-2.0
"""What is said on a connection: messages, their form as JSON, and who may say which when."""
