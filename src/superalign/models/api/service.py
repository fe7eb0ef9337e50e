"""Where a model is served, and the key that opens it, which is kept nowhere and shown to nobody."""

from __future__ import annotations

import base64
import os
import re
import urllib.parse
from dataclasses import dataclass

from superalign.core.errors import ModelError
from superalign.models.api.wire import Form

SECRET = 12
"""Characters of a key worth hiding: replies may well hold the word `none`, which is a usual key of local servers."""

_LIKE_A_KEY = re.compile(r"\bsk-[\w*-]{16,}")  # a complaint may repeat a key with stars in its middle


@dataclass(frozen=True, slots=True)
class Service:
    """The form of requests, the address up to `/v1`, the environment variable that holds the key, and whether the
    service needs one."""

    form: Form
    base: str
    variable: str
    needs_key: bool

    @property
    def local(self) -> bool:
        """Whether it runs on this machine."""
        host = urllib.parse.urlsplit(self.base).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")

    def key(self) -> str:
        """The key, read from the environment whenever it is needed. Raises ModelError."""
        key = os.environ.get(self.variable, "").strip()
        if not key and self.needs_key:
            raise ModelError(f"{self.base} needs a key; type: export {self.variable}=...")
        if not key.isascii() or not key.isprintable():
            raise ModelError(f"{self.variable} holds characters that are in no key; copy it again")
        return key

    def headers(self) -> dict[str, str]:
        """What goes with every request. Raises ModelError."""
        return self.form.headers(self.key())

    def redacted(self, text: str) -> str:
        """A reply without the key. What is shorter than SECRET is a placeholder, no secret."""
        key = os.environ.get(self.variable, "").strip()
        if len(key) >= SECRET:
            for form in (key, urllib.parse.quote(key, safe=""), base64.b64encode(key.encode()).decode()):
                text = text.replace(form, "[key]")
        return text

    def shown(self, complaint: str, most: int) -> str:
        """A complaint in one line without the key or what looks like one, and only then cut to `most` characters."""
        return _LIKE_A_KEY.sub("[key]", self.redacted(" ".join(complaint.split())))[:most]
