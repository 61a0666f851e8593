# SPDX-License-Identifier: Apache-2.0
"""`python -I -m awsvault.doctor.sdk`: whom botocore would sign as, for each profile named on stdin, one JSON object.

A process of its own: only so is its environment clean, and the command itself does not load botocore. It asks nobody but
the hook, and of the credentials it tells the provider and the end of the key's id.
"""

import json
import sys

TAIL = 4


def main() -> None:
    json.dump({name: _resolve(name) for name in json.load(sys.stdin)}, sys.stdout)


def _resolve(name: str) -> dict[str, str]:
    import botocore.session

    try:
        found = botocore.session.Session(profile=name).get_credentials()
        if found is None:
            return {"error": "it finds none"}
        frozen = found.get_frozen_credentials()
    except Exception as error:  # noqa: BLE001 - whatever a program that uses it would meet
        return {"error": str(error) or type(error).__name__}
    return {"provider": str(found.method), "key_tail": str(frozen.access_key)[-TAIL:]}


if __name__ == "__main__":
    main()
