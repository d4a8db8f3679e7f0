"""The function of bench/tutorial, in Python: boto3, urllib3, one PutItem."""

import http.client
import json
import os

import boto3
import urllib3

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
pool = urllib3.PoolManager()
org, app = os.environ["LOGROCKET_APP_ID"].split("/")
log_rocket_url = f"{os.environ['LOGROCKET_API_URL']}/v1/orgs/{org}/apps/{app}/highlights/"


def handler(event):
    body = json.loads(event["body"])
    match event["rawPath"]:
        case "/highlights":
            return ask(body)
        case "/webhook":
            return store(event, body)
    return answer(404, {"message": "Not Found"})


def ask(body):
    """Asks LogRocket, and writes down what was asked by the id that it gave."""
    body["webhookURL"] = os.environ["WEBHOOK_URL"]
    headers = {"authorization": f"token {os.environ['LOGROCKET_API_KEY']}"}
    response = pool.request("POST", log_rocket_url, headers=headers, json=body)
    if response.status >= 400:
        raise RuntimeError(f"LogRocket answered {response.status}")
    id = response.json()["id"]
    table.put_item(Item={"requestID": id, "status": "PENDING", "request": json.dumps(body)})
    return answer(202, {"requestID": id, "status": "PENDING"})


def store(event, body):
    """Writes down LogRocket's result."""
    id = event.get("queryStringParameters", {}).get("request") or body["requestID"]
    item = {"requestID": id, "status": body.get("status", "FAILED"), "result": json.dumps(body.get("result"))}
    table.put_item(Item=item)
    return answer(200, {"requestID": id})


def answer(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}


def main():
    """What Lambda's own runtime for Python does around a handler, and no more: it asks for an invocation, and answers it."""
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

    def call(method, path, body=None):
        text = None if body is None else json.dumps(body)
        api.request(method, f"/2018-06-01/runtime/invocation/{path}", text)
        response = api.getresponse()
        return response.headers.get("lambda-runtime-aws-request-id"), response.read()

    while True:
        id, event = call("GET", "next")
        try:
            call("POST", f"{id}/response", handler(json.loads(event)))
        except Exception as error:
            call("POST", f"{id}/error", {"errorType": type(error).__name__, "errorMessage": str(error)})


if __name__ == "__main__":
    main()
