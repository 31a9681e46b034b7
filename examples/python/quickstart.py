"""Put, relate, search, walk, wait: the whole of Engraft by HTTP, against a running `engraft serve`.

    pip install httpx && python quickstart.py

ENGRAFT_URL is the server (http://127.0.0.1:7878), ENGRAFT_TOKEN a bearer token if it wants one.
Every answer is checked: the program ends with 1 at the first that is not what it should be.
"""

import os
import sys
import time

import httpx

space = f"python-{time.time_ns()}"  # a space of its own, made by its first use

headers = {"prefer": "wait=10"}  # a write answers with its outcome, if that comes within 10 s
if token := os.environ.get("ENGRAFT_TOKEN"):
    headers["authorization"] = f"Bearer {token}"
client = httpx.Client(
    base_url=os.environ.get("ENGRAFT_URL", "http://127.0.0.1:7878"), headers=headers, timeout=30
)


def call(method, path, body=None, **headers):
    """Sends a request and returns its answer; whatever is not a success ends the program."""
    answer = client.request(method, path, json=body, headers=headers)
    if not answer.is_success:
        sys.exit(f"{method} {path}: {answer.status_code} {answer.text}")
    return answer.json()


def expect(what, is_so):
    if not is_so:
        sys.exit(f"expected that {what}")


print("1. Put two memories; each answer is the command's outcome.")
outcome = call(
    "PUT",
    f"/v1/memories/{space}/tea",
    {"content": "Ada likes green tea", "properties": {"topic": "tea"}, "vector": [0.9, 0.1, 0.0]},
)
expect("the first is committed", outcome["outcome"] == "committed")
outcome = call(
    "PUT",
    f"/v1/memories/{space}/kettle",
    {"kind": "Procedure", "content": "Boil the kettle, then wait three minutes", "vector": [0.1, 0.9, 0.0]},
)
expect("the second is new", outcome["records"][0]["effect"] == "created")

print("2. Relate them.")
outcome = call("PUT", f"/v1/relations/{space}/tea/REQUIRES/kettle", {"weight": 0.8})
expect("the relation is committed", outcome["outcome"] == "committed")

print("3. Search by words: no embedding model is needed.")
hits = call("POST", "/v1/search", {"space": space, "text": "green tea", "limit": 1})["hits"]
expect("the words lead to the tea", hits[0]["memory"]["id"] == "tea")

print("4. Search by a vector.")
hits = call("POST", "/v1/search", {"space": space, "vector": [0.0, 1.0, 0.0], "limit": 1})["hits"]
expect("the vector leads to the kettle", hits[0]["memory"]["id"] == "kettle")

print("5. Walk from one memory to the other.")
neighbors = call("GET", f"/v1/memories/{space}/tea/neighbors?direction=out&depth=1")["neighbors"]
expect("the tea requires the kettle", neighbors[0]["via"]["type"] == "REQUIRES")
expect("it is one hop away", (neighbors[0]["memory"]["id"], neighbors[0]["depth"]) == ("kettle", 1))

print("6. Send without waiting: the answer comes as soon as the command is durable.")
put = {
    "type": "memory.put",
    "id": "command-1",
    "space": space,
    "data": {"id": "milk", "content": "No milk"},
}
accepted = call("POST", "/v1/commands", put, prefer="respond-async")
expect("it is accepted", accepted["state"] == "accepted")

print("7. Its token makes a read see it; its position tells what became of it.")
read = call("GET", f"/v1/memories/{space}/milk", **{"consistency-token": accepted["token"]})
expect("the read sees the write", read["memory"]["content"] == "No milk")
command = call("GET", f"/v1/commands/{accepted['position']}")
expect("it is committed", command["outcome"]["outcome"] == "committed")

print("8. Send the same command again: it is done once.")
outcome = call("POST", "/v1/commands", put)
expect("it is known as a duplicate", outcome["duplicate_of"] == accepted["position"])

print(f"All as it should be, in space {space}.")
