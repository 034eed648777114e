//! One operation of the document, as the types of its handler tell it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::server::caller::{Asker, Caller, MaybeCaller};
use crate::server::problem::{self, Answer};
use crate::server::state::Server;

/// What is said of one operation.
pub(crate) struct Operation<'g> {
    /// Makes the schemas of what is sent: whole, each where it is used.
    taken: &'g mut SchemaGenerator,
    /// Makes the schemas of what is answered, which are named.
    given: &'g mut SchemaGenerator,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
}

/// A part of a request that a handler takes.
pub(crate) trait Takes {
    /// Tells it.
    fn tell(told: &mut Operation<'_>);
}

/// What a handler answers.
pub(crate) trait Gives {
    /// Tells it.
    fn tell(told: &mut Operation<'_>);
}

/// A handler all of whose parts can be told.
pub(crate) trait Told<T> {
    /// Tells them.
    fn tell(told: &mut Operation<'_>);
}

impl<'g> Operation<'g> {
    pub(super) fn new(taken: &'g mut SchemaGenerator, given: &'g mut SchemaGenerator) -> Self {
        Self { taken, given, parameters: Vec::new(), body: None, answers: BTreeMap::new() }
    }

    /// Adds a parameter that is no part of a type.
    pub(crate) fn parameter(&mut self, place: &str, name: &str, is_required: bool, about: &str, schema: &Value) {
        self.parameters.push(json!({
            "in": place, "name": name, "required": is_required, "description": about, "schema": schema,
        }));
    }

    /// Adds a parameter of the query for each member of a type.
    pub(super) fn query<T: JsonSchema>(&mut self) {
        let schema = self.taken.subschema_for::<T>().to_value();
        let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let mut property = property.clone();
            let about = property["description"].take();
            property.as_object_mut().map(|members| members.remove("description"));
            only_there(&mut property);
            if property["type"] == "string" {
                property["minLength"] = 1.into();
            }
            let about = about.as_str().unwrap_or_default().to_owned();
            self.parameter("query", name, required(name), &about, &property);
        }
        self.refuses("bad-request");
        self.refuses("bad-parameter");
    }

    /// Says what the body is.
    pub(crate) fn body<T: JsonSchema>(&mut self, kind: &str) {
        let schema = self.taken.subschema_for::<T>();
        self.body = Some(json!({ "required": true, "content": { (kind): { "schema": schema } } }));
        for refused in ["bad-request", "too-long", "media-type", "invalid"] {
            self.refuses(refused);
        }
    }

    /// Says what is answered with a status, in JSON.
    pub(crate) fn answer<T: JsonSchema>(&mut self, status: StatusCode) {
        self.answer_as::<T>(status, "application/json");
    }

    /// The same in another type of JSON.
    pub(crate) fn answer_as<T: JsonSchema>(&mut self, status: StatusCode, kind: &str) {
        let schema = self.given.subschema_for::<T>();
        self.answer_of(status, kind, &json!(schema));
    }

    /// Says what is answered with a status, by a schema.
    pub(crate) fn answer_of(&mut self, status: StatusCode, kind: &str, schema: &Value) {
        let about = status.canonical_reason().unwrap_or_default();
        let answer = json!({ "description": about, "content": { (kind): { "schema": schema } } });
        self.answers.insert(status.as_u16(), answer);
    }

    /// Says what else may be answered with a status, in JSON.
    pub(crate) fn answer_besides<T: JsonSchema>(&mut self, status: StatusCode) {
        let schema = self.given.subschema_for::<T>();
        let about = status.canonical_reason().unwrap_or_default();
        let answer = self.answers.entry(status.as_u16()).or_insert_with(|| json!({ "description": about }));
        answer["content"]["application/json"] = json!({ "schema": schema });
    }

    /// Says that a status has no body.
    pub(crate) fn empty(&mut self, status: StatusCode) {
        let about = status.canonical_reason().unwrap_or_default();
        self.answers.insert(status.as_u16(), json!({ "description": about }));
    }

    /// Says that a header may come with an answer.
    pub(crate) fn header(&mut self, status: StatusCode, name: &str, about: &str, is_always: bool) {
        let header = json!({ "description": about, "required": is_always, "schema": { "type": "string" } });
        if let Some(answer) = self.answers.get_mut(&status.as_u16()) {
            answer["headers"][name] = header;
        }
    }

    /// Gives an answer another status.
    pub(crate) fn instead(&mut self, former: StatusCode, status: StatusCode) {
        if let Some(mut answer) = self.answers.remove(&former.as_u16()) {
            answer["description"] = status.canonical_reason().unwrap_or_default().into();
            self.answers.insert(status.as_u16(), answer);
        }
    }

    /// Says that a problem of that type may be the answer.
    pub(crate) fn refuses(&mut self, kind: &str) {
        let Some(known) = problem::KINDS.iter().find(|known| known.word == kind) else { return };
        let line = format!("`{}`: {}", known.word, known.meaning);
        let answer = self.answers.entry(known.status).or_insert_with(|| {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            json!({ "description": "", "content": { "application/problem+json": { "schema": schema } } })
        });
        let former = answer["description"].as_str().unwrap_or_default();
        if former.contains(&line) {
            return;
        }
        answer["description"] = if former.is_empty() { line } else { format!("{former}\n\n{line}") }.into();
    }

    /// All of it.
    pub(super) fn finish(self) -> Value {
        let mut told = json!({ "responses": self.answers });
        if !self.parameters.is_empty() {
            told["parameters"] = self.parameters.into();
        }
        if let Some(body) = self.body {
            told["requestBody"] = body;
        }
        told
    }
}

/// A parameter that is left out is not there; it is never `null`.
fn only_there(schema: &mut Value) {
    if let Some(kinds) = schema["type"].as_array_mut() {
        kinds.retain(|kind| kind != "null");
        if let [one] = &kinds[..] {
            schema["type"] = one.clone();
        }
    }
    if let Some(members) = schema.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
}

/// What comes from the connection, or is told by the route itself.
macro_rules! silent {
    ($($part:ty),* $(,)?) => { $(impl Takes for $part { fn tell(_: &mut Operation<'_>) {} })* };
}

silent!(State<Arc<Server>>, Caller, Asker, HeaderMap);

impl Takes for MaybeCaller {
    fn tell(told: &mut Operation<'_>) {
        told.refuses("unauthenticated");
    }
}

/// What the path of a route says.
impl<T> Takes for Path<T> {
    fn tell(_: &mut Operation<'_>) {}
}

impl<T: JsonSchema> Takes for Form<T> {
    fn tell(told: &mut Operation<'_>) {
        told.body::<T>("application/x-www-form-urlencoded");
    }
}

impl<T: Gives> Gives for Answer<T> {
    fn tell(told: &mut Operation<'_>) {
        T::tell(told);
        told.refuses("internal");
        told.refuses("unavailable");
    }
}

macro_rules! handlers {
    ($($part:ident)*) => {
        impl<F, M, R, A, $($part),*> Told<(M, $($part,)*)> for F
        where
            F: FnOnce($($part),*) -> R,
            R: Future<Output = A>,
            A: Gives,
            $($part: Takes,)*
        {
            fn tell(told: &mut Operation<'_>) {
                $($part::tell(told);)*
                A::tell(told);
            }
        }
        handlers!(@less $($part)*);
    };
    (@less) => {};
    (@less $first:ident $($part:ident)*) => { handlers!($($part)*); };
}

// A handler without parts has `((),)` in the library, which the last of these fits.
handlers!(T1 T2 T3 T4 T5 T6 T7);
