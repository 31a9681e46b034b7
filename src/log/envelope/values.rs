//! Values with a form of their own: vectors, sparse vectors, properties, lists of names.

use std::sync::Arc;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Number, Value};

use super::{
    fields::{Fields, Place},
    json::Json,
};
use crate::model::{
    Code, Name, Sparse,
    memory::{Properties, f32s_from_bytes},
    space::NAMES_MAX,
};

/// Standard base64; producers differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A dense vector: a list of numbers, or `{"b64":"…"}` of little-endian f32.
pub(super) fn vector(fields: &Fields<'_, '_>, key: &str) -> Option<Arc<[f32]>> {
    let values = match fields.get(key)? {
        Json::List(items) => floats(fields, Place::Key(&fields.place, key), items)?,
        packed @ Json::Object(_) => {
            let inner = Fields::open(fields.context, Place::Key(&fields.place, key), packed, &["b64"])?;
            inner.required("b64")?;
            unpacked(&inner)?
        }
        other => {
            let detail =
                format!("`{key}` must be a list of numbers or {{\"b64\": …}}, and is {}", other.noun());
            fields.invalid(key, detail);
            return None;
        }
    };
    if values.is_empty() {
        fields.invalid(key, format!("`{key}` is empty; leave it out when there is none"));
        return None;
    }
    Some(values)
}

fn unpacked(fields: &Fields<'_, '_>) -> Option<Arc<[f32]>> {
    let text = fields.text("b64")?;
    let Some(values) = BASE64.decode(text).ok().and_then(|bytes| f32s_from_bytes(&bytes)) else {
        fields.invalid("b64", "`b64` must be standard base64 of little-endian f32, four bytes each");
        return None;
    };
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        fields.invalid("b64", format!("value {at} is not finite"));
        return None;
    }
    Some(values)
}

/// Numbers as f32. JSON can say `1e39`, which is a fine double and an infinite f32: what is stored
/// must be finite, so it is checked after the conversion.
fn floats(fields: &Fields<'_, '_>, place: Place<'_>, items: &[Json<'_>]) -> Option<Arc<[f32]>> {
    let mut values = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if fields.context.problems.borrow().is_full() {
            return None;
        }
        match float(item) {
            Some(value) if value.is_finite() => values.push(value),
            Some(_) => {
                let detail = "this number does not fit f32; it must lie within ±3.4e38";
                fields.context.problem(Code::InvalidField, Place::Index(&place, index), detail);
            }
            None => {
                let detail = format!("this must be a number, and is {}", item.noun());
                fields.context.problem(Code::InvalidField, Place::Index(&place, index), detail);
            }
        }
    }
    (values.len() == items.len()).then(|| values.into())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is what a vector's numbers are for; range is checked by the caller"
)]
fn float(item: &Json<'_>) -> Option<f32> {
    match item {
        Json::Integer(integer) => Some(*integer as f32),
        Json::Float(float) => Some(*float as f32),
        _ => None,
    }
}

/// A sparse vector as a client brings it.
pub(super) fn sparse(fields: &Fields<'_, '_>, key: &str) -> Option<Sparse> {
    let place = Place::Key(&fields.place, key);
    let inner = Fields::open(fields.context, place, fields.get(key)?, &["indices", "values"])?;
    let (indices, values) = (items(&inner, "indices"), items(&inner, "values"));
    let (indices, values) = (indices?, values?);
    if indices.len() != values.len() {
        let detail = format!("there are {} indices and {} values; give as many", indices.len(), values.len());
        inner.invalid("values", detail);
    }
    let numbers = terms(&inner, indices);
    let values = floats(&inner, Place::Key(&place, "values"), values);
    Some(Sparse { indices: numbers?, values: values?, derived: false })
}

fn terms(fields: &Fields<'_, '_>, items: &[Json<'_>]) -> Option<Arc<[u32]>> {
    let place = Place::Key(&fields.place, "indices");
    let mut numbers: Vec<u32> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let number = match item {
            Json::Integer(integer) => u32::try_from(*integer).ok(),
            _ => None,
        };
        let problem = match number {
            None => "an index must be an integer from 0 to 4294967295",
            Some(number) if numbers.last().is_some_and(|last| *last >= number) => {
                "indices must rise strictly; sort them and merge equal ones"
            }
            Some(number) => {
                numbers.push(number);
                continue;
            }
        };
        fields.context.problem(Code::InvalidField, Place::Index(&place, index), problem);
        return None;
    }
    Some(numbers.into())
}

fn items<'f, 'a>(fields: &Fields<'f, 'a>, key: &str) -> Option<&'f Vec<Json<'a>>> {
    match fields.required(key)? {
        Json::List(items) => Some(items),
        other => {
            fields.invalid(key, format!("`{key}` must be a list, and is {}", other.noun()));
            None
        }
    }
}

/// Properties: names to scalars, lists of one scalar type, or objects kept whole. Null means
/// absent, but in a patch it is kept: it removes the property.
pub(super) fn properties(fields: &Fields<'_, '_>, key: &str, keep_null: bool) -> Option<Properties> {
    let place = Place::Key(&fields.place, key);
    let context = fields.context;
    let Json::Object(members) = fields.get(key)? else {
        fields.invalid(key, format!("`{key}` must be an object of names and values"));
        return None;
    };
    let most = context.limits.properties_max;
    if members.len() > most {
        let detail = format!("`{key}` has {} entries, and at most {most} are allowed", members.len());
        fields.problem(Code::TooLarge, key, detail);
        return None;
    }
    let mut properties = Properties::new();
    for (name, value) in members {
        if Name::new(name).is_err() {
            let detail = "a property's name must match ^[A-Za-z][A-Za-z0-9_]{0,63}$";
            let short: &str = if name.len() > 128 { "…" } else { name };
            context.problem(Code::InvalidField, Place::Key(&place, short), detail);
        } else if let Some(problem) = misfit(value) {
            context.problem(Code::InvalidField, Place::Key(&place, name), problem);
        } else if keep_null || *value != Json::Null {
            properties.insert(name.clone().into_owned(), owned(value));
        }
    }
    Some(properties)
}

/// Why a value cannot be a property. `1` and `1.0` are one number, so numbers are one type.
fn misfit(value: &Json<'_>) -> Option<&'static str> {
    let Json::List(items) = value else { return None };
    let scalar =
        |item: &Json<'_>| matches!(item, Json::Text(_) | Json::Bool(_) | Json::Integer(_) | Json::Float(_));
    if !items.iter().all(scalar) {
        return Some("a list may hold strings, numbers or booleans alone; put the rest into an object");
    }
    let nouns = items.first().map(Json::noun);
    let mixed = items.iter().any(|item| Some(item.noun()) != nouns);
    mixed.then_some("a list must hold values of one type")
}

/// The value as the ledger keeps it.
fn owned(value: &Json<'_>) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Integer(integer) => Value::from(*integer),
        Json::Float(float) => Number::from_f64(*float).map_or(Value::Null, Value::Number),
        Json::Text(text) => Value::String(text.clone().into_owned()),
        Json::List(items) => Value::Array(items.iter().map(owned).collect()),
        Json::Object(members) => Value::Object(
            members.iter().map(|(key, value)| (key.clone().into_owned(), owned(value))).collect(),
        ),
    }
}

/// A list of kinds, relation types or property names; absent: none.
pub(super) fn names(fields: &Fields<'_, '_>, key: &str) -> Vec<Name> {
    let Some(value) = fields.get(key) else { return Vec::new() };
    let Json::List(items) = value else {
        fields.invalid(key, format!("`{key}` must be a list of names, and is {}", value.noun()));
        return Vec::new();
    };
    if items.len() > NAMES_MAX {
        let detail = format!("`{key}` has {} names, and at most {NAMES_MAX} are allowed", items.len());
        fields.problem(Code::TooLarge, key, detail);
        return Vec::new();
    }
    let place = Place::Key(&fields.place, key);
    let name = |(index, item): (usize, &Json<'_>)| {
        let name = match item {
            Json::Text(text) => Name::new(text).ok(),
            _ => None,
        };
        if name.is_none() {
            let detail = "a name must be a string that matches ^[A-Za-z][A-Za-z0-9_]{0,63}$";
            fields.context.problem(Code::InvalidField, Place::Index(&place, index), detail);
        }
        name
    };
    items.iter().enumerate().filter_map(name).collect()
}
