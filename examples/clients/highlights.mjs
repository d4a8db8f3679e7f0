// A user's highlights in the terminal, by the AWS SDK: node highlights.mjs TICKET EMAIL
//
// Needs of the environment: API and TOKEN, as everywhere; FUNCTION, the output RequestFunctionName; AWS credentials that
// may lambda:InvokeFunction on it. Looks every EVERY seconds, PATIENCE seconds long.

import { setTimeout as sleep } from "node:timers/promises";
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda";

const exit = (message) => {
  console.error(message);
  process.exit(1);
};
const needed = (name) => process.env[name] || exit(`${name} is not set`);
const [API, TOKEN, FUNCTION] = ["API", "TOKEN", "FUNCTION"].map(needed);
const { EVERY = "10", PATIENCE = "600" } = process.env;

// A repeat changes nothing about these; anything else is worth another try.
const REFUSALS = ["InvalidRequest", "LogRocketRefused", "OverBudget"];

// What the function answered; where it failed, its error as `status` and `message`.
async function ask(client, body) {
  const answer = await client.send(new InvokeCommand({ FunctionName: FUNCTION, Payload: JSON.stringify(body) }));
  const payload = JSON.parse(answer.Payload.transformToString());
  return answer.FunctionError ? { status: payload.errorType, message: payload.errorMessage } : payload;
}

// The requestID, as soon as its highlights are there.
async function wait(client, body) {
  const giveUp = Date.now() + PATIENCE * 1000;
  for (;;) {
    // The same key is the same request, however often it is asked, and the answer has its status.
    const { status, requestID, message = requestID } = await ask(client, body);
    if (status === "READY") return requestID;
    if (["FAILED", "EXPIRED", ...REFUSALS].includes(status)) exit(`${status}: ${message}`);
    if (Date.now() >= giveUp) exit(`still ${status}: ${message}`);
    await sleep(EVERY * 1000);
  }
}

async function read(requestID) {
  const headers = { Authorization: `Bearer ${TOKEN}`, Accept: "text/markdown" };
  const response = await fetch(`${API}/highlights/${requestID}`, { headers });
  const text = await response.text();
  return response.ok ? text : exit(`${response.status}: ${text}`);
}

const [ticket, email] = process.argv.slice(2);
if (!email) exit("highlights.mjs TICKET EMAIL");
const body = {
  userEmail: email,
  question: "What went wrong for this user?",
  idempotencyKey: `ticket-${ticket}`,
};
try {
  console.log(await read(await wait(new LambdaClient(), body)));
} catch (error) {
  // No credentials, no permission, no such function.
  exit(`${error.name}: ${error.message}`);
}
