//! The panel's four languages: which one a reader gets, and the texts in it (Fluent).
//!
//! Texts are in `locales/{language}/{area}.ftl`, compiled in. A text that is missing in a language is shown in English and
//! logged; a test holds the four languages to the same messages with the same arguments, so that it does not happen.
//! Numbers are written as the language writes them; whatever is a name and not an amount (a port, an identifier, a year)
//! goes in as text.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentError, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

/// The files of texts, one for each area of the panel.
macro_rules! areas {
    ($($area:literal),+ $(,)?) => {
        [$(($area, [
            include_str!(concat!("locales/en/", $area, ".ftl")),
            include_str!(concat!("locales/es/", $area, ".ftl")),
            include_str!(concat!("locales/ru/", $area, ".ftl")),
            include_str!(concat!("locales/zh/", $area, ".ftl")),
        ])),+]
    };
}

/// Name and texts of each area, in the order of [`Language::ALL`].
static AREAS: &[(&str, [&str; 4])] = &areas![
    "api", "faults", "frame", "journal", "live", "login", "partners", "policies", "pool", "settings", "trace",
    "verdicts"
];

/// A language of the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English, to which everything falls back.
    #[default]
    English,
    /// Spanish.
    Spanish,
    /// Russian.
    Russian,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::English, Self::Spanish, Self::Russian, Self::Chinese];

    /// The code that accounts, cookies and folders use.
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Spanish => "es",
            Self::Russian => "ru",
            Self::Chinese => "zh",
        }
    }

    /// The value for the attribute `lang` (BCP 47).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Spanish => "es",
            Self::Russian => "ru",
            Self::Chinese => "zh-Hans",
        }
    }

    /// How the language calls itself.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Spanish => "Español",
            Self::Russian => "Русский",
            Self::Chinese => "简体中文",
        }
    }

    /// The language with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// The one that a browser's Accept-Language likes best (RFC 9110, section 12.5.4).
    pub fn accepted(header: &str) -> Option<Self> {
        let mut best: Option<(Self, u16)> = None;
        for range in header.split(',').take(MAX_RANGES) {
            let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
            let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            let weight = thousandths(weight.trim());
            let Some(language) = Self::from_code(&primary) else { continue };
            if weight > 0 && best.is_none_or(|(_, before)| weight > before) {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }

    const fn index(self) -> usize {
        match self {
            Self::English => 0,
            Self::Spanish => 1,
            Self::Russian => 2,
            Self::Chinese => 3,
        }
    }

    fn identifier(self) -> LanguageIdentifier {
        // The four codes are well formed; the plural rules of none of them would be those of English.
        self.code().parse().unwrap_or_default()
    }
}

/// Language ranges that are looked at; nobody reads more languages.
const MAX_RANGES: usize = 16;

/// A weight such as `q=0.8`, in thousandths; 1000 without one.
fn thousandths(parameter: &str) -> u16 {
    let Some(value) = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")) else { return 1000 };
    // 0.0 to 1.0, so the product fits.
    value.parse::<f32>().map_or(0, |weight| (weight.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// The texts in one language: what templates and handlers write with.
///
/// In a template: `{{ t.get("partner-new") }}`, `{{ t.with("days-left", ("days", days)) }}`, and
/// `{{ t.with("partner-of", ("name", &name)) }}` where the argument is a `String`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Texts {
    language: Language,
}

impl Texts {
    /// The texts of a language.
    pub const fn new(language: Language) -> Self {
        Self { language }
    }

    /// Which language it is.
    pub const fn language(self) -> Language {
        self.language
    }

    /// A text without arguments.
    pub fn get(self, key: &str) -> String {
        self.text(key, None)
    }

    /// A text with arguments: `("name", value)` or several such pairs in a tuple.
    pub fn with(self, key: &str, arguments: impl Arguments) -> String {
        let mut given = FluentArgs::new();
        arguments.put(&mut given);
        self.text(key, Some(&given))
    }

    /// What a validator found, by its code: the message `fault-<code>`.
    pub fn fault<N: AsRef<str>, V: AsRef<str>>(
        self,
        code: &str,
        arguments: impl IntoIterator<Item = (N, V)>,
    ) -> String {
        let mut given = FluentArgs::new();
        for (name, value) in arguments {
            given.set(name.as_ref().to_owned(), argument(value.as_ref()).into_owned());
        }
        self.text(&format!("fault-{code}"), Some(&given))
    }

    /// Whether there is a text of this key.
    pub fn has(self, key: &str) -> bool {
        BUNDLES.get(Language::English.index()).is_some_and(|bundle| bundle.has_message(key))
    }

    /// A text with arguments that are text, if there is one of that key.
    pub fn known<N: AsRef<str>, V: AsRef<str>>(self, key: &str, arguments: &[(N, V)]) -> Option<String> {
        let mut given = FluentArgs::new();
        for (name, value) in arguments {
            given.set(name.as_ref().to_owned(), argument(value.as_ref()));
        }
        [self.language, Language::English].into_iter().find_map(|language| formatted(language, key, Some(&given)))
    }

    /// A moment in UTC, to the second, for people. Machines get it in the attribute `datetime`.
    pub fn moment(self, unix_ms: u64) -> String {
        let text = crate::translate::date::write_timestamp(unix_ms);
        let (day, time) = text.split_once('T').unwrap_or((&text, ""));
        format!("{day} {} UTC", time.get(..8).unwrap_or(time))
    }

    fn text(self, key: &str, arguments: Option<&FluentArgs>) -> String {
        for language in [self.language, Language::English] {
            if let Some(text) = formatted(language, key, arguments) {
                return text;
            }
            tracing::error!(key, language = language.code(), "a text of the panel is missing");
        }
        key.to_owned()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Numbers in the arguments of faults come as text; plural rules need them as numbers.
fn argument(text: &str) -> FluentValue<'_> {
    let is_amount = !text.is_empty() && text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_amount { FluentValue::try_number(text) } else { FluentValue::String(Cow::Borrowed(text)) }
}

fn formatted(language: Language, key: &str, arguments: Option<&FluentArgs>) -> Option<String> {
    let bundle = BUNDLES.get(language.index())?;
    let pattern = bundle.get_message(key)?.value()?;
    let mut errors: Vec<FluentError> = Vec::new();
    let text = bundle.format_pattern(pattern, arguments, &mut errors);
    if !errors.is_empty() {
        tracing::error!(key, language = language.code(), ?errors, "a text of the panel lacks an argument");
    }
    Some(text.into_owned())
}

type Bundle = FluentBundle<FluentResource>;

static BUNDLES: LazyLock<[Bundle; 4]> = LazyLock::new(|| Language::ALL.map(bundle));

fn bundle(language: Language) -> Bundle {
    let mut bundle = FluentBundle::new_concurrent(vec![language.identifier()]);
    // Marks of isolation are for texts of mixed direction; all four languages run from left to right.
    bundle.set_use_isolating(false);
    bundle.set_formatter(Some(match language {
        Language::English => |value, _| amount(value, Language::English),
        Language::Spanish => |value, _| amount(value, Language::Spanish),
        Language::Russian => |value, _| amount(value, Language::Russian),
        Language::Chinese => |value, _| amount(value, Language::Chinese),
    }));
    for (area, texts) in AREAS {
        let Some(text) = texts.get(language.index()) else { continue };
        let resource = FluentResource::try_new((*text).to_owned()).unwrap_or_else(|(readable, errors)| {
            tracing::error!(area, %language, ?errors, "a file of texts is not well formed");
            readable
        });
        if let Err(errors) = bundle.add_resource(resource) {
            tracing::error!(area, %language, ?errors, "a text of the panel is there twice");
        }
    }
    bundle
}

/// A number as the language writes it; `None` for what is none.
fn amount(value: &FluentValue, language: Language) -> Option<String> {
    let FluentValue::Number(number) = value else { return None };
    let plain = number.as_string();
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let (group, point, shortest) = match language {
        Language::English | Language::Chinese => (',', '.', 4),
        // Four digits stay together (CLDR, minimumGroupingDigits).
        Language::Spanish => ('.', ',', 5),
        Language::Russian => ('\u{a0}', ',', 4),
    };
    let digits = whole.trim_start_matches('-');
    let mut text = String::with_capacity(plain.len() + 4);
    if whole.starts_with('-') {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len() >= shortest && (digits.len() - index) % 3 == 0 {
            text.push(group);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push(point);
        text.push_str(fraction);
    }
    Some(text)
}

/// Something that can stand for a variable of a message.
pub trait Argument {
    /// The value as Fluent takes it.
    fn value(&self) -> FluentValue<'_>;
}

/// Names with their values.
pub trait Arguments {
    /// Puts them where Fluent finds them.
    fn put<'a>(&'a self, given: &mut FluentArgs<'a>);
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl Argument for $number {
            fn value(&self) -> FluentValue<'_> {
                FluentValue::from(*self)
            }
        })+
    };
}

numbers!(u8, u16, u32, u64, usize, i32, i64);

impl Argument for str {
    fn value(&self) -> FluentValue<'_> {
        FluentValue::String(Cow::Borrowed(self))
    }
}

impl Argument for String {
    fn value(&self) -> FluentValue<'_> {
        FluentValue::String(Cow::Borrowed(self))
    }
}

impl<T: Argument + ?Sized> Argument for &T {
    fn value(&self) -> FluentValue<'_> {
        (**self).value()
    }
}

impl<V: Argument> Arguments for (&'static str, V) {
    fn put<'a>(&'a self, given: &mut FluentArgs<'a>) {
        given.set(self.0, self.1.value());
    }
}

macro_rules! several {
    ($($name:ident: $index:tt),+) => {
        impl<$($name: Argument),+> Arguments for ($((&'static str, $name),)+) {
            fn put<'a>(&'a self, given: &mut FluentArgs<'a>) {
                $(given.set(self.$index.0, self.$index.1.value());)+
            }
        }
    };
}

several!(A: 0, B: 1);
several!(A: 0, B: 1, C: 2);
several!(A: 0, B: 1, C: 2, D: 3);

impl<T: Arguments> Arguments for &T {
    fn put<'a>(&'a self, given: &mut FluentArgs<'a>) {
        (**self).put(given);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vocabulary_tests;
