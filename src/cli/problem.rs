//! A problem that a server answered with, in words: what, where, and what to do about it.

use serde_json::Value;

use super::{Exit, Failure, client::Answer};

/// The failure that an answer stands for which is no success.
#[must_use]
pub(super) fn failure(answer: &Answer) -> Failure {
    let Some(code) = answer.body.get("code").and_then(Value::as_str) else {
        let what = "not one of Engraft's; does `--url` name an Engraft server?";
        return Failure::new(Exit::Unreachable, format!("the answer, status {}, is {what}", answer.status));
    };
    let fix = fix(code).map_or_else(String::new, |fix| format!("; {fix}"));
    Failure::new(exit(answer.status, code), format!("{}{fix}", explain(&answer.body)))
}

fn exit(status: u16, code: &str) -> Exit {
    match (status, code) {
        // A path that the server does not have says nothing about what was asked for.
        (_, "no_route") => Exit::Failed,
        (404 | 410, _) => Exit::NotFound,
        (408 | 500.., _) => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

/// What to do, where the problem's own words do not say it.
fn fix(code: &str) -> Option<&'static str> {
    Some(match code {
        "no_route" | "method_not_allowed" => {
            "this server does not know the request: is it older than this program?"
        }
        "unauthenticated" => "give a token that it knows with `--token` or ENGRAFT_TOKEN",
        "forbidden" => "the token is for other spaces, or for less than this",
        "if_version" => "somebody wrote it since; read it again for its version",
        "if_absent" => "leave `--if-absent` out to replace it",
        "endpoint_missing" => "put both memories first, or say `--on-missing stub`",
        "id_reused" => "that idempotency key was for another command; take a new one",
        "starting" => "the server has just started; try again in a moment",
        _ => return None,
    })
}

/// A problem in one line: the code, then what and where.
#[must_use]
pub(super) fn explain(problem: &Value) -> String {
    let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
    let errors = problem.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut places = errors.iter().filter_map(|error| {
        let pointer = error.get("pointer")?.as_str().filter(|pointer| !pointer.is_empty())?;
        Some(format!("{pointer}: {}", error.get("detail")?.as_str()?))
    });
    match places.next() {
        Some(first) => places.fold(format!("{}: {first}", text("code")), |all, one| format!("{all}; {one}")),
        None => format!("{}: {}", text("code"), text("detail")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_names_its_places() {
        let problem = json!({"code": "invalid_field", "detail": "x",
            "errors": [{"pointer": "/data/id", "detail": "too long"}]});
        assert_eq!(explain(&problem), "invalid_field: /data/id: too long");
        assert_eq!(explain(&json!({"code": "starting", "detail": "not yet"})), "starting: not yet");
    }

    #[test]
    fn a_status_and_its_code_become_the_exit_code_that_scripts_know() {
        let exit =
            |status, code: &str| failure(&Answer { status, body: json!({"code": code, "detail": "x"}) }).exit;
        assert_eq!(exit(404, "not_found"), Exit::NotFound);
        assert_eq!(exit(410, "swept"), Exit::NotFound);
        assert_eq!(exit(404, "no_route"), Exit::Failed);
        assert_eq!(exit(412, "if_version"), Exit::Failed);
        assert_eq!(exit(401, "unauthenticated"), Exit::Failed);
        assert_eq!(exit(503, "consistency_timeout"), Exit::Unreachable);
        let strange = failure(&Answer { status: 404, body: Value::Null });
        assert_eq!(strange.exit, Exit::Unreachable, "whoever that is, it cannot tell");
        assert!(strange.to_string().contains("--url"), "{strange}");
    }
}
