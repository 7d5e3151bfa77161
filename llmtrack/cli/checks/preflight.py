"""What `llmtrack serve --check` looks at: everything the collector needs, before it takes its first session."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from llmtrack.cli.checks.examine import TIMEOUT_S, Check, check_configuration, check_store, guarded
from llmtrack.errors import LlmtrackError

if TYPE_CHECKING:
    from llmtrack.config import Group, Settings


def preflight(host: str, port: int) -> Iterator[Check]:
    """Configuration, data folder, address, models and store, in this order. Nothing it asks of a model costs tokens."""
    from llmtrack.config import DEMO, load_settings
    from llmtrack.store.database.sessions import connect

    try:
        settings = load_settings()
    except LlmtrackError as error:
        yield Check("configuration", "failed", error.message, error.hint)
        return
    yield from check_configuration(settings)
    yield guarded("data folder", partial(_data_folder, settings))
    yield guarded("address", partial(_address, host, port))
    for experiment in settings.experiments.values():
        for group in experiment.groups:
            if group.provider != DEMO:
                yield guarded(f"model {group.name}", partial(_model, settings, group))
    try:
        with connect(settings) as store:
            store.ping()
            yield from check_store(settings, store, serving=True)
    except LlmtrackError as error:
        yield Check("store", "failed", error.message, error.hint)


def _data_folder(settings: Settings) -> Check:
    from llmtrack.collector.access.signing import secret_key

    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=settings.data_dir) as file:
            file.write(b"llmtrack")
    except OSError as error:
        found = f"{settings.data_dir}: {error.strerror or error}"
        return Check("data folder", "failed", found, "Set LLMTRACK_DATA_DIR to a folder that can be written.")
    secret_key(settings)
    return Check("data folder", "ok", f"{settings.data_dir} can be written")


def _address(host: str, port: int) -> Check:
    from llmtrack.collector.server import check_address

    check_address(host, port)
    return Check("address", "ok", f"{host}:{port} is free")


def _model(settings: Settings, group: Group) -> Check:
    """Ask the provider which models it has: that needs the key and spends nothing."""
    from httpx2 import Client, HTTPError, InvalidURL

    from llmtrack.collector.models.endpoint import NO_KEY, OPENAI_URL, Endpoint

    check = f"model {group.name}"
    endpoint = Endpoint(
        group.base_url or settings.openai_base_url or OPENAI_URL, (settings.key_for(group) or "").strip()
    )
    if not endpoint.key and endpoint.base_url == OPENAI_URL:
        return Check(check, "skipped", "without a key there is nothing to ask")
    headers = {"Authorization": f"Bearer {endpoint.key or NO_KEY}"}
    try:
        with Client(timeout=TIMEOUT_S) as client:
            answer = client.get(f"{endpoint.path.rstrip('/')}/models", headers=headers, params=endpoint.query or None)
        host = answer.request.url.host
    except ImportError:
        found = f"the proxy {endpoint.proxy} of the environment is a SOCKS proxy"
        return Check(check, "failed", found, "pip install 'httpx2[socks]'")
    except (HTTPError, InvalidURL, ValueError) as error:
        return Check(
            check, "failed", f"cannot be reached: {type(error).__name__}", f"Check base_url of {group.name!r}."
        )
    if answer.status_code in (401, 403):
        return Check(check, "failed", f"{host} refuses the key ({answer.status_code})", f"Check {group.api_key_env}.")
    if answer.status_code >= 500:
        return Check(check, "failed", f"{host} answers {answer.status_code}", "Look after that server.")
    names = _names(answer.content)
    if names and group.model not in names:
        return Check(check, "warning", f"{host} lists no {group.model!r}", f"Check model of group {group.name!r}.")
    return Check(check, "ok", f"{host} {'has ' + group.model if names else 'answers, without a list of its models'}")


def _names(body: bytes) -> set[str]:
    """The model names in an answer of GET /models; empty when it is something else."""
    import orjson

    try:
        listed = orjson.loads(body)["data"]
        return {str(each["id"]) for each in listed}
    except (ValueError, KeyError, TypeError):
        return set()
