//! Every route, and what it takes and answers. One entry a route and method, in the order of the
//! router.

use serde_json::{Value, json};

use crate::guard::Standing;
use crate::log::envelope::schema::{
    FILES,
    outcome::Position,
    text::{MemoryId, Name},
};

use super::{
    super::{
        Guarantees, breakers, commands, events, find, history, memories, orders, problem::Problem, relations,
        search, spaces, stats, status, views::Read, walks, writes::Parallel,
    },
    document::{Document, Operation, reference},
    words::SpaceName,
};

type Problems = &'static [(u16, &'static str)];

const BAD: (u16, &str) = (400, "A path, a header, a parameter or a body that cannot be read");
const NO_TOKEN: (u16, &str) = (401, "No bearer token, or none that is known");
const FORBIDDEN: (u16, &str) = (403, "The token does not open this space, or not in this role");
const NO_ADMIN: (u16, &str) = (403, "The token is not one of an admin of all spaces");
const ABSENT: (u16, &str) = (404, "It is not there; with `\"pending\":true`: not yet");
const GONE: (u16, &str) = (410, "What comes next was swept");
const NOT_KEPT: (u16, &str) = (410, "What it was at that time is not kept");
const SLOW: (u16, &str) = (408, "The body did not arrive in time");
const LARGE: (u16, &str) = (413, "The body, or something in it, is larger than allowed");
const MEDIA: (u16, &str) = (415, "A form that is not taken here, or a packed body");
const MEANING: (u16, &str) =
    (422, "A command or a question that breaks a rule; `errors` says which and where");
const BROKEN: (u16, &str) = (500, "What is stored contradicts itself");
const AWAY: (u16, &str) = (503, "Something that it takes does not answer, or not in time; see `code`");

/// Of a read by path and query.
const READ: Problems = &[BAD, NO_TOKEN, FORBIDDEN, ABSENT, BROKEN, AWAY];
/// Of a question in a body.
const SEARCH: Problems = &[BAD, NO_TOKEN, FORBIDDEN, SLOW, LARGE, MEDIA, MEANING, BROKEN, AWAY];
/// Of a write, waited for or not.
const WRITE: Problems = &[
    BAD,
    NO_TOKEN,
    FORBIDDEN,
    (404, "What it changes is not there"),
    SLOW,
    (409, "An end of the relation is not there, or the id was used for another command"),
    (412, "The record is not as `If-Match` or `If-None-Match` asks"),
    LARGE,
    MEDIA,
    MEANING,
    (429, "The space has as many memories as its quota allows"),
    BROKEN,
    AWAY,
];
/// Of a route that touches nothing.
const NAMED: Problems = &[BAD, (404, "There is nothing of this name")];

const READ_HEADERS: &[&str] = &["Consistency-Token", "Prefer"];
const JSON: &str = "application/json";

/// The whole document.
pub(super) fn document() -> Value {
    let mut document = Document::new();
    commands(&mut document);
    memories(&mut document);
    walks(&mut document);
    relations(&mut document);
    search(&mut document);
    spaces(&mut document);
    server(&mut document);
    contracts_and_health(&mut document);
    words(&mut document);
    let frame = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Engraft",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{}, {"token": []}],
    });
    document.finish(frame, request_headers(), answer_headers())
}

fn commands(document: &mut Document) {
    let command = command_schema(document);
    document.add("BareCommand".to_owned(), command);
    document.add("CloudEvent".to_owned(), cloud_event());
    // Items are answered one by one, whatever they are: one that is wrong does not make the list wrong.
    let several = json!({"type": "array", "minItems": 1, "maxItems": 1_000, "items": {},
        "description": "Independent commands, each in the form of a single one."});
    let forms = [
        (JSON, json!({"anyOf": [reference("BareCommand"), several.clone()]})),
        ("application/cloudevents+json", reference("CloudEvent")),
        ("application/cloudevents-batch+json", several),
        ("application/x-ndjson", json!({"type": "string", "description": "A command a line."})),
    ];
    document.will_tell::<(commands::Answers, commands::Accepted)>();
    let operation = document
        .operation(
            "post",
            "/v1/commands",
            "send_commands",
            "Send one command, or up to 1,000 independent ones",
        )
        .headers(&["Prefer", "Idempotency-Key"])
        .body(&forms);
    let one_or_several = |one: &str| json!({"anyOf": [reference(one), reference("Answers")]});
    let what = "Waited for: it has ended, as it tells; or several, each as far as it came";
    operation
        .answer(200, what, &[(JSON, one_or_several("Outcome"))], &[])
        .answer(202, "In the log; one, or several", &[(JSON, one_or_several("Accepted"))], &[])
        .problems::<Problem>(WRITE);
    document
        .operation("get", "/v1/commands", "find_commands", "One command by its id, or those in some states")
        .query::<find::FindQuery>()
        .headers(READ_HEADERS)
        .tells::<Read<find::Found>>(200, "Commands, and where to go on", &[])
        .problems::<Problem>(READ);
    document
        .operation("get", "/v1/commands/{position}", "get_command", "How far a command has come")
        .headers(&["Prefer"])
        .tells::<commands::Command>(200, "How far it has come, and its outcome", &[])
        .problems::<Problem>(&[
            BAD,
            NO_TOKEN,
            (404, "The log has no such position, or the caller may not see it"),
            (410, "It ended so long ago that its row is gone"),
            BROKEN,
            AWAY,
        ]);
    document
        .operation(
            "post",
            "/v1/commands/{position}/{order}",
            "order_command",
            "`cancel`, `retry` or `resolve` a command that has not ended; for an admin of all spaces",
        )
        .query::<orders::OrderQuery>()
        .tells::<orders::Ordered>(202, "It will be carried out", &["Location"])
        .problems::<Problem>(&[
            BAD,
            NO_TOKEN,
            NO_ADMIN,
            (404, "The log has no such position, or there is no such order"),
            (409, "The order means nothing for the command as it stands"),
            (410, "It ended so long ago that its row is gone"),
            BROKEN,
            AWAY,
        ]);
}

fn memories(document: &mut Document) {
    document
        .operation("get", "/v1/memories/{space}", "list_memories", "All memories of a space, by id")
        .query::<memories::ListQuery>()
        .headers(READ_HEADERS)
        .tells::<Read<memories::Listed>>(200, "Some of them, and where to go on", &[])
        .problems::<Problem>(READ);
    document
        .operation("get", "/v1/memories/{space}/{id}", "get_memory", "One memory")
        .query::<memories::ShowQuery>()
        .headers(READ_HEADERS)
        .headers(&["If-None-Match"])
        .tells::<Read<memories::Shown>>(200, "The memory", &["ETag"])
        .answer(304, "It is as `If-None-Match` says", &[], &["ETag"])
        .problems::<Problem>(&[READ, &[NOT_KEPT]].concat());
    document
        .operation(
            "get",
            "/v1/memories/{space}/{id}/history",
            "get_history",
            "What a memory was, newest first",
        )
        .query::<history::HistoryQuery>()
        .headers(READ_HEADERS)
        .tells::<Read<history::Listed>>(200, "Its versions, and where to go on", &[])
        .problems::<Problem>(READ);
    document.without("MemoryPut", &["id"], "MemoryPutBody");
    document.without("MemoryPatch", &["id"], "MemoryPatchBody");
    let operation = document
        .operation("put", "/v1/memories/{space}/{id}", "put_memory", "Write a whole memory")
        .headers(&["If-Match", "If-None-Match-Any"])
        .body(&[(JSON, reference("MemoryPutBody"))]);
    written(operation);
    let patch = reference("MemoryPatchBody");
    let operation = document
        .operation(
            "patch",
            "/v1/memories/{space}/{id}",
            "patch_memory",
            "Change parts of a memory (RFC 7396)",
        )
        .headers(&["If-Match"])
        .body(&[(JSON, patch.clone()), ("application/merge-patch+json", patch)]);
    written(operation);
    let operation = document
        .operation(
            "delete",
            "/v1/memories/{space}/{id}",
            "delete_memory",
            "Delete a memory and its relations",
        )
        .headers(&["If-Match"]);
    written(operation);
    document
        .operation("get", "/v1/memories/{space}/{id}/relations", "get_relations", "The relations of a memory")
        .query::<memories::WalkQuery>()
        .headers(READ_HEADERS)
        .tells::<Read<memories::Related>>(200, "Its relations", &[])
        .problems::<Problem>(READ);
    document
        .operation("get", "/v1/memories/{space}/{id}/neighbors", "get_neighbors", "Memories a few hops away")
        .query::<memories::WalkQuery>()
        .headers(READ_HEADERS)
        .tells::<Read<memories::Near>>(200, "Those memories, nearest first", &[])
        .problems::<Problem>(READ);
}

fn walks(document: &mut Document) {
    document
        .operation(
            "get",
            "/v1/memories/{space}/{id}/lineage",
            "get_lineage",
            "What it came from, and what came of it",
        )
        .query::<walks::LineageQuery>()
        .headers(READ_HEADERS)
        .tells::<Read<walks::Lineage>>(200, "Each way apart", &[])
        .problems::<Problem>(READ);
    document
        .operation(
            "get",
            "/v1/memories/{space}/{id}/contradictions",
            "get_contradictions",
            "What contradicts it",
        )
        .query::<walks::ContradictionsQuery>()
        .headers(READ_HEADERS)
        .tells::<Read<walks::Contradictions>>(200, "Those memories", &[])
        .problems::<Problem>(READ);
    document
        .operation("get", "/v1/paths/{space}", "find_paths", "Paths between two memories")
        .query::<walks::PathsQuery>()
        .headers(READ_HEADERS)
        .tells::<Read<walks::Paths>>(200, "Paths, shorter ones first", &[])
        .problems::<Problem>(READ);
}

fn relations(document: &mut Document) {
    const PATH: &str = "/v1/relations/{space}/{source}/{type}/{target}";
    document
        .operation("get", PATH, "get_relation", "One relation")
        .query::<Parallel>()
        .headers(READ_HEADERS)
        .tells::<Read<relations::Shown>>(200, "The relation", &["ETag"])
        .problems::<Problem>(READ);
    document.without("RelationPut", &["source", "type", "target", "discriminator"], "RelationPutBody");
    let operation = document
        .operation("put", PATH, "put_relation", "Write a relation")
        .query::<Parallel>()
        .body(&[(JSON, reference("RelationPutBody"))]);
    written(operation);
    written(document.operation("delete", PATH, "delete_relation", "Delete a relation").query::<Parallel>());
}

fn search(document: &mut Document) {
    document
        .operation(
            "post",
            "/v1/search",
            "search",
            "Search one space by vector, sparse vector, text or several",
        )
        .headers(READ_HEADERS)
        .reads::<search::Wanted>()
        .tells::<Read<search::Found>>(200, "The best hits first", &[])
        .problems::<Problem>(SEARCH);
    document
        .operation("post", "/v1/search/batch", "search_batch", "Several searches, answered in their order")
        .headers(READ_HEADERS)
        .reads::<search::Several>()
        .tells::<search::Answers>(200, "An answer a search", &[])
        .problems::<Problem>(SEARCH);
}

fn spaces(document: &mut Document) {
    let operation = document
        .operation("put", "/v1/spaces/{space}", "put_space", "Declare a space, or extend its declaration")
        .body(&[(JSON, reference("SpaceCreate"))]);
    written(operation);
    document
        .operation("get", "/v1/spaces/{space}", "get_space", "What a space is declared to be")
        .tells::<spaces::Shown>(200, "Its declaration", &[])
        .problems::<Problem>(READ);
    document
        .operation("get", "/v1/spaces/{space}/stats", "get_stats", "How much there is of a space")
        .headers(READ_HEADERS)
        .tells::<Read<stats::Stats>>(200, "Counts", &[])
        .problems::<Problem>(READ);
    let stream = json!({"type": "string", "description": "Server-sent events: each `data` is one outcome, each \
        `id` a cursor."});
    document
        .operation("get", "/v1/events", "follow_outcomes", "The outcomes of a space, as they come")
        .query::<events::EventsQuery>()
        .headers(&["Last-Event-ID"])
        .answer(200, "A stream that ends with the server", &[("text/event-stream", stream)], &[])
        .problems::<Problem>(&[BAD, NO_TOKEN, FORBIDDEN, GONE, BROKEN, AWAY]);
}

fn server(document: &mut Document) {
    const ASKED: Problems = &[NO_TOKEN, BROKEN, AWAY];
    document
        .operation("get", "/v1/guarantees", "get_guarantees", "What this deployment promises")
        .tells::<Guarantees>(200, "The promise, and the stores behind it", &[])
        .problems::<Problem>(&[NO_TOKEN]);
    document
        .operation(
            "get",
            "/v1/status",
            "get_status",
            "What the server is doing; more for an admin of all spaces",
        )
        .tells::<status::Status>(200, "Its state", &[])
        .problems::<Problem>(ASKED);
    document
        .operation(
            "get",
            "/v1/breakers",
            "get_breakers",
            "How each store's breaker stands; for an admin of all spaces",
        )
        .tells::<breakers::Breakers>(200, "One entry a store", &[])
        .problems::<Problem>(&[NO_TOKEN, NO_ADMIN]);
    document
        .operation(
            "post",
            "/v1/breakers/{store}/{order}",
            "order_breaker",
            "`open`, `close` or `reset` a store's breaker; for an admin of all spaces",
        )
        .tells::<Standing>(200, "How it stands now", &[])
        .problems::<Problem>(&[NO_TOKEN, NO_ADMIN, (404, "There is no such store or order")]);
    document
        .operation(
            "get",
            "/metrics",
            "get_metrics",
            "What the process counts, in Prometheus' text form; for an admin of all spaces",
        )
        .answer(200, "The figures", &[("text/plain", json!({"type": "string"}))], &[])
        .problems::<Problem>(&[NO_TOKEN, NO_ADMIN, BROKEN, AWAY]);
}

fn contracts_and_health(document: &mut Document) {
    let any = |media: &'static str| [(media, json!({"type": "string"}))];
    document
        .operation(
            "get",
            "/schemas/{name}",
            "get_schema",
            "The JSON Schema of a command's data or of an outcome",
        )
        .open()
        .answer(200, "The schema", &[("application/schema+json", json!({"type": "object"}))], &[])
        .problems::<Problem>(NAMED);
    document
        .operation("get", "/openapi.json", "get_openapi", "This document")
        .open()
        .answer(200, "The document", &[(JSON, json!({"type": "object"}))], &[])
        .problems::<Problem>(&[]);
    document
        .operation("get", "/asyncapi.yaml", "get_asyncapi", "The contract of the topics (AsyncAPI 3.0)")
        .open()
        .answer(200, "The document", &[("application/yaml", json!({"type": "object"}))], &[])
        .problems::<Problem>(&[]);
    document
        .operation("get", "/docs", "get_docs", "This document, for people")
        .open()
        .answer(200, "A page", &any("text/html"), &[])
        .problems::<Problem>(&[]);
    document
        .operation("get", "/docs/{file}", "get_docs_file", "What that page is made of")
        .open()
        .answer(200, "A part", &[any("text/css"), any("text/javascript")].concat(), &[])
        .problems::<Problem>(NAMED);
    for (path, id, summary, problems) in [
        ("/livez", "get_livez", "Whether the process answers", &[] as Problems),
        ("/readyz", "get_readyz", "Whether commands and questions can be taken", &[BROKEN, AWAY]),
        ("/healthz", "get_healthz", "As `/readyz`", &[BROKEN, AWAY]),
    ] {
        document
            .operation("get", path, id, summary)
            .open()
            .answer(200, "It does", &any("text/plain"), &[])
            .problems::<Problem>(problems);
    }
}

/// The answers of a write to one resource.
fn written(operation: Operation<'_>) {
    let token: &[&str] = &["Consistency-Token"];
    let outcome = [(JSON, reference("Outcome"))];
    operation
        .headers(&["Prefer", "Idempotency-Key"])
        .answer(200, "Waited for: it was committed", &outcome, token)
        .answer(201, "Waited for: it was committed, and made the record", &outcome, token)
        .tells::<commands::Accepted>(202, "In the log", &["Location", "Consistency-Token"])
        .problems::<Problem>(WRITE);
}

/// Schemas that only paths name.
fn words(document: &mut Document) {
    document.will_read::<(SpaceName, MemoryId, Name, Position)>();
    let word = json!({"type": "string", "minLength": 1});
    document.add("Word".to_owned(), word);
}

/// A bare command over HTTP: its space is in it, and its type says what its data is.
fn command_schema(document: &mut Document) -> Value {
    let mut envelope = document.schema("Envelope").clone();
    envelope["required"].as_array_mut().expect("a list").push("space".into());
    let commands = FILES.iter().filter(|file| !["envelope.v1", "outcome.v1"].contains(&file.name));
    let typed: Vec<Value> = commands
        .map(|file| {
            let schema: Value = serde_json::from_str(file.text).expect("a schema file is JSON");
            let title = schema["title"].as_str().expect("a schema file has a title");
            let (short, long) = (file.name.trim_end_matches(".v1"), format!("engraft.{}", file.name));
            json!({"properties": {"type": {"enum": [short, long]}, "data": reference(title)}})
        })
        .collect();
    envelope["oneOf"] = typed.into();
    envelope
}

/// A structured CloudEvent; what it says of itself beyond these attributes is passed over.
fn cloud_event() -> Value {
    let text = json!({"type": "string", "minLength": 1});
    json!({
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "type": reference("Type"),
            "id": text,
            "source": text,
            "space": reference("SpaceName"),
            "data": {"type": "object", "description": "As the schema that is named after `type` says."},
        },
        "required": ["specversion", "type", "id", "source", "space", "data"],
    })
}

fn request_headers() -> Value {
    let header = |name: &str, what: &str, schema: Value| json!({"name": name, "in": "header", "description": what, "schema": schema});
    let tag = r#"^"[0-9]+\.[0-9]+"$"#;
    json!({
        "Prefer": header("Prefer", "`wait=N`: waits up to N seconds, for the outcome of a write or for \
            what a consistency token names (RFC 7240).", json!({"type": "string"})),
        "Idempotency-Key": header("Idempotency-Key", "The command's id, unless its body has one: sent \
            again, it is done once.", json!({"type": "string", "pattern": r"^[\t -~]{1,255}$"})),
        "Consistency-Token": header("Consistency-Token", "Shows nothing older than the write that \
            answered with it.", json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{27}$"})),
        "Last-Event-ID": header("Last-Event-ID", "Goes on behind the event with this `id`.",
            json!({"type": "string"})),
        "If-Match": header("If-Match", "Writes only if the record stands at this version.",
            json!({"type": "string", "pattern": tag})),
        "If-None-Match": header("If-None-Match", "Answers 304 if the record stands at this version.",
            json!({"type": "string"})),
        "If-None-Match-Any": header("If-None-Match", "Writes only if there is no such record.",
            json!({"const": "*"})),
    })
}

fn answer_headers() -> Value {
    let header = |what: &str, required: bool| json!({"description": what, "required": required, "schema": {"type": "string"}});
    json!({
        "Location": header("Where the command can be asked after.", true),
        "Consistency-Token": header("For a read that must see this write.", true),
        "ETag": header("The record's version, in quotes.", true),
        "Retry-After": header("Seconds after which to try again.", false),
        "WWW-Authenticate": header("How to authenticate: `Bearer`.", true),
    })
}
