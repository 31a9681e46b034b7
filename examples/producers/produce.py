"""One command onto the topic, as a CloudEvent in binary form, and its outcome back.

    pip install confluent-kafka && python produce.py

ENGRAFT_KAFKA__BROKERS (localhost:9092) and ENGRAFT_KAFKA__TOPIC_PREFIX (none) are the server's own variables.
The outcome is printed as JSON; what is not committed within half a minute ends the program with 1.
"""

import json
import os
import sys
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

brokers = os.environ.get("ENGRAFT_KAFKA__BROKERS", "localhost:9092")
prefix = os.environ.get("ENGRAFT_KAFKA__TOPIC_PREFIX", "")
commands, outcomes = f"{prefix}engraft.commands.v1", f"{prefix}engraft.outcomes.v1"

# Where the outcomes end now: the one that is waited for comes after.
consumer = Consumer({"bootstrap.servers": brokers, "group.id": "none", "enable.auto.commit": False})
partitions = consumer.list_topics(outcomes, timeout=10).topics[outcomes].partitions
ends = {
    partition: consumer.get_watermark_offsets(TopicPartition(outcomes, partition), timeout=10)[1]
    for partition in partitions
}

# librdkafka places keys by CRC32 unless it is told to place them as Java does.
producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "enable.idempotence": True})
delivered = []
producer.produce(
    commands,
    key="acme",  # the space
    value=json.dumps({"id": "from-python", "content": "A record by Python"}),
    headers={
        "ce_specversion": "1.0",
        "ce_type": "engraft.memory.put.v1",
        "ce_source": "/producers/python",
        "ce_id": str(uuid.uuid4()),  # sent again under the same id, it is done once
        "content-type": "application/json",
    },
    on_delivery=lambda error, record: delivered.append((error, record)),
)
producer.flush(30)
if not delivered or delivered[0][0]:
    sys.exit(f"not delivered: {delivered[0][0] if delivered else 'no answer'}")
record = delivered[0][1]

# A command's outcome is in the partition of the same number; its id is where the command stands.
consumer.assign([TopicPartition(outcomes, record.partition(), ends[record.partition()])])
deadline = time.monotonic() + 30
while time.monotonic() < deadline:
    event = consumer.poll(1)
    if event is None or event.error():
        continue
    _epoch, partition, offset = dict(event.headers())["ce_id"].decode().split(".")
    if (int(partition), int(offset)) == (record.partition(), record.offset()):
        outcome = json.loads(event.value())
        print(json.dumps(outcome))
        sys.exit(outcome["outcome"] != "committed")
sys.exit("no outcome came")
