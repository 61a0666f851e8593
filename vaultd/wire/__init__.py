# SPDX-License-Identifier: Apache-2.0
"""What both ends of the socket agree on. Standard library only."""
