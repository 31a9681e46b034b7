//! How the document is put together: operations, and the schemas that they name.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::log::envelope::schema::FILES;

/// Where operations find schemas.
const SCHEMAS: &str = "#/components/schemas/";

/// Schemas by name, from the types that are read, the types that are told, and the files of commands.
pub(super) struct Document {
    read: SchemaGenerator,
    told: SchemaGenerator,
    schemas: BTreeMap<String, Value>,
    paths: Map<String, Value>,
}

/// One operation, until its problems have been named.
pub(super) struct Operation<'d> {
    document: &'d mut Document,
    method: &'static str,
    path: &'static str,
    value: Value,
}

impl Document {
    pub(super) fn new() -> Self {
        let generator = |settings: SchemaSettings| {
            let path = |settings: &mut SchemaSettings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            };
            settings.with(path).into_generator()
        };
        let mut document = Self {
            read: generator(SchemaSettings::draft2020_12().for_deserialize()),
            told: generator(SchemaSettings::draft2020_12().for_serialize()),
            schemas: BTreeMap::new(),
            paths: Map::new(),
        };
        for file in FILES {
            document.take_file(file.text);
        }
        document
    }

    /// A schema file becomes a schema by its title, and so do those inside it.
    fn take_file(&mut self, text: &str) {
        let text = text.replace("#/$defs/", SCHEMAS);
        let mut schema: Value = serde_json::from_str(&text).expect("a schema file is JSON");
        let object = schema.as_object_mut().expect("a schema file is an object");
        object.remove("$schema");
        if let Some(Value::Object(inner)) = object.remove("$defs") {
            inner.into_iter().for_each(|(name, schema)| self.add(name, schema));
        }
        let title = object["title"].as_str().expect("a schema file has a title").to_owned();
        self.add(title, schema);
    }

    /// Adds a schema. Two of one name would be one of them too many.
    pub(super) fn add(&mut self, name: String, mut schema: Value) {
        if let Some(object) = schema.as_object_mut() {
            object.remove("title");
        }
        let known = self.schemas.insert(name.clone(), schema.clone());
        assert!(known.is_none_or(|known| known == schema), "two schemas are called `{name}`");
    }

    /// A schema without these of its properties, under a name of its own.
    pub(super) fn without(&mut self, name: &str, properties: &[&str], new_name: &str) {
        let mut schema = self.schemas[name].clone();
        for property in properties {
            schema["properties"].as_object_mut().expect("an object").remove(*property);
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| !properties.iter().any(|gone| name == gone));
            if required.is_empty() {
                schema.as_object_mut().expect("an object").remove("required");
            }
        }
        self.add(new_name.to_owned(), schema);
    }

    /// A schema that the files have.
    pub(super) fn schema(&self, name: &str) -> &Value {
        self.schemas.get(name).unwrap_or_else(|| panic!("there is no schema `{name}`"))
    }

    /// Adds the schemas of types that requests name only by their names.
    pub(super) fn will_read<T: JsonSchema>(&mut self) {
        self.read.subschema_for::<T>();
    }

    /// Adds the schemas of types that answers name only by their names.
    pub(super) fn will_tell<T: JsonSchema>(&mut self) {
        self.told.subschema_for::<T>();
    }

    pub(super) fn operation(
        &mut self,
        method: &'static str,
        path: &'static str,
        id: &str,
        summary: &str,
    ) -> Operation<'_> {
        let parts = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parts: Vec<Value> = parts
            .map(|name| {
                let schema = match name {
                    "space" => "SpaceName",
                    "id" | "source" | "target" => "MemoryId",
                    "type" => "Name",
                    "position" => "Position",
                    _ => "Word",
                };
                json!({"name": name, "in": "path", "required": true, "schema": reference(schema)})
            })
            .collect();
        let tag = path.strip_prefix("/v1/").map_or("server", |path| path.split('/').next().unwrap_or(path));
        let value = json!({"operationId": id, "summary": summary, "tags": [tag], "parameters": parts, "responses": {}});
        Operation { document: self, method, path, value }
    }

    /// The whole document.
    pub(super) fn finish(mut self, frame: Value, parameters: Value, headers: Value) -> Value {
        for mut generator in [self.read.clone(), self.told.clone()] {
            let found = generator.take_definitions(true);
            found.into_iter().for_each(|(name, schema)| self.add(name, schema));
        }
        let mut document = frame;
        document["paths"] = Value::Object(self.paths);
        document["components"] = json!({
            "schemas": self.schemas,
            "parameters": parameters,
            "headers": headers,
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of `[[http.tokens]]`. Where none is configured, none is needed."
            }},
        });
        document
    }
}

/// A reference to a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{name}")})
}

impl Operation<'_> {
    fn parameters(&mut self) -> &mut Vec<Value> {
        self.value["parameters"].as_array_mut().expect("a list")
    }

    /// The parameters of the query: the fields of the type that it is read into.
    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        let schema = T::json_schema(&mut self.document.read).to_value();
        let required = schema["required"].clone();
        for (name, field) in schema["properties"].as_object().expect("a query has fields") {
            let mut field = present(field.clone());
            let description = field.as_object_mut().and_then(|field| field.remove("description"));
            let mut parameter = json!({"name": name, "in": "query", "schema": field});
            if let Some(description) = description {
                parameter["description"] = description;
            }
            if required.as_array().is_some_and(|required| required.iter().any(|one| one == name)) {
                parameter["required"] = true.into();
            }
            self.parameters().push(parameter);
        }
        self
    }

    /// Headers that the request may have, by their names in the document.
    pub(super) fn headers(mut self, names: &[&str]) -> Self {
        let reference = |name: &&str| json!({"$ref": format!("#/components/parameters/{name}")});
        self.parameters().extend(names.iter().map(reference));
        self
    }

    /// A body: media types and their schemas.
    pub(super) fn body(mut self, forms: &[(&str, Value)]) -> Self {
        self.value["requestBody"] = json!({"required": true, "content": content(forms)});
        self
    }

    /// A body of JSON that is read into this type.
    pub(super) fn reads<T: JsonSchema>(self) -> Self {
        let schema = self.document.read.subschema_for::<T>().to_value();
        self.body(&[("application/json", schema)])
    }

    /// An answer of any form, with headers by their names in the document.
    pub(super) fn answer(
        mut self,
        status: u16,
        what: &str,
        forms: &[(&str, Value)],
        headers: &[&str],
    ) -> Self {
        let mut answer = json!({"description": what});
        if !forms.is_empty() {
            answer["content"] = content(forms);
        }
        for name in headers {
            answer["headers"][*name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
        self.value["responses"][status.to_string()] = answer;
        self
    }

    /// An answer of JSON that is told from this type.
    pub(super) fn tells<T: JsonSchema>(self, status: u16, what: &str, headers: &[&str]) -> Self {
        let schema = self.document.told.subschema_for::<T>().to_value();
        self.answer(status, what, &[("application/json", schema)], headers)
    }

    /// Needs no token, whatever is configured.
    pub(super) fn open(mut self) -> Self {
        self.value["security"] = json!([]);
        self
    }

    /// The statuses of its problems; with this it is in the document.
    pub(super) fn problems<T: JsonSchema>(mut self, problems: &[(u16, &str)]) {
        let schema = self.document.told.subschema_for::<T>().to_value();
        for (status, what) in problems {
            let headers: &[&str] = match status {
                401 => &["WWW-Authenticate"],
                408 | 503 => &["Retry-After"],
                _ => &[],
            };
            self = self.answer(*status, what, &[("application/problem+json", schema.clone())], headers);
        }
        let path = self.document.paths.entry(self.path).or_insert_with(|| json!({}));
        let known = path.as_object_mut().expect("an object").insert(self.method.to_owned(), self.value);
        assert!(known.is_none(), "{} {} is there twice", self.method, self.path);
    }
}

fn content(forms: &[(&str, Value)]) -> Value {
    let forms = forms.iter().map(|(media, schema)| ((*media).to_owned(), json!({"schema": schema})));
    Value::Object(forms.collect())
}

/// A schema of what is there: what is left out of a query is not null.
fn present(mut schema: Value) -> Value {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        any.retain(|one| one["type"] != "null");
        if let [only] = any.as_slice() {
            let (mut only, description) = (only.clone(), schema["description"].clone());
            if description.is_string() {
                only["description"] = description;
            }
            return only;
        }
    }
    schema
}
