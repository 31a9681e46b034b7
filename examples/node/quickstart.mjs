// Put, relate, search, walk, wait: the whole of Engraft by HTTP, against a running `engraft serve`.
//
//   node quickstart.mjs        (Node 18 or newer; no package is needed)
//
// ENGRAFT_URL is the server (http://127.0.0.1:7878), ENGRAFT_TOKEN a bearer token if it wants one.
// Every answer is checked: the program ends with 1 at the first that is not what it should be.

import assert from "node:assert/strict";

const url = process.env.ENGRAFT_URL ?? "http://127.0.0.1:7878";
const token = process.env.ENGRAFT_TOKEN;
const space = `node-${Date.now()}-${process.pid}`; // a space of its own, made by its first use

/** Sends a request and returns its answer; a write answers with its outcome, if that comes within 10 s. */
async function call(method, path, body, headers = {}) {
  const answer = await fetch(url + path, {
    method,
    headers: {
      prefer: "wait=10",
      ...(body && { "content-type": "application/json" }),
      ...(token && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

console.log("1. Put two memories; each answer is the command's outcome.");
let outcome = await call("PUT", `/v1/memories/${space}/tea`, {
  content: "Ada likes green tea",
  properties: { topic: "tea" },
  vector: [0.9, 0.1, 0.0],
});
assert.equal(outcome.outcome, "committed");
outcome = await call("PUT", `/v1/memories/${space}/kettle`, {
  kind: "Procedure",
  content: "Boil the kettle, then wait three minutes",
  vector: [0.1, 0.9, 0.0],
});
assert.equal(outcome.records[0].effect, "created");

console.log("2. Relate them.");
outcome = await call("PUT", `/v1/relations/${space}/tea/REQUIRES/kettle`, { weight: 0.8 });
assert.equal(outcome.outcome, "committed");

console.log("3. Search by words: no embedding model is needed.");
let { hits } = await call("POST", "/v1/search", { space, text: "green tea", limit: 1 });
assert.equal(hits[0].memory.id, "tea");

console.log("4. Search by a vector.");
({ hits } = await call("POST", "/v1/search", { space, vector: [0.0, 1.0, 0.0], limit: 1 }));
assert.equal(hits[0].memory.id, "kettle");

console.log("5. Walk from one memory to the other.");
const { neighbors } = await call("GET", `/v1/memories/${space}/tea/neighbors?direction=out&depth=1`);
assert.equal(neighbors[0].via.type, "REQUIRES");
assert.deepEqual([neighbors[0].memory.id, neighbors[0].depth], ["kettle", 1]);

console.log("6. Send without waiting: the answer comes as soon as the command is durable.");
const put = { type: "memory.put", id: "command-1", space, data: { id: "milk", content: "No milk" } };
const accepted = await call("POST", "/v1/commands", put, { prefer: "respond-async" });
assert.equal(accepted.state, "accepted");

console.log("7. Its token makes a read see it; its position tells what became of it.");
const read = await call("GET", `/v1/memories/${space}/milk`, undefined, { "consistency-token": accepted.token });
assert.equal(read.memory.content, "No milk");
const command = await call("GET", `/v1/commands/${accepted.position}`);
assert.equal(command.outcome.outcome, "committed");

console.log("8. Send the same command again: it is done once.");
outcome = await call("POST", "/v1/commands", put);
assert.equal(outcome.duplicate_of, accepted.position);

console.log(`All as it should be, in space ${space}.`);
