# SPDX-License-Identifier: Apache-2.0
"""What becomes of the file that the IAM console gave, once the key in it is kept."""

import os

from awsvault import output, prompts
from vaultd.wire.errors import VaultError


def finish(path: str, *, delete: bool, ask: bool) -> None:
    """It holds the secret in plain text: it goes, by the person's word, or that it is there is said. Raises VaultError."""
    question = f"{path} still holds the secret in plain text. Delete it?"
    if not delete and not (ask and prompts.confirm(question, default=True)):
        output.say(f"{path} still holds the secret in plain text: delete it.")
        return
    try:
        os.unlink(path)
    except OSError as error:
        raise VaultError(f"the key is kept, but {path} cannot be deleted ({error.strerror})") from None
    output.say(f"{path} is deleted.")
