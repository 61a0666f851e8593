# SPDX-License-Identifier: Apache-2.0
"""awsvault: the command. It talks to vaultd over its socket and never opens the vault itself."""
