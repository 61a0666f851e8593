# SPDX-License-Identifier: Apache-2.0
"""Pairs of AWS's two files, and what an import of everything that can move makes of them.

In the texts `<a>` is the key a (both lines), `<a id>` and `<a secret>` its halves, `<hook dev>` our line.
"""

import re
from dataclasses import dataclass, field

from tests import canary

PROGRAM = "/opt/x/bin/awsvault"
ROLE = "role_arn = arn:aws:iam::123456789012:role/admin"
LEFT = "only half|temporary|would be used|second section|inherits|one line|no access key"


@dataclass(frozen=True)
class Case:
    name: str
    credentials: str
    config: str
    credentials_after: str
    config_after: str
    stays: dict[str, str] = field(default_factory=dict)  # by profile: a part of the reason
    end: str = "\n"

    def text(self, raw: str) -> str:
        return expanded(raw).replace("\n", self.end)


def expanded(raw: str) -> str:
    raw = re.sub(r"<hook ([A-Za-z0-9-]+)>", rf"credential_process = {PROGRAM} get \1", raw)
    raw = re.sub(r"<(\w) id>", lambda m: canary.access_key_id(m[1]), raw)
    raw = re.sub(r"<(\w) secret>", lambda m: canary.secret(m[1]), raw)
    return re.sub(r"( *)<(\w)>", lambda m: _key(m[1], m[2]), raw)


def _key(indent: str, name: str) -> str:
    return (
        f"{indent}aws_access_key_id = {canary.access_key_id(name)}\n"
        f"{indent}aws_secret_access_key = {canary.secret(name)}"
    )


def same(name: str, credentials: str, config: str, **stays: str) -> Case:
    """Nothing moves."""
    return Case(name, credentials, config, credentials, config, stays)


DEV = "[profile dev]\n<hook dev>\n"

CASES = [
    # --- keys in credentials
    Case("one key", "[dev]\n<a>\n", "", "", DEV),
    Case("default", "[default]\n<a>\n", "", "", "[default]\n<hook default>\n"),
    Case("beside its config section", "[dev]\n<a>\n", "[profile dev]\nregion = x\n", "", "[profile dev]\nregion = x\n<hook dev>\n"),
    Case("default with config", "[default]\n<a>\n", "[default]\noutput = json\n", "", "[default]\noutput = json\n<hook default>\n"),
    Case("two keys", "[dev]\n<a>\n\n[prod]\n<b>\n", "", "", f"{DEV}\n[profile prod]\n<hook prod>\n"),
    Case("other settings stay", "[dev]\nregion = x\n<a>\noutput = json\n", "", "[dev]\nregion = x\noutput = json\n", DEV),
    Case("comment above stays", "# mine\n[dev]\n<a>\n", "", "# mine\n", DEV),
    Case("comment inside keeps the section", "[dev]\n# since May\n<a>\n", "", "[dev]\n# since May\n", DEV),
    Case("comment between the halves", "[dev]\naws_access_key_id = <a id>\n; why\naws_secret_access_key = <a secret>\n", "", "[dev]\n; why\n", DEV),
    Case("comment of the next section stays", "[dev]\n<a>\n\n# of b\n[b]\nregion = x\n", "", "\n# of b\n[b]\nregion = x\n", DEV),
    Case("comment at the end", "[dev]\n<a>\n# end\n", "", "[dev]\n# end\n", DEV),
    Case("first of three goes whole", "[dev]\n<a>\n[b]\nregion = x\n\n[c]\nregion = y\n", "", "[b]\nregion = x\n\n[c]\nregion = y\n", DEV),
    Case("middle goes with its empty line", "[a]\nregion = x\n\n[dev]\n<a>\n\n[c]\nregion = y\n", "", "[a]\nregion = x\n\n[c]\nregion = y\n", DEV),
    Case("last goes with its empty line", "[a]\nregion = x\n\n[dev]\n<a>\n", "", "[a]\nregion = x\n", DEV),
    Case("several empty lines", "[a]\nregion = x\n\n\n\n[dev]\n<a>\n\n\n", "", "[a]\nregion = x\n\n\n\n\n", DEV),
    Case("secret before the id", "[dev]\naws_secret_access_key = <a secret>\naws_access_key_id = <a id>\n", "", "", DEV),
    Case("no spaces", "[dev]\naws_access_key_id=<a id>\naws_secret_access_key=<a secret>\n", "", "", DEV),
    Case("colons", "[dev]\naws_access_key_id : <a id>\naws_secret_access_key: <a secret>\n", "", "", DEV),
    Case("capitals", "[dev]\nAWS_ACCESS_KEY_ID = <a id>\nAws_Secret_Access_Key = <a secret>\n", "", "", DEV),
    Case("indented", "[dev]\n  <a>\n  region = x\n", "", "[dev]\n  region = x\n", DEV),
    Case("tabs", "[dev]\n\taws_access_key_id\t=\t<a id>\n\taws_secret_access_key\t=\t<a secret>\n", "", "", DEV),
    Case("trailing spaces", "[dev]  \naws_access_key_id = <a id>  \naws_secret_access_key = <a secret>\t\n", "", "", DEV),
    Case("no final line end", "[dev]\naws_access_key_id = <a id>\naws_secret_access_key = <a secret>", "", "", DEV),
    Case("no final line end after it", "[dev]\n<a>\n[b]\nregion = x", "", "[b]\nregion = x", DEV),
    Case("no final line end in config", "[dev]\n<a>\n", "[default]\nregion = x", "", f"[default]\nregion = x\n\n{DEV}".rstrip("\n")),
    Case("CRLF", "# c\n[dev]\n<a>\nregion = x\n", "[profile dev]\noutput = json\n", "# c\n[dev]\nregion = x\n", "[profile dev]\noutput = json\n<hook dev>\n", end="\r\n"),
    Case("CR", "[dev]\n<a>\n[b]\nregion = x\n", "[default]\nregion = x\n", "[b]\nregion = x\n", f"[default]\nregion = x\n\n{DEV}", end="\r"),
    Case("bytes that are no text", "# \udcff\udce9\n[dev]\n<a>\nuser = \udce9\n", "# \udcff\n", "# \udcff\udce9\n[dev]\nuser = \udce9\n", f"# \udcff\n\n{DEV}"),
    Case("UTF-8 comments", "# für Müller\n[dev]\n<a>\n", "# Größe\n[profile dev]\nregion = x\n", "# für Müller\n", "# Größe\n[profile dev]\nregion = x\n<hook dev>\n"),
    Case("nested settings in config", "[dev]\n<a>\n", "[profile dev]\ns3 =\n  max = 1\n  region = no\n", "", "[profile dev]\ns3 =\n  max = 1\n  region = no\n<hook dev>\n"),
    Case("a deeper setting is part of the value above", "[dev]\n<a>\ns3 =\n  aws_access_key_id = no\n", "", "[dev]\ns3 =\n  aws_access_key_id = no\n", DEV),
    Case("sso-session and services stay", "[dev]\n<a>\n", "[sso-session s]\nsso_region = x\n\n[services v]\ns3 =\n  endpoint_url = u\n\n[profile dev]\nregion = x\n", "", "[sso-session s]\nsso_region = x\n\n[services v]\ns3 =\n  endpoint_url = u\n\n[profile dev]\nregion = x\n<hook dev>\n"),
    Case("quoted header", "[a b]\n<a>\n", "[profile 'a b']\nregion = x\n", "", "[profile 'a b']\nregion = x\n<hook a-b>\n"),
    Case("a name with a space", "[a b]\n<a>\n", "", "", "[profile 'a b']\n<hook a-b>\n"),
    Case("a name with dots", "[acme.prod]\n<a>\n", "[profile acme.prod]\nregion = x\n", "", "[profile acme.prod]\nregion = x\n<hook acme-prod>\n"),
    Case("two names of one slug", "[acme.prod]\n<a>\n[acme-prod]\n<b>\n", "", "", "[profile acme.prod]\n<hook acme-prod-2>\n\n[profile acme-prod]\n<hook acme-prod>\n"),
    Case("three names of one slug", "[a.b]\n<a>\n[a/b]\n<b>\n[a@b]\n<c>\n", "", "", "[profile a.b]\n<hook a-b>\n\n[profile a/b]\n<hook a-b-2>\n\n[profile a@b]\n<hook a-b-3>\n"),
    Case("a name that begins with a digit", "[1st]\n<a>\n", "", "", "[profile 1st]\n<hook p1st>\n"),
    Case("a mail address", "[me@x.org]\n<a>\n", "", "", "[profile me@x.org]\n<hook me-x-org>\n"),
    Case("one key, two profiles", "[dev]\n<a>\n[prod]\n<a>\n", "", "", f"{DEV}\n[profile prod]\n<hook prod>\n"),
    Case("hook is there already", "[dev]\n<a>\n", f"{DEV}region = x\n", "", f"{DEV}region = x\n"),
    Case("old hook with another path", "[dev]\n<a>\n", "[profile dev]\ncredential_process = /old/awsvault get dev\n", "", DEV),
    Case("hook by another name", "[acme]\n<a>\n", "[profile acme]\n<hook corp>\n", "", "[profile acme]\n<hook corp>\n"),
    Case("MFA serial of a key stays", "[dev]\n<a>\n", "[profile dev]\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n", "", "[profile dev]\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n<hook dev>\n"),
    Case("empty lines of a key go along", "[dev]\n<a>\n", "[profile dev]\naws_access_key_id =\naws_secret_access_key =\nregion = x\n", "", "[profile dev]\n<hook dev>\nregion = x\n"),
    Case("a duplicate-looking profile of DEFAULT without keys", "[DEFAULT]\nregion = x\n[dev]\n<a>\n", "", "[DEFAULT]\nregion = x\n", DEV),
    # --- keys in config
    Case("config only", "", "[profile dev]\n<a>\n", "", DEV),
    Case("config default", "", "[default]\n<a>\nregion = x\n", "", "[default]\n<hook default>\nregion = x\n"),
    Case("hook stands where the key was", "", "[profile dev]\nregion = x\n<a>\noutput = json\n", "", "[profile dev]\nregion = x\n<hook dev>\noutput = json\n"),
    Case("config indented", "", "[profile dev]\n    <a>\n    region = x\n", "", "[profile dev]\n    <hook dev>\n    region = x\n"),
    Case("config CRLF without a final end", "", "[profile dev]\n<a>", "", "[profile dev]\n<hook dev>", end="\r\n"),
    Case("config comment between", "", "[profile dev]\naws_access_key_id = <a id>\n# c\naws_secret_access_key = <a secret>\n", "", f"{DEV}# c\n"),
    Case("the same key in both", "[dev]\n<a>\n", "[profile dev]\n<a>\nregion = x\n", "", f"{DEV}region = x\n"),
    Case("another key in both", "[dev]\n<a>\n", "[profile dev]\n<b>\n", "", f"{DEV}\n[profile dev-config]\n<hook dev-config>\n"),
    Case("mixed files", "[dev]\n<a>\n", "[profile prod]\n<b>\n", "", f"[profile prod]\n<hook prod>\n\n{DEV}"),
    # --- roles
    Case("a role from a key stays by itself", "[dev]\n<a>\n", f"[profile admin]\n{ROLE}\nsource_profile = dev\n", "", f"[profile admin]\n<hook admin>\n\n{DEV}"),
    Case("a role with the key of its own section", "", f"[profile admin]\n{ROLE}\nsource_profile = admin\n<a>\nregion = x\n", "", "[profile admin]\n<hook admin>\nregion = x\n"),
    Case("a role whose key stands in credentials", "[admin]\n<a>\n", f"[profile admin]\n{ROLE}\nsource_profile = admin\nduration_seconds = 3600\n", "", "[profile admin]\n<hook admin>\n"),
    Case("a chain of roles", "[dev]\n<a>\n", f"[profile two]\n{ROLE}\nsource_profile = one\n[profile one]\n{ROLE}\nsource_profile = dev\n", "", f"[profile two]\n<hook two>\n[profile one]\n<hook one>\n\n{DEV}"),
    Case("a role from elsewhere", "[dev]\n<a>\n", f"[profile admin]\n{ROLE}\nsource_profile = sso\n", "", f"[profile admin]\n{ROLE}\nsource_profile = sso\n\n{DEV}"),
    Case("a role with a name of dots", "[dev]\n<a>\n", f"[profile acme.admin]\n{ROLE}\nsource_profile = dev\nexternal_id = x1\nrole_session_name = me\noutput = json\n", "", f"[profile acme.admin]\n<hook acme-admin>\noutput = json\n\n{DEV}"),
    # --- what stays
    same("temporary", "[dev]\n<a>\naws_session_token = t\n", "", dev="temporary"),
    same("an older token", "[dev]\n<a>\naws_security_token = t\n", "", dev="temporary"),
    Case("temporary beside a key", "[t]\n<a>\naws_session_token = t\n[dev]\n<b>\n", "", "[t]\n<a>\naws_session_token = t\n", DEV, {"t": "temporary"}),
    same("an id only", "[dev]\naws_access_key_id = <a id>\n", "", dev="the secret is missing"),
    same("a secret only", "[dev]\naws_secret_access_key = <a secret>\n", "", dev="id is missing"),
    same("halves in two files", "[dev]\naws_access_key_id = <a id>\n", "[profile dev]\naws_secret_access_key = <a secret>\n", dev="only half a key"),
    same("a placeholder", "[dev]\naws_access_key_id = YOUR_KEY\naws_secret_access_key = YOUR_SECRET\n", "", dev="no access key"),
    same("a comment behind the value", "[dev]\naws_access_key_id = <a id>\naws_secret_access_key = <a secret> # x\n", "", dev="no access key"),
    same("a value on the next line", "[dev]\naws_access_key_id = <a id>\naws_secret_access_key =\n  <a secret>\n", "", dev="one line"),
    same("sso in the same profile", "[dev]\n<a>\n", "[profile dev]\nsso_session = s\n", dev="sso_session would be used"),
    same("web identity", "[dev]\n<a>\n", "[profile dev]\nweb_identity_token_file = f\n", dev="web_identity_token_file would"),
    same("another program", "[dev]\n<a>\n", "[profile dev]\ncredential_process = /bin/other\n", dev="credential_process would"),
    same("a login session", "[dev]\n<a>\n", "[profile dev]\nlogin_session = x\n", dev="login_session would"),
    same("a role in credentials", f"[dev]\n<a>\n{ROLE}\n", "", dev="role_arn would"),
    same("a source without a role", "[dev]\n<a>\n", "[profile dev]\nsource_profile = x\n", dev="source_profile would"),
    same("two sections for one profile", "[dev]\n<a>\n", "[profile dev]\n[profile  dev]\n", dev="second section"),
    same("default twice", "[default]\n<a>\n", "[default]\n[profile default]\n", default="second section"),
    same("a key in DEFAULT reaches every profile", "[DEFAULT]\n<b>\n[dev]\n<a>\n", "", dev="inherits"),
    same("a key that is commented out", "[dev]\n# aws_access_key_id = <a id>\n# aws_secret_access_key = <a secret>\n", ""),
    same("nothing", "", ""),
    same("a section that is no profile", "", "[preview]\n<a>\n"),
]  # fmt: skip
