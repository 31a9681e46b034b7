// Follow the outcomes of a space as they come, and go on after a break where one left off.
//
//   node follow.mjs            (Node 18 or newer; no package is needed)
//
// ENGRAFT_URL and ENGRAFT_TOKEN are as for quickstart.mjs. It ends with 1 when an answer is not what it should be.

import assert from "node:assert/strict";

const url = process.env.ENGRAFT_URL ?? "http://127.0.0.1:7878";
const authorization = process.env.ENGRAFT_TOKEN ? { authorization: `Bearer ${process.env.ENGRAFT_TOKEN}` } : {};
const space = `node-events-${Date.now()}-${process.pid}`;

async function put(memory, content) {
  const answer = await fetch(`${url}/v1/memories/${space}/${memory}`, {
    method: "PUT",
    headers: { "content-type": "application/json", prefer: "wait=10", ...authorization },
    body: JSON.stringify({ content }),
  });
  assert.ok(answer.ok, await answer.text());
}

/** Opens the stream of the space's outcomes: from now on, or after the event that `cursor` names. */
async function follow(cursor) {
  const stream = await fetch(`${url}/v1/events?space=${space}`, {
    headers: { accept: "text/event-stream", ...(cursor && { "last-event-id": cursor }), ...authorization },
    signal: AbortSignal.timeout(30_000),
  });
  assert.ok(stream.ok, `${stream.status}`);
  return stream;
}

/** The events of a stream, as { id, data }: fields on lines, an empty line after each event. */
async function* events(stream) {
  let text = "";
  for await (const part of stream.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + part).split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split(/\r?\n/).map((line) => [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1).trimStart()]),
      );
      if (fields.data) yield { id: fields.id, data: JSON.parse(fields.data) };
    }
  }
}

/** The first event that is so. The stream ends with it. */
async function first(stream, isSo) {
  for await (const event of events(stream)) if (isSo(event.data)) return event;
  assert.fail("the stream ended early");
}

const memoryOf = (outcome) => outcome.records[0].memory;

await put("before", "the space is there");

console.log("1. Follow the space, then write to it: the outcome arrives by itself.");
const stream = await follow();
await put("m-1", "first");
const { id: cursor } = await first(stream, (outcome) => memoryOf(outcome) === "m-1");

console.log("2. Hang up, write more, and follow again from the last event that was seen: nothing is missed.");
await put("m-2", "second");
const next = await first(await follow(cursor), () => true);
assert.equal(memoryOf(next.data), "m-2");

console.log(`All as it should be, in space ${space}.`);
