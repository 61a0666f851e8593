# SPDX-License-Identifier: Apache-2.0
"""Decisions. No clock, socket, file, network, log, environment or async: time and randomness are arguments."""
