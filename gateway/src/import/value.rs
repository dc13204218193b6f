//! What both formats have in common: objects with named properties, as PowerShell knows them.

/// A value of a property.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `$null`.
    Nil,
    /// A boolean.
    Flag(bool),
    /// An integer.
    Number(i64),
    /// Text, and whatever else a format writes as text.
    Text(String),
    /// A member of an enumeration: its name, and its number.
    Member(String, i64),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(Object),
}

/// An object: type names, most derived first, and properties in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Object {
    pub(super) types: Vec<String>,
    pub(super) properties: Vec<(String, Value)>,
}

impl Object {
    /// The value of a property; names are compared as PowerShell does, and `$null` is none.
    pub(super) fn property(&self, name: &str) -> Option<&Value> {
        let found = self.properties.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| **value != Value::Nil)
    }

    /// A property as text, without the blanks around it; an empty one is none.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = match self.property(name)? {
            Value::Text(text) | Value::Member(text, _) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Nil | Value::Flag(_) | Value::List(_) | Value::Object(_) => String::new(),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Its type as an operator would say it: the last word of the first type name.
    pub(super) fn kind(&self) -> String {
        let name = self.types.first().map_or("", String::as_str);
        let name = name.strip_prefix("Deserialized.").unwrap_or(name);
        name.split('#').next().and_then(|name| name.rsplit('.').next()).unwrap_or_default().to_owned()
    }
}

impl Value {
    /// How a report shows it: short, on one line.
    pub(super) fn describe(&self) -> String {
        /// Characters of a value that help to recognise it.
        const SHOWN: usize = 80;
        let text = match self {
            Self::Nil => "$null".to_owned(),
            Self::Flag(true) => "True".to_owned(),
            Self::Flag(false) => "False".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) | Self::Member(text, _) => text.clone(),
            Self::List(list) => list.iter().take(SHOWN).map(Self::describe).collect::<Vec<_>>().join(", "),
            Self::Object(object) => format!("an object {}", object.kind()),
        };
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let mut short: String = text.chars().take(SHOWN).map(clean).collect();
        if text.chars().nth(SHOWN).is_some() {
            short.push('…');
        }
        short
    }
}
