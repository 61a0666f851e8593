# SPDX-License-Identifier: Apache-2.0
"""`awsvault import`, one step a module: what is found, what becomes of it, into the vault, out of the files, and back."""
