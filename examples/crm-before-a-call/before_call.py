#!/usr/bin/env python3
"""What a customer went through lately, onto their CRM record, before somebody calls them.

    before_call.py alice@example.com --hubspot-contact 101
    before_call.py alice@example.com --salesforce 0035g00000ABCDEAA4 --question "Did the import work?"

Needs of the environment: API and TOKEN, as everywhere. Waits until it stands there, and says so.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request


def call(method, path, body=None):
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(os.environ["API"] + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode()}")


def arguments():
    parser = argparse.ArgumentParser(description="Highlights of a customer onto their CRM record.")
    parser.add_argument("email")
    record = parser.add_mutually_exclusive_group(required=True)
    for name in ["contact", "company", "deal"]:
        record.add_argument(f"--hubspot-{name}", metavar="ID")
    record.add_argument("--salesforce", metavar="ID", help="of a contact, lead, account, opportunity, case …")
    parser.add_argument("--question", default="What is this customer trying to do, and what stands in their way?")
    parser.add_argument("--patience", type=float, default=600, metavar="SECONDS")
    return parser.parse_args()


def destination(given):
    if given.salesforce:
        return {"type": "salesforce", "recordID": given.salesforce}
    for name in ["contact", "company", "deal"]:
        if record := getattr(given, f"hubspot_{name}"):
            return {"type": "hubspot", f"{name}ID": record}


def main():
    given = arguments()
    asked = call("POST", "/highlights", {
        "userEmail": given.email,
        "question": given.question,
        # Nobody sees anything in it: better to be told than to wait for a note that does not come.
        "destinations": [{**destination(given), "whenEmpty": "send"}],
        # Whoever prepares the same call within the hour adds a destination, and LogRocket is asked once.
        "maxAge": 3600,
    })
    give_up = time.monotonic() + given.patience
    while time.monotonic() < give_up:
        request = call("GET", f"/highlights/{asked['requestID']}")
        if request["status"] in ("FAILED", "EXPIRED"):
            sys.exit(f"{request['status']}: {request['failure']['message']}")
        deliveries = request["deliveries"]
        if deliveries and all(each["status"] != "PENDING" for each in deliveries):
            for each in deliveries:
                print(each["status"], json.dumps(each["destination"]), *filter(None, [each["lastError"]]))
            sys.exit(any(each["status"] == "FAILED" for each in deliveries))
        time.sleep(1)
    sys.exit(f"still under way: GET /highlights/{asked['requestID']}")


if __name__ == "__main__":
    main()
