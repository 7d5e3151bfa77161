"""The driver: a client for an address, and what goes wrong with it in words of ours."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pymongo
from pymongo import MongoClient, WriteConcern
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from llmtrack.errors import LlmtrackError, NeverStored, StoreUnavailable, UsageError
from llmtrack.store.address import without_secrets

TOO_LARGE = (10334, 17419, 17420)  # the document would have more than 16 MB
# The document, or what it would become, is wrong: BadValue, FailedToParse, TypeMismatch, InvalidBSON, PathNotViable,
# Overflow, ConflictingUpdateOperators, DollarPrefixedFieldName, EmptyFieldName, DottedFieldName
_NEVER = (2, 9, 14, 15, 22, 28, 40, 52, 56, 57, *TOO_LARGE)
CONNECTIONS = 200  # more than a worker has places for: no kind of call waits for the connections of another
_RIGHTS = (13, 18, 8000)  # not authorised, not authenticated, and Atlas's word for both

Document = dict[str, Any]
DatabaseError = PyMongoError  # whatever the driver raises


def client_for(uri: str, timeout_s: float) -> MongoClient[Document]:
    """A client that connects on first use. Raises UsageError when `uri` is not a MongoDB URI."""
    options: dict[str, Any] = {"tz_aware": True, "tzinfo": UTC, "appname": "llmtrack"}
    if "serverselectiontimeoutms" not in uri.lower():
        options["serverSelectionTimeoutMS"] = round(timeout_s * 1000)
    if "maxpoolsize" not in uri.lower():
        options["maxPoolSize"] = CONNECTIONS
    try:
        with warnings.catch_warnings():
            # part of a password with a ? in it would be named as an unknown option
            warnings.filterwarnings("error", message=".*@", category=UserWarning)
            return MongoClient(uri, **options)
    except (InvalidURI, ConfigurationError, ValueError, UserWarning) as error:
        why = without_secrets(str(error), uri)
        advice = "Check MONGODB_URI; in a user or a password, / is %2F, ? is %3F, [ is %5B and @ is %40."
        raise UsageError(f"This is not a MongoDB URI that works{f': {why}' if why else ''}.", advice) from None


def journalled(given: Document) -> WriteConcern:
    """The write concern that `given` asks for, and that what is acknowledged survives a killed server."""
    w = given.get("w", "majority")
    return WriteConcern(w=w if w != 0 else 1, j=True, wtimeout=given.get("wtimeout"))  # 0: nobody would know of a loss


def first_line(error: Exception) -> str:
    """The driver's words without its timeouts and its whole topology."""
    return re.split(r" \(configured timeouts|, Timeout: |, full error: |\n", str(error))[0][:200]


def within(seconds: float | None) -> contextlib.AbstractContextManager[None]:
    """All that is asked of the database inside takes so long at most together; then it is StoreUnavailable."""
    return pymongo.timeout(seconds)


@contextlib.contextmanager
def reachable(*, writing: bool = False, within_s: float | None = None) -> Iterator[None]:
    """Turns a database that does not answer (`within_s`) into StoreUnavailable.

    `writing`: what it can never take is NeverStored.
    """
    try:
        with contextlib.nullcontext() if within_s is None else within(within_s):
            yield
    except (ConnectionFailure, ExecutionTimeout) as error:
        raise StoreUnavailable(
            f"The database does not answer: {first_line(error)}.", "Check MONGODB_URI and that the server runs."
        ) from None
    except OperationFailure as error:
        if isinstance(error, DuplicateKeyError) or error.code in (85, 86):
            raise
        if writing and error.code in _NEVER:
            raise NeverStored(f"The database will not store this: {first_line(error)}.") from None
        rights = "Check the user and its rights in MONGODB_URI." if error.code in _RIGHTS else ""
        raise StoreUnavailable(f"The database refused: {first_line(error)}.", rights) from None
    except PyMongoError as error:
        raise LlmtrackError(f"The database could not do it: {first_line(error)}.") from None
