# SPDX-License-Identifier: Apache-2.0
"""The outside world, one file per neighbour; each translates its neighbour's failures into wire.errors."""
