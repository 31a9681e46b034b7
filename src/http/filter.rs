//! Filters of a search, as clients write them, and the bounds that they must keep.
//!
//! ```text
//! {"kind":["Episode"], "session":["s-42"], "properties":{"topic":"tea","turn":{"gte":3,"lt":9}},
//!  "any":[{…filter…}, …], "not":{…filter…}}
//! ```
//!
//! Everything in one filter must hold; a list is any of its values; an empty list says nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    model::{Code, FieldError},
    vector::{Condition, Filter},
};

use super::{Problem, body};

/// How deep filters may stand in each other: more is a mistake, or an attack on the stack.
const DEPTH_MAX: usize = 8;
/// Most conditions of a filter with all that stand in it: each is judged for many points. A kind, a
/// session or a property is one, and so is a filter inside another.
const CONDITIONS_MAX: usize = 256;
/// Most values of one list.
const VALUES_MAX: usize = 1_000;

/// A filter as it was written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "Filter")]
#[serde(deny_unknown_fields, default, expecting = "a filter: an object of conditions")]
pub(super) struct FilterParts {
    kind: OneOrMany,
    session: OneOrMany,
    #[schemars(with = "BTreeMap<String, ConditionParts>")]
    properties: BTreeMap<String, Value>,
    /// At least one of these holds.
    any: Vec<FilterParts>,
    /// This does not hold.
    not: Option<Box<FilterParts>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a string or a list of strings")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// What a property must be: a value, one of several, or within a range.
#[derive(JsonSchema)]
#[schemars(rename = "Condition", untagged)]
#[expect(dead_code, reason = "a schema alone; conditions are read one by one, to say which is wrong")]
enum ConditionParts {
    Text(String),
    Flag(bool),
    Number(f64),
    AnyOf(Vec<Scalar>),
    Range(Range),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a schema alone")]
enum Scalar {
    Text(String),
    Flag(bool),
    Number(f64),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a range {gte, gt, lte, lt}")]
struct Range {
    gte: Option<f64>,
    gt: Option<f64>,
    lte: Option<f64>,
    lt: Option<f64>,
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// What of [`CONDITIONS_MAX`] is left.
struct Budget(usize);

impl FilterParts {
    /// The filter.
    ///
    /// # Errors
    /// A problem that points at what is wrong, or beyond the bounds.
    pub(super) fn checked(self) -> Result<Filter, Problem> {
        self.at("/filter", DEPTH_MAX, &mut Budget(CONDITIONS_MAX))
    }

    fn at(self, pointer: &str, depth: usize, budget: &mut Budget) -> Result<Filter, Problem> {
        if depth == 0 {
            let detail = format!("filters stand in each other {DEPTH_MAX} deep at most");
            return Err(refused(Code::TooDeep, pointer, detail));
        }
        let kinds = self.kind.within(budget, &format!("{pointer}/kind"))?;
        let sessions = self.session.within(budget, &format!("{pointer}/session"))?;
        let mut properties = BTreeMap::new();
        for (name, value) in self.properties {
            let pointer = format!("{pointer}/properties/{}", escaped(&name));
            budget.take(&pointer)?;
            properties.insert(name, condition(&pointer, value)?);
        }
        let mut any = Vec::with_capacity(self.any.len());
        for (index, filter) in self.any.into_iter().enumerate() {
            let pointer = format!("{pointer}/any/{index}");
            budget.take(&pointer)?;
            any.push(filter.at(&pointer, depth - 1, budget)?);
        }
        let not = match self.not {
            Some(filter) => {
                let pointer = format!("{pointer}/not");
                budget.take(&pointer)?;
                Some(Box::new(filter.at(&pointer, depth - 1, budget)?))
            }
            None => None,
        };
        Ok(Filter { kinds, sessions, properties, any, not })
    }
}

impl Budget {
    fn take(&mut self, pointer: &str) -> Result<(), Problem> {
        let over = || {
            let detail =
                format!("a filter has {CONDITIONS_MAX} conditions at most, with all that stand in it");
            refused(Code::TooLarge, pointer, detail)
        };
        self.0 = self.0.checked_sub(1).ok_or_else(over)?;
        Ok(())
    }
}

impl OneOrMany {
    fn within(self, budget: &mut Budget, pointer: &str) -> Result<Vec<String>, Problem> {
        let words = match self {
            Self::One(word) => vec![word],
            Self::Many(words) => words,
        };
        if !words.is_empty() {
            budget.take(pointer)?;
        }
        bounded(words, pointer)
    }
}

fn condition(pointer: &str, value: Value) -> Result<Condition, Problem> {
    match value {
        Value::Array(values) if values.iter().all(is_scalar) => {
            Ok(Condition::AnyOf(bounded(values, pointer)?))
        }
        Value::Object(_) => {
            let range: Range = serde_json::from_value(value)
                .map_err(|error| refused(Code::InvalidField, pointer, body::plain(&error.to_string())))?;
            Ok(Condition::Range { gte: range.gte, gt: range.gt, lte: range.lte, lt: range.lt })
        }
        scalar if is_scalar(&scalar) => Ok(Condition::AnyOf(vec![scalar])),
        _ => {
            let detail = "a condition is a value, a list of values, or a range {gte, gt, lte, lt}";
            Err(refused(Code::InvalidField, pointer, detail.to_owned()))
        }
    }
}

fn bounded<T>(values: Vec<T>, pointer: &str) -> Result<Vec<T>, Problem> {
    if values.len() <= VALUES_MAX {
        return Ok(values);
    }
    let detail = format!("a list in a filter has {VALUES_MAX} values at most; this one has {}", values.len());
    Err(refused(Code::TooLarge, pointer, detail))
}

fn is_scalar(value: &Value) -> bool {
    value.is_string() || value.is_boolean() || value.is_number()
}

/// A name as a JSON Pointer spells it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn refused(code: Code, pointer: &str, detail: String) -> Problem {
    Problem::refused(code, vec![FieldError::new(code, pointer, detail)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(filter: Value) -> Result<Filter, Problem> {
        serde_json::from_value::<FilterParts>(filter).expect("a filter's form").checked()
    }

    fn refusal(filter: Value) -> (u16, String) {
        let problem = serde_json::to_value(checked(filter).expect_err("refused")).expect("JSON");
        let status = problem["status"].as_u64().expect("a number");
        (
            u16::try_from(status).expect("small"),
            problem["errors"][0]["pointer"].as_str().unwrap_or("").to_owned(),
        )
    }

    /// A filter inside `depth - 1` others.
    fn nested(depth: usize, leaf: Value) -> Value {
        (1..depth).fold(leaf, |inner, _| json!({"not": inner}))
    }

    #[test]
    fn a_filter_is_read_with_all_that_stands_in_it() {
        let filter = checked(json!({
            "kind": "Episode",
            "any": [{"properties": {"turn": {"gte": 3}}}, {"session": ["s-1", "s-2"]}],
            "not": {"properties": {"topic": ["tea", 3]}},
        }));
        let filter = filter.expect("well formed");
        assert_eq!(filter.kinds, ["Episode"]);
        assert_eq!(filter.any.len(), 2);
        assert_eq!(filter.any[1].sessions, ["s-1", "s-2"]);
        let topic = Condition::AnyOf(vec![json!("tea"), json!(3)]);
        assert_eq!(filter.not.expect("one").properties, [("topic".to_owned(), topic)].into());
    }

    #[test]
    fn a_filter_is_bounded_in_depth_conditions_and_values() {
        assert!(checked(nested(DEPTH_MAX, json!({"kind": "Episode"}))).is_ok());
        assert_eq!(refusal(nested(DEPTH_MAX + 1, json!({}))), (400, format!("/filter{}", "/not".repeat(8))));

        let many = |count: usize| json!({"any": vec![json!({"session": "s"}); count]});
        assert!(checked(many(CONDITIONS_MAX / 2)).is_ok());
        assert_eq!(refusal(many(CONDITIONS_MAX / 2 + 1)), (413, "/filter/any/128".to_owned()));

        let values = |count: usize| json!({"properties": {"a/b": vec![1; count]}});
        assert!(checked(values(VALUES_MAX)).is_ok());
        assert_eq!(refusal(values(VALUES_MAX + 1)), (413, "/filter/properties/a~1b".to_owned()));
    }

    #[test]
    fn what_is_no_condition_is_refused_where_it_stands() {
        let wrong = json!({"any": [{}, {"properties": {"turn": {"above": 3}}}]});
        assert_eq!(refusal(wrong), (422, "/filter/any/1/properties/turn".to_owned()));
        assert_eq!(
            refusal(json!({"properties": {"turn": null}})),
            (422, "/filter/properties/turn".to_owned())
        );
    }
}
