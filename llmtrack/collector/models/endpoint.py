"""Where a group's model is asked: the address, the key, and the proxy on the way."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit
from urllib.request import getproxies_environment, proxy_bypass

from llmtrack.collector.models.failures import CONFIGURATION, ModelError
from llmtrack.config import Group, Settings

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "none"  # the SDK wants one; a server of one's own usually asks for none


class Endpoint(NamedTuple):
    """Where a group's model is, and the key for it (may be empty)."""

    base_url: str
    key: str

    @property
    def host(self) -> str:
        """Host and port, without any name or password the URL may hold."""
        return _bare(self.base_url)

    @property
    def path(self) -> str:
        """The base URL without its query, which holds for every call (Azure's `?api-version=…`)."""
        return urlunsplit((*urlsplit(self.base_url)[:3], "", ""))

    @property
    def query(self) -> dict[str, str]:
        """The query of the base URL."""
        return dict(parse_qsl(urlsplit(self.base_url).query, keep_blank_values=True))

    @property
    def proxy(self) -> str:
        """The proxy that the environment puts on the way there, without its password; empty when there is none."""
        parts = urlsplit(self.base_url)
        if proxy_bypass(parts.hostname or ""):
            return ""
        proxies = getproxies_environment()
        return _bare(proxies.get(parts.scheme) or proxies.get("all") or "")


def _bare(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or url


def endpoint_of(settings: Settings, group: Group) -> Endpoint:
    """Where the group's model is asked. Raises ModelError when it cannot be: no key, or one that no header can hold."""
    base_url = group.base_url or settings.openai_base_url or OPENAI_URL
    key = (settings.key_for(group) or "").strip()
    if not key and base_url.startswith(OPENAI_URL):
        raise ModelError(
            CONFIGURATION,
            f"There is no API key for model {group.model!r} of group {group.name!r}.",
            f"Set the environment variable {group.api_key_env}, or base_url of the group in llmtrack.toml.",
        )
    if not (key.isascii() and key.isprintable()):
        raise ModelError(
            CONFIGURATION,
            f"The API key for model {group.model!r} of group {group.name!r} holds characters no key has.",
            f"Set the environment variable {group.api_key_env} again.",
        )
    return Endpoint(base_url, key)
