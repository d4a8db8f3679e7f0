// The function of bench/tutorial, in Node: AWS's SDK, `fetch`, one PutItem.
import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";
import http from "node:http";

const dynamodb = new DynamoDBClient({});
const [org, app] = process.env.LOGROCKET_APP_ID.split("/");
const logRocketURL = `${process.env.LOGROCKET_API_URL}/v1/orgs/${org}/apps/${app}/highlights/`;

async function handler(event) {
  const body = JSON.parse(event.body);
  switch (event.rawPath) {
    case "/highlights":
      return ask(body);
    case "/webhook":
      return store(event, body);
    default:
      return answer(404, { message: "Not Found" });
  }
}

// Asks LogRocket, and writes down what was asked by the id that it gave.
async function ask(body) {
  const request = JSON.stringify({ ...body, webhookURL: process.env.WEBHOOK_URL });
  const response = await fetch(logRocketURL, {
    method: "POST",
    headers: { authorization: `token ${process.env.LOGROCKET_API_KEY}`, "content-type": "application/json" },
    body: request,
  });
  if (!response.ok) throw new Error(`LogRocket answered ${response.status}`);
  const { id } = await response.json();
  await put({ requestID: id, status: "PENDING", request });
  return answer(202, { requestID: id, status: "PENDING" });
}

// Writes down LogRocket's result.
async function store(event, body) {
  const id = event.queryStringParameters?.request ?? body.requestID;
  await put({ requestID: id, status: body.status ?? "FAILED", result: JSON.stringify(body.result) });
  return answer(200, { requestID: id });
}

function put(texts) {
  const Item = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, { S: text }]));
  return dynamodb.send(new PutItemCommand({ TableName: process.env.TABLE_NAME, Item }));
}

function answer(statusCode, body) {
  return { statusCode, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

// What Lambda's own runtime for Node does around a handler, and no more: it asks for an invocation, and answers it.
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");

function call(method, path, body = "") {
  return new Promise((resolve, reject) => {
    const headers = body ? { "content-type": "application/json", "content-length": Buffer.byteLength(body) } : {};
    const options = { agent, host, port, method, path: `/2018-06-01/runtime/invocation/${path}`, headers };
    const request = http.request(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

for (;;) {
  const next = await call("GET", "next");
  const id = next.headers["lambda-runtime-aws-request-id"];
  try {
    await call("POST", `${id}/response`, JSON.stringify(await handler(JSON.parse(next.body))));
  } catch (error) {
    const failure = { errorType: error.name, errorMessage: error.message };
    await call("POST", `${id}/error`, JSON.stringify(failure));
  }
}
