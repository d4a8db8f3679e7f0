#!/usr/bin/env python3
"""A user's highlights in the terminal, by boto3: highlights.py TICKET EMAIL

Needs of the environment: API and TOKEN, as everywhere; FUNCTION, the output RequestFunctionName; AWS credentials that
may lambda:InvokeFunction on it. Looks every EVERY seconds, PATIENCE seconds long.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def needed(name):
    return os.environ.get(name) or sys.exit(f"{name} is not set")


API, TOKEN, FUNCTION = needed("API"), needed("TOKEN"), needed("FUNCTION")
EVERY, PATIENCE = float(os.environ.get("EVERY", 10)), float(os.environ.get("PATIENCE", 600))

# A repeat changes nothing about these; anything else is worth another try.
REFUSALS = ("InvalidRequest", "LogRocketRefused", "OverBudget")


def ask(client, body):
    """What the function answered; where it failed, its error as `status` and `message`."""
    answer = client.invoke(FunctionName=FUNCTION, Payload=json.dumps(body))
    payload = json.load(answer["Payload"])
    if "FunctionError" in answer:
        return {"status": payload["errorType"], "message": payload["errorMessage"]}
    return payload


def wait(client, body):
    """The requestID, as soon as its highlights are there."""
    give_up = time.monotonic() + PATIENCE
    while True:
        # The same key is the same request, however often it is asked, and the answer has its status.
        answer = ask(client, body)
        status = answer["status"]
        if status == "READY":
            return answer["requestID"]
        if status in ("FAILED", "EXPIRED", *REFUSALS):
            sys.exit(f"{status}: {answer.get('message') or answer['requestID']}")
        if time.monotonic() >= give_up:
            sys.exit(f"still {status}: {answer.get('message') or answer['requestID']}")
        time.sleep(EVERY)


def read(request_id):
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/markdown"}
    request = urllib.request.Request(f"{API}/highlights/{request_id}", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read().decode()


def main():
    if len(sys.argv) != 3:
        sys.exit("highlights.py TICKET EMAIL")
    ticket, email = sys.argv[1:]
    body = {
        "userEmail": email,
        "question": "What went wrong for this user?",
        "idempotencyKey": f"ticket-{ticket}",
    }
    try:
        print(read(wait(boto3.client("lambda"), body)))
    # No credentials, no permission, no such function; or the API's own refusal.
    except (BotoCoreError, ClientError) as error:
        sys.exit(str(error))
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode()}")
    except urllib.error.URLError as error:
        sys.exit(f"{API}: {error.reason}")


if __name__ == "__main__":
    main()
