"""What went wrong with a model, in words for whoever runs it: what happened, and which setting to look at."""

from __future__ import annotations

import re
from typing import NamedTuple

import httpx2
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

from llmtrack.config import Group
from llmtrack.errors import LlmtrackError

CONFIGURATION = 503  # no or a refused key, an unknown model: nobody's question will be answered until that is set
FAILED = 502
TIMED_OUT = 504
MAX_DETAIL = 200
_SECRET = re.compile(r"(?i)\b(bearer\s+|(sk|pk|rk|pplx|gsk|xai|key)[-_])[\w*.-]{4,}")


class Refusal(NamedTuple):
    """A provider's refusal of the question itself: what whoever asked can mend, or wait for."""

    status: int
    code: str | None = None
    param: str | None = None


class ModelError(LlmtrackError):
    """The model gave no answer, or not all of it. `status` is what the collector answers: 502, 503 or 504.

    `refusal` is the provider's own status when it refused the question, not the way in which it was asked.
    """

    def __init__(self, status: int, message: str, hint: str = "", refusal: Refusal | None = None) -> None:
        super().__init__(message, hint)
        self.status = status
        self.refusal = refusal


def explain(error: Exception, group: Group, host: str, key: str, timeout_s: float, started: bool) -> ModelError:
    """The ModelError for what the SDK or its transport raised; holds no secret.

    `started`: some of the answer had come.
    """
    model = f"Model {group.model!r}"
    address = f"base_url of group {group.name!r} in llmtrack.toml" if group.base_url else "OPENAI_BASE_URL"
    if isinstance(error, APIStatusError):
        return _refused(error, group, host, key, address)
    if isinstance(error.__cause__, httpx2.ConnectTimeout):
        return ModelError(TIMED_OUT, f"The provider at {host} does not answer.", f"Check {address}.")
    if isinstance(error, APITimeoutError | httpx2.TimeoutException):
        hint = "Try again, or raise LLMTRACK_MODEL_TIMEOUT_S."
        what = "stopped in the middle of its answer for" if started else "did not answer within"
        return ModelError(TIMED_OUT, f"{model} {what} {timeout_s:g} s.", hint)
    if started and isinstance(error, APIConnectionError | httpx2.HTTPError):
        return ModelError(FAILED, f"The answer of model {group.model!r} broke off.", "Try again.")
    if isinstance(error, APIConnectionError | httpx2.HTTPError):
        return ModelError(
            FAILED, f"The provider at {host} cannot be reached.", f"Check {address}, and that its server runs."
        )
    if isinstance(error, APIError):  # an error in the middle of the stream
        return ModelError(FAILED, f"{model} failed{_detail(error.body, key)}.", "Try again.")
    return ModelError(FAILED, f"What {host} sent is no chat completion.", f"Check {address}: it usually ends in /v1.")


def _refused(error: APIStatusError, group: Group, host: str, key: str, address: str) -> ModelError:
    status, detail = error.status_code, _detail(error.body, key)
    if status in (401, 403):
        return ModelError(
            CONFIGURATION,
            f"The provider at {host} refused the API key for model {group.model!r} ({status}){detail}.",
            f"Check the environment variable {group.api_key_env}, which holds the key of group {group.name!r}.",
        )
    if status == 404:
        return ModelError(
            CONFIGURATION,
            f"The provider at {host} knows no model {group.model!r} (404).",
            f"Correct model of group {group.name!r} in llmtrack.toml, or {address}.",
        )
    if status == 429:
        message = f"Model {group.model!r} is asked too often, or its quota is used up (429)."
        return ModelError(FAILED, message, "Try again later.", _refusal(error))
    if status < 500:
        message = f"Model {group.model!r} refused the question ({status}){detail}."
        return ModelError(FAILED, message, refusal=_refusal(error))
    return ModelError(FAILED, f"Model {group.model!r} failed ({status}){detail}.", "Try again.")


def _refusal(error: APIStatusError) -> Refusal:
    code, param = (value if isinstance(value, str) else None for value in (error.code, error.param))
    return Refusal(error.status_code, code, param)


def _detail(body: object, key: str) -> str:
    """The provider's own words: their first line, short, without anything that looks like a key."""
    found = (body.get("message") or body.get("detail")) if isinstance(body, dict) else body
    lines = found.strip().splitlines() if isinstance(found, str) else []
    if not lines:
        return ""
    words = _SECRET.sub("***", lines[0].replace(key, "***") if key else lines[0])
    return f": {words[:MAX_DETAIL].rstrip(' .')}"
