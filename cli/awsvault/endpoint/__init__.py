# SPDX-License-Identifier: Apache-2.0
"""The container endpoint of `awsvault exec --server`: credentials over HTTP on loopback, for as long as one program runs.

`start` is the client's side: it binds, forks and tells the program where. The rest runs in the forked process:
`__main__` hardens it, `server` moves bytes, `messages` decides. It holds no AWS code and keeps no credentials: each
request is answered by the daemon, so a lock ends it at once. Rules C1-C8 are what AWS's SDKs want of it.
"""

# What start.py leaves open for the process that it starts, and nothing else.
LISTENER, PROGRAM, STARTER = 3, 4, 5
TOKEN_SIZE = 64  # hexadecimal digits: 256 bits
