// One command onto the topic, as Engraft's own JSON, and its outcome back.
//
//   npm install kafkajs fzstd && node produce.mjs        (Node 18 or newer)
//
// ENGRAFT_KAFKA__BROKERS (localhost:9092) and ENGRAFT_KAFKA__TOPIC_PREFIX (none) are the server's own variables.
// The outcome is printed as JSON; what is not committed within half a minute ends the program with 1.

import { randomUUID } from "node:crypto";
import { decompress } from "fzstd";
import kafkajs from "kafkajs";

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs;

const brokers = (process.env.ENGRAFT_KAFKA__BROKERS ?? "localhost:9092").split(",");
const prefix = process.env.ENGRAFT_KAFKA__TOPIC_PREFIX ?? "";
const commands = `${prefix}engraft.commands.v1`;
const outcomes = `${prefix}engraft.outcomes.v1`;
const id = randomUUID(); // sent again under the same id, it is done once

// The topics are compressed by zstd, which kafkajs does not bring. It has only to be read.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  decompress: async (bytes) => Buffer.from(decompress(bytes)),
});
const kafka = new Kafka({ clientId: "produce", brokers, logLevel: logLevel.ERROR });

// Where the outcomes end now: the one that is waited for comes after.
const admin = kafka.admin();
await admin.connect();
const ends = new Map((await admin.fetchTopicOffsets(outcomes)).map((end) => [end.partition, end.high]));
await admin.disconnect();

// From version 2 on, kafkajs' default partitioner places keys as Java does. Its LegacyPartitioner does not.
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true });
await producer.connect();
const [{ partition, baseOffset }] = await producer.send({
  topic: commands,
  messages: [
    {
      key: "acme", // the space
      value: JSON.stringify({
        type: "memory.put",
        id,
        source: "/producers/node",
        data: { id: "from-node", content: "A record by Node" },
      }),
    },
  ],
});
await producer.disconnect();

// A command's outcome is in the partition of the same number; its id is where the command stands.
const group = `produce-${id}`;
const consumer = kafka.consumer({ groupId: group });
await consumer.connect();
await consumer.subscribe({ topic: outcomes });
const outcome = await new Promise((resolve) => {
  setTimeout(resolve, 30_000, undefined);
  consumer.run({
    autoCommit: false,
    eachMessage: async ({ message }) => {
      const [, ...place] = message.headers.ce_id.toString().split(".");
      if (place.join() === [partition, baseOffset].join()) resolve(JSON.parse(message.value));
    },
  });
  consumer.seek({ topic: outcomes, partition, offset: ends.get(partition) });
});
await consumer.disconnect();

console.log(outcome ? JSON.stringify(outcome) : "no outcome came");
process.exit(outcome?.outcome === "committed" ? 0 : 1);
