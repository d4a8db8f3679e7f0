#!/usr/bin/env python3
"""Makes webhook.json and trigger.json in Zendesk.

Needs of the environment: API and TOKEN, as everywhere; ZENDESK_URL, as https://acme.zendesk.com; ZENDESK_EMAIL and
ZENDESK_API_TOKEN of an administrator.
"""

import base64
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request


def make(kind, **placeholders):
    text = pathlib.Path(__file__).with_name(f"{kind}.json").read_text()
    for name, value in placeholders.items():
        text = text.replace("{" + name + "}", value)
    login = f"{os.environ['ZENDESK_EMAIL']}/token:{os.environ['ZENDESK_API_TOKEN']}"
    headers = {
        "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(f"{os.environ['ZENDESK_URL']}/api/v2/{kind}s", text.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(json.load(response)[kind]["id"])
    except urllib.error.HTTPError as error:
        sys.exit(f"{kind}: {error.code}: {error.read().decode()}")


webhook = make("webhook", api=os.environ["API"], apiToken=os.environ["TOKEN"])
trigger = make("trigger", webhookID=webhook)
print(f"webhook {webhook}, trigger {trigger}")
