# SPDX-License-Identifier: Apache-2.0
"""`make bench`: speed and memory in one table. It measures and never judges: no test depends on a clock."""
