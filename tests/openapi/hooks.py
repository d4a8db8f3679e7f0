"""What schemathesis cannot learn from openapi.yaml: JSON Schema has no words for it."""

import base64
import itertools
import json
import re

import schemathesis
from hypothesis import strategies as st
from schemathesis.openapi.checks import RejectedPositiveData

label = st.from_regex(r"[a-z]([a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
host = st.builds("{}.{}".format, label, st.sampled_from(["com", "example", "co.uk"]))
path = st.from_regex(r"(/[A-Za-z0-9._~%-]{0,8}){0,3}(\?[a-z]=[A-Za-z0-9+&=]{0,8})?(#[a-z]{0,4})?", fullmatch=True)
schemathesis.openapi.format("uri", st.builds("https://{}{}{}".format, host, st.sampled_from(["", ":8443"]), path))


def cursor(request_id, at):
    place = json.dumps({"id": str(request_id), "at": at}).encode()
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


schemathesis.openapi.format("cursor", st.builds(cursor, st.uuids(), st.integers(0, 2**42)))

keys = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """A key is given once, and is its request's own: an example's, sent with other bodies, is refused, and rightly."""
    body = case.body if isinstance(case.body, dict) else {}
    headers = case.headers or {}
    if is_key(body.get("idempotencyKey")):
        if is_key(headers.get("Idempotency-Key")):
            del headers["Idempotency-Key"]
        body["idempotencyKey"] = renewed(body["idempotencyKey"])
    elif is_key(headers.get("Idempotency-Key")):
        headers["Idempotency-Key"] = renewed(headers["Idempotency-Key"])


def is_key(value):
    return isinstance(value, str) and re.fullmatch("[!-~]{1,255}", value) is not None


def renewed(key):
    """As long as it was, but for a short one."""
    return f"{next(keys):06d}{key[6:]}"


# The rules between fields, as openapi.yaml has them in words. A request that is valid but for one of them is refused
# with exactly these.
BETWEEN_FIELDS = {
    "POST /highlights": [
        ("#/timeRange/endMs", "must be later than startMs"),
        ("#/metadata", r"must have at most 2048 bytes of names and values, has \d+"),
        ("#/destinations", "must take at most 20000 bytes together"),
    ],
    "GET /highlights": [
        ("#/userEmail", "is missing; give exactly one of userEmail, userID"),
        ("#/userID", "give exactly one of userEmail, userID"),
    ],
}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Whether it is one: a valid request may be refused for a rule between fields."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 422:
        return True
    problem = response.json()
    rules = BETWEEN_FIELDS.get(case.operation.label, [])
    return not all(
        any(error.get("pointer") == pointer and re.fullmatch(detail, error["detail"]) for pointer, detail in rules)
        for error in problem.get("errors", [{}])
    )
