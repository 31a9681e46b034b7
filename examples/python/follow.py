"""Follow the outcomes of a space as they come, and go on after a break where one left off.

    pip install httpx && python follow.py

ENGRAFT_URL and ENGRAFT_TOKEN are as for quickstart.py. It ends with 1 when an answer is not what it should be.
"""

import json
import os
import sys
import time

import httpx

space = f"python-events-{time.time_ns()}"

headers = {}
if token := os.environ.get("ENGRAFT_TOKEN"):
    headers["authorization"] = f"Bearer {token}"
client = httpx.Client(
    base_url=os.environ.get("ENGRAFT_URL", "http://127.0.0.1:7878"), headers=headers, timeout=30
)


def put(memory, content):
    answer = client.put(
        f"/v1/memories/{space}/{memory}", json={"content": content}, headers={"prefer": "wait=10"}
    )
    answer.raise_for_status()


def follow(cursor=None):
    """Opens the stream of the space's outcomes: from now on, or after the event that `cursor` names."""
    headers = {"accept": "text/event-stream"}
    if cursor is not None:
        headers["last-event-id"] = cursor
    return client.stream("GET", "/v1/events", params={"space": space}, headers=headers)


def events(stream):
    """The events of a stream, as (id, data): fields on lines, an empty line after each event."""
    fields = {}
    for line in stream.iter_lines():
        if line == "":
            if "data" in fields:
                yield fields.get("id"), json.loads(fields["data"])
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


def memory_of(outcome):
    return outcome["records"][0]["memory"]


put("before", "the space is there")

print("1. Follow the space, then write to it: the outcome arrives by itself.")
with follow() as stream:
    stream.raise_for_status()
    put("m-1", "first")
    cursor = next(id for id, outcome in events(stream) if memory_of(outcome) == "m-1")

print("2. Hang up, write more, and follow again from the last event that was seen: nothing is missed.")
put("m-2", "second")
with follow(cursor) as stream:
    stream.raise_for_status()
    _, outcome = next(events(stream))
    if memory_of(outcome) != "m-2":
        sys.exit(f"expected the outcome of m-2, not {outcome}")

print(f"All as it should be, in space {space}.")
