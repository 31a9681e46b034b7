//! What a person writes at a prompt, made into JSON: properties, vectors, conditions, contents.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde_json::{Map, Value, json};

use super::{Exit, Failure};

/// Most bytes that are read from a file for one field: more than any command may have.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// `NAME=VALUE`: JSON where it is any (`turn=3`, `tags=["a"]`), text otherwise (`topic=tea`).
pub(super) fn property(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value_of(value))),
        _ => Err(r#"write NAME=VALUE, for instance `topic=tea`, `turn=3` or `code="3"`"#.to_owned()),
    }
}

fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// A condition on a property: `topic=tea`, `turn>=3`, `turn<9`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    name: String,
    /// `eq`, or the name of a range's bound.
    operator: &'static str,
    value: Value,
}

/// Longer signs before the shorter ones that they begin with.
const OPERATORS: [(&str, &str); 5] = [(">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt"), ("=", "eq")];

/// Reads one condition.
pub(super) fn condition(text: &str) -> Result<Condition, String> {
    let end = text.find(['=', '<', '>']).filter(|end| *end > 0);
    let parts = end.and_then(|end| {
        let (name, rest) = text.split_at(end);
        let (sign, operator) = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign))?;
        let value = value_of(rest.strip_prefix(sign)?);
        Some(Condition { name: name.to_owned(), operator, value })
    });
    parts.ok_or_else(|| "write NAME=VALUE, NAME>=NUMBER or the like, for instance `turn>=3`".to_owned())
}

/// All conditions as a filter has them: values of one name are any-of, bounds of one name are a range.
pub(super) fn conditions(all: &[Condition]) -> Result<Map<String, Value>, Failure> {
    let mut properties = Map::new();
    for Condition { name, operator, value } in all {
        let known = properties.entry(name.clone());
        let merged = match (known.or_insert(Value::Null), *operator) {
            (known @ Value::Null, "eq") => {
                *known = json!([value]);
                true
            }
            (Value::Array(values), "eq") => {
                values.push(value.clone());
                true
            }
            (known @ Value::Null, bound) => {
                *known = json!({ bound: value });
                true
            }
            (Value::Object(range), bound) if bound != "eq" => {
                range.insert(bound.to_owned(), value.clone()).is_none()
            }
            _ => false,
        };
        if !merged {
            let rule = "one property has either values to be any of, or one range";
            return Err(Failure::usage(format!("`--where` contradicts itself on `{name}`: {rule}")));
        }
    }
    Ok(properties)
}

/// The text of a file; `-`: of standard input.
pub(super) fn text_of(file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    let opened: io::Result<Box<dyn Read>> = if file == Path::new("-") {
        Ok(Box::new(io::stdin()))
    } else {
        File::open(file).map(|file| Box::new(file) as _)
    };
    let failed = |error: io::Error| {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, format!("cannot read `{shown}`: {error}"))
    };
    let mut bytes = Vec::new();
    let read = opened.map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("`{shown}` is longer than any command may be")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("`{shown}` is not UTF-8 text")))
}

/// A vector: JSON in place, or a file with it (`-`: standard input).
pub(super) fn vector(text: &str) -> Result<Value, Failure> {
    let in_place = text.trim_start().starts_with(['[', '{']);
    let json = if in_place { text.to_owned() } else { text_of(Path::new(text))? };
    let vector: Value = serde_json::from_str(&json).map_err(|error| bad_vector(text, &error))?;
    let is_one = match &vector {
        Value::Array(values) => values.iter().all(Value::is_number),
        Value::Object(members) => members.get("b64").is_some_and(Value::is_string),
        _ => false,
    };
    if is_one { Ok(vector) } else { Err(bad_vector(text, &"something else")) }
}

fn bad_vector(text: &str, what: &dyn std::fmt::Display) -> Failure {
    let start: String = text.chars().take(40).collect();
    let fix =
        r#"a vector is a JSON array of numbers or {"b64":"<little-endian f32>"}, in place or in a file"#;
    Failure::usage(format!("`--vector {start}`: {what}; {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_json_where_it_can_be_and_text_otherwise() {
        assert_eq!(property("topic=tea"), Ok(("topic".to_owned(), json!("tea"))));
        assert_eq!(property("turn=3"), Ok(("turn".to_owned(), json!(3))));
        assert_eq!(property("code=\"3\""), Ok(("code".to_owned(), json!("3"))));
        assert_eq!(property("tags=[\"a\"]"), Ok(("tags".to_owned(), json!(["a"]))));
        assert_eq!(property("gone=null"), Ok(("gone".to_owned(), Value::Null)));
        assert_eq!(property("equation=a=b"), Ok(("equation".to_owned(), json!("a=b"))));
        assert!(property("=x").is_err() && property("x").is_err());
    }

    #[test]
    fn conditions_on_one_property_are_any_of_or_a_range() {
        let read = |texts: &[&str]| {
            let all: Vec<_> = texts.iter().map(|text| condition(text).expect("a condition")).collect();
            conditions(&all).map(Value::Object).map_err(|failure| failure.exit)
        };
        assert_eq!(read(&["topic=tea", "topic=hot"]), Ok(json!({"topic": ["tea", "hot"]})));
        assert_eq!(read(&["turn>=3", "turn<9"]), Ok(json!({"turn": {"gte": 3, "lt": 9}})));
        assert_eq!(read(&["turn>=3", "turn=4"]), Err(Exit::Usage));
        assert_eq!(read(&["turn>3", "turn>4"]), Err(Exit::Usage));
        assert!(condition("turn").is_err() && condition(">3").is_err());
    }

    #[test]
    fn what_is_no_vector_is_refused_with_what_one_is() {
        assert_eq!(vector("[0.5,1]").expect("a vector"), json!([0.5, 1]));
        assert_eq!(vector("{\"b64\":\"AAAA\"}").expect("a vector"), json!({"b64": "AAAA"}));
        for bad in ["[0.5", "[\"a\"]", "{}"] {
            let refusal = vector(bad).expect_err("refused");
            assert_eq!(refusal.exit, Exit::Usage);
            assert!(refusal.to_string().contains("JSON array"), "{refusal}");
        }
        assert_eq!(vector("no/such/file.json").expect_err("refused").exit, Exit::NotFound);
    }
}
