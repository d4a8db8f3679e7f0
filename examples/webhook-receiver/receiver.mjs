// A receiver of signed webhooks (Standard Webhooks), with nothing but Node.
//
// Needs of the environment: SIGNING_SECRET, as whsec_…; PORT, else 8000. Behind https in production.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.SIGNING_SECRET.replace(/^whsec_/, ""), "base64");
const seen = new Set(); // In earnest a table: whoever restarts forgets it.

function isGenuine(headers, body) {
  const { "webhook-id": id = "", "webhook-timestamp": timestamp = "", "webhook-signature": given = "" } = headers;
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false;
  const signed = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${signed}`);
  return given.split(" ").some((each) => {
    const other = Buffer.from(each);
    return other.length === expected.length && timingSafeEqual(other, expected);
  });
}

const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  const answer = (status) => response.writeHead(status).end();
  if (request.method !== "POST") return answer(405);
  if (!isGenuine(request.headers, body)) return answer(401);
  const id = request.headers["webhook-id"];
  if (!seen.has(id)) { // A repeat is one that was taken, and whose answer got lost.
    seen.add(id);
    const { status, requestID, metadata } = JSON.parse(body);
    console.log(status, requestID, JSON.stringify(metadata));
  }
  answer(204);
});

server.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`);
});
