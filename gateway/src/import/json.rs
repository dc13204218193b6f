//! What `ConvertTo-Json` writes: an object or an array of them.
//!
//! Enumerations are numbers unless `-EnumsAsStrings` was given. Windows PowerShell wraps some arrays in an object with
//! `value` and `Count`; what lies below its `-Depth` it writes as text. serde_json bounds the depth.

use serde_json::Value as Json;

use super::value::{Object, Value};
use super::{Fault, FaultCause, MAX_OBJECTS};

/// The objects of a text.
pub(super) fn objects(text: &str) -> Result<Vec<Object>, Fault> {
    let json: Json = serde_json::from_str(text)
        .map_err(|error| (Some(error.line()), FaultCause::Json { column: error.column(), reason: reason(&error) }))?;
    let list = match value(json) {
        Value::List(list) => list,
        one => vec![one],
    };
    if list.len() > MAX_OBJECTS {
        return Err((None, FaultCause::TooMany));
    }
    list.into_iter()
        .map(|value| match value {
            Value::Object(object) => Ok(object),
            other => Err((None, FaultCause::NoObject { found: other.describe() })),
        })
        .collect()
}

/// What is wrong, without the place that serde_json appends.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Flag(flag),
        // A number that is no integer fits no property; as text it is reported as it stands.
        Json::Number(number) => number.as_i64().map_or_else(|| Value::Text(number.to_string()), Value::Number),
        Json::String(text) => Value::Text(text),
        Json::Array(list) => Value::List(list.into_iter().map(value).collect()),
        Json::Object(mut map) => {
            if map.len() == 2 && map.contains_key("Count") && map.get("value").is_some_and(Json::is_array) {
                return map.remove("value").map_or(Value::Nil, value);
            }
            let properties = map.into_iter().map(|(name, json)| (name, value(json))).collect();
            Value::Object(Object { types: Vec::new(), properties })
        }
    }
}
