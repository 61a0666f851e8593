# SPDX-License-Identifier: Apache-2.0
"""vaultd: the daemon that keeps AWS access keys, and the contract it offers (see PROTOCOL.md)."""

__version__ = "0.1.0"
