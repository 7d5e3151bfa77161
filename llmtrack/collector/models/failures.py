"""What went wrong with a model, in words for whoever runs it: what happened, and which setting to look at."""

from __future__ import annotations

import email.utils
import logging
import re
import time
from typing import TYPE_CHECKING, NamedTuple

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError

from llmtrack.config import Group
from llmtrack.errors import LlmtrackError
from llmtrack.turn.chunk import Failure

if TYPE_CHECKING:
    from llmtrack.collector.models.endpoint import Endpoint

CONFIGURATION = 503  # no or a refused key, an unknown model: nobody's question will be answered until that is set
FAILED = 502
TIMED_OUT = 504
MAX_DETAIL = 200
MAX_WAIT_S = 3600  # a provider that asks for more is asked again after this long
_SECRET = re.compile(r"(?i)\b(bearer\s+|(sk|pk|rk|pplx|gsk|xai|key)[-_])[\w*.-]{4,}")

log = logging.getLogger("llmtrack")


class Refusal(NamedTuple):
    """A provider's refusal of the question itself: what whoever asked can mend, or wait for."""

    status: int
    code: str | None = None
    param: str | None = None


class ModelError(LlmtrackError):
    """The model gave no answer, or not all of it. `status` is what the collector answers: 502, 503 or 504.

    `refusal` is the provider's own status when it refused the question, not the way in which it was asked.
    `retry_after_s`: it asked not to be asked again before. `told`: what it said of it is passed on already.
    """

    def __init__(
        self,
        status: int,
        message: str,
        hint: str = "",
        refusal: Refusal | None = None,
        retry_after_s: float | None = None,
        *,
        told: bool = False,
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.refusal = refusal
        self.retry_after_s = retry_after_s
        self.told = told


class NoCompletion(ValueError):
    """What came is no answer of a model; says what it is."""


def explain(error: Exception, group: Group, endpoint: Endpoint, timeout_s: float, started: bool) -> ModelError:
    """The ModelError for what the SDK or its transport raised; holds no secret.

    `started`: some of the answer had come.
    """
    address = f"base_url of group {group.name!r} in llmtrack.toml" if group.base_url else "OPENAI_BASE_URL"
    cause = error.__cause__ if isinstance(error, APIConnectionError) and error.__cause__ else error
    if isinstance(error, APIStatusError):
        return _refused(error, group, endpoint, address)
    if isinstance(error, APITimeoutError) or isinstance(cause, httpx2.TimeoutException):
        return _timed_out(cause, group, endpoint, address, timeout_s, started)
    if isinstance(cause, httpx2.HTTPError) or isinstance(error, APIConnectionError):
        return _unconnected(cause, group, endpoint, address, started)
    if isinstance(error, NoCompletion):
        message = f"What {endpoint.host} sent is no chat completion: {error}."
        return ModelError(FAILED, message, f"Check {address}: it usually ends in /v1.")
    if endpoint.proxy and isinstance(error, ImportError | ValueError):
        message = f"The proxy {endpoint.proxy} of the environment cannot be used ({type(error).__name__})."
        hint = "For a SOCKS proxy: pip install 'httpx2[socks]'. Else correct ALL_PROXY, HTTPS_PROXY or HTTP_PROXY."
        return ModelError(CONFIGURATION, message, hint)
    log.error("model %r could not be asked", group.model, exc_info=error)
    message = f"Model {group.model!r} could not be asked ({type(error).__name__})."
    return ModelError(FAILED, message, f"Check {address}; the collector's log says more.")


def said(failure: Failure, group: Group, key: str) -> ModelError:
    """The ModelError for what a provider said went wrong inside its answer."""
    words = _words(failure.message, key) or (f": {failure.code}" if failure.code else "")
    return ModelError(FAILED, f"Model {group.model!r} failed{words}.", "Try again.", told=True)


def retry_after_s(headers: httpx2.Headers) -> float | None:
    """How long a provider asks to be left alone: seconds or a date (RFC 9110), or OpenAI's milliseconds."""
    given, given_ms = headers.get("retry-after", ""), headers.get("retry-after-ms", "")
    if given_ms.isdecimal():
        wait_s = int(given_ms) / 1000
    elif re.fullmatch(r"\d+(\.\d+)?", given):
        wait_s = float(given)
    else:
        try:
            wait_s = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(wait_s, 0), MAX_WAIT_S)


def _timed_out(
    cause: BaseException, group: Group, endpoint: Endpoint, address: str, timeout_s: float, started: bool
) -> ModelError:
    if isinstance(cause, httpx2.ConnectTimeout):
        message = f"The provider at {endpoint.host} does not answer{_through(endpoint)}."
        return ModelError(TIMED_OUT, message, f"Check {address}.")
    what = "stopped in the middle of its answer for" if started else "did not answer within"
    message = f"Model {group.model!r} {what} {timeout_s:g} s."
    return ModelError(TIMED_OUT, message, "Try again, or raise LLMTRACK_MODEL_TIMEOUT_S.")


def _unconnected(cause: BaseException, group: Group, endpoint: Endpoint, address: str, started: bool) -> ModelError:
    if started:
        return ModelError(FAILED, f"The answer of model {group.model!r} broke off.", "Try again.")
    if isinstance(cause, httpx2.ReadError | httpx2.WriteError | httpx2.CloseError | httpx2.RemoteProtocolError):
        message = f"The provider at {endpoint.host} was reached{_through(endpoint)}, and closed before it answered."
        return ModelError(FAILED, message, f"Try again. If it stays so, check {address} and the log of its server.")
    hint = f"Check {address}, and that its server runs."
    if endpoint.proxy:
        hint = f"Check {address}, and the proxy (ALL_PROXY, HTTPS_PROXY, HTTP_PROXY; NO_PROXY names who needs none)."
    return ModelError(FAILED, f"The provider at {endpoint.host} cannot be reached{_through(endpoint)}.", hint)


def _through(endpoint: Endpoint) -> str:
    return f" through the proxy {endpoint.proxy}" if endpoint.proxy else ""


def _refused(error: APIStatusError, group: Group, endpoint: Endpoint, address: str) -> ModelError:
    status, detail = error.status_code, _detail(error.body, endpoint.key)
    model, host = f"Model {group.model!r}", endpoint.host
    if 300 <= status < 400:
        there = _words(error.response.headers.get("location", ""), endpoint.key)
        message = f"The provider at {host} sends its callers elsewhere ({status}){there}."
        return ModelError(CONFIGURATION, message, f"Set {address} to where it is.")
    if status in (401, 403):
        return ModelError(
            CONFIGURATION,
            f"The provider at {host} refused the API key for model {group.model!r} ({status}){detail}.",
            f"Check the environment variable {group.api_key_env}, which holds the key of group {group.name!r}.",
        )
    if status in (404, 405, 410):
        if "model" in detail.lower() or group.model in detail:
            message = f"The provider at {host} knows no model {group.model!r} ({status})."
            return ModelError(CONFIGURATION, message, f"Correct model of group {group.name!r} in llmtrack.toml.")
        message = f"There is no chat API at {endpoint.path} ({status})."
        return ModelError(CONFIGURATION, message, f"Check {address}: it usually ends in /v1.")
    wait_s = retry_after_s(error.response.headers)
    if status == 429:
        message = f"{model} is asked too often, or its quota is used up (429)."
        hint = f"Try again in {wait_s:.0f} s." if wait_s else "Try again later."
        return ModelError(FAILED, message, hint, _refusal(error), wait_s)
    if status < 500:
        return ModelError(FAILED, f"{model} refused the question ({status}){detail}.", refusal=_refusal(error))
    return ModelError(FAILED, f"{model} failed ({status}){detail}.", "Try again.", retry_after_s=wait_s)


def _refusal(error: APIStatusError) -> Refusal:
    code, param = (value if isinstance(value, str) else None for value in (error.code, error.param))
    return Refusal(error.status_code, code, param)


def _detail(body: object, key: str) -> str:
    """The provider's own words."""
    found = (body.get("message") or body.get("detail")) if isinstance(body, dict) else body
    return _words(found, key)


def _words(found: object, key: str) -> str:
    """Their first line, short, without anything that looks like a key; nothing of a web page."""
    lines = found.strip().splitlines() if isinstance(found, str) else []
    if not lines or lines[0].lstrip().startswith("<"):
        return ""
    words = _SECRET.sub("***", lines[0].replace(key, "***") if key else lines[0])
    return f": {words[:MAX_DETAIL].rstrip(' .')}"
