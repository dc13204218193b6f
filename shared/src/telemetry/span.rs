//! Spans of what passes: begun where something arrives, ended where its duty is discharged, and carried in between.
//!
//! A [`Span`] is one pointer, empty unless its trace was chosen when it began: where nothing is traced, making one costs a
//! load and a comparison, and nothing is formatted or allocated. The choice is made once for a trace, by its identifier
//! and the ratio that is in force; whoever gets a [`TraceContext`] from somebody else keeps to it.
//!
//! A span ends when it is dropped. Its attributes come from closed sets, or are domains, numbers, and addresses only as
//! [`hash`](super::address) if an operator gave a key for that. What people write is never among them.

use std::borrow::Cow;
use std::time::SystemTime;

pub use opentelemetry::trace::SpanKind;
use opentelemetry::trace::{Link, SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};

use super::export;
use crate::link::TraceContext;

/// Attributes of one span; the sets from which they come are smaller.
const MAX_ATTRIBUTES: usize = 16;

/// Characters of an attribute or of the description of a failure: a domain fits, a text of a peer's does not.
const MAX_TEXT: usize = 256;

/// The bit of the flags that says that a trace was chosen (W3C Trace Context, section 3.2.2.5.1).
const SAMPLED: u8 = 1;

/// One span, or none.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    context: TraceContext,
    parent: Option<SpanId>,
    is_parent_remote: bool,
    name: Cow<'static, str>,
    kind: SpanKind,
    start: SystemTime,
    attributes: Vec<KeyValue>,
    left_out: u32,
    links: SpanLinks,
    status: Status,
}

impl Span {
    /// No span.
    pub const NONE: Self = Self(None);

    /// The first span of a trace, if this trace is chosen.
    pub fn root(name: &'static str, kind: SpanKind) -> Self {
        let Some(share) = export::share() else { return Self::NONE };
        let trace = RandomIdGenerator::default().new_trace_id();
        if !share.chooses(trace) {
            return Self::NONE;
        }
        Self::open(trace, None, false, name, kind)
    }

    /// A span below one of this process, if that one's trace is chosen.
    pub fn below(parent: TraceContext, name: &'static str, kind: SpanKind) -> Self {
        Self::under(parent, false, name, kind)
    }

    /// A span below one of the other end of the link.
    pub fn below_remote(parent: TraceContext, name: &'static str, kind: SpanKind) -> Self {
        Self::under(parent, true, name, kind)
    }

    fn under(parent: TraceContext, is_remote: bool, name: &'static str, kind: SpanKind) -> Self {
        if !is_sampled(parent) || export::share().is_none() {
            return Self::NONE;
        }
        let (trace, span) = parts(parent);
        Self::open(trace, Some(span), is_remote, name, kind)
    }

    fn open(
        trace: TraceId,
        parent: Option<SpanId>,
        is_parent_remote: bool,
        name: &'static str,
        kind: SpanKind,
    ) -> Self {
        let id = RandomIdGenerator::default().new_span_id();
        let mut bytes = [0; 25];
        let (to_trace, rest) = bytes.split_at_mut(16);
        let (to_span, flags) = rest.split_at_mut(8);
        to_trace.copy_from_slice(&trace.to_bytes());
        to_span.copy_from_slice(&id.to_bytes());
        flags.copy_from_slice(&[SAMPLED]);
        Self(Some(Box::new(Open {
            context: TraceContext(bytes),
            parent,
            is_parent_remote,
            name: Cow::Borrowed(name),
            kind,
            start: now(),
            attributes: Vec::new(),
            left_out: 0,
            links: SpanLinks::default(),
            status: Status::Unset,
        })))
    }

    /// Whether there is one: what is costly to say of it is only said then.
    pub const fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// What its children are told; of no span, nothing.
    pub fn context(&self) -> TraceContext {
        self.0.as_ref().map(|open| open.context).unwrap_or_default()
    }

    /// What its children are told; of no span, what its own parent had told.
    pub fn context_or(&self, parent: TraceContext) -> TraceContext {
        self.0.as_ref().map_or(parent, |open| open.context)
    }

    /// Says something about it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let Some(open) = &mut self.0 else { return };
        if open.attributes.len() < MAX_ATTRIBUTES {
            open.attributes.push(KeyValue::new(key, bounded(value.into())));
        } else {
            open.left_out += 1;
        }
    }

    /// Says something about it that has to be copied first; nothing is where there is no span.
    pub fn set_text(&mut self, key: &'static str, text: &str) {
        if self.is_recorded() {
            self.set(key, text.to_owned());
        }
    }

    /// Points to another span that it continues, such as the delivery that came to nothing.
    pub fn follow(&mut self, other: TraceContext) {
        if let Some(open) = &mut self.0
            && is_sampled(other)
        {
            let (trace, span) = parts(other);
            let context = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default());
            open.links.links.push(Link::with_context(context));
        }
    }

    /// It came to nothing. The first reason stays.
    pub fn fail(&mut self, reason: &str) {
        if let Some(open) = &mut self.0
            && !matches!(open.status, Status::Error { .. })
        {
            open.status = Status::error(cut(reason).to_owned());
        }
    }

    /// It did what it should, unless it has failed.
    pub fn succeed(&mut self) {
        if let Some(open) = &mut self.0
            && open.status == Status::Unset
        {
            open.status = Status::Ok;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            export::put(|scope| open.ended(scope));
        }
    }
}

impl Open {
    fn ended(self, scope: opentelemetry::InstrumentationScope) -> SpanData {
        let (trace, id) = parts(self.context);
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: self.parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: self.is_parent_remote,
            span_kind: self.kind,
            name: self.name,
            start_time: self.start,
            end_time: now(),
            attributes: self.attributes,
            dropped_attributes_count: self.left_out,
            events: SpanEvents::default(),
            links: self.links,
            status: self.status,
            instrumentation_scope: scope,
        }
    }
}

/// The time, of which nothing here depends: it is only told.
#[expect(clippy::disallowed_methods, reason = "a span is a reading of the clock, and exists where it is exported only")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Whether a trace was chosen where it began.
fn is_sampled(context: TraceContext) -> bool {
    let TraceContext([.., flags]) = context;
    flags & SAMPLED != 0 && parts(context).1 != SpanId::INVALID
}

fn parts(context: TraceContext) -> (TraceId, SpanId) {
    let TraceContext(bytes) = context;
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&bytes[..16]);
    span.copy_from_slice(&bytes[16..24]);
    (TraceId::from_bytes(trace), SpanId::from_bytes(span))
}

fn bounded(value: Value) -> Value {
    match &value {
        Value::String(text) if text.as_str().len() > MAX_TEXT => Value::from(cut(text.as_str()).to_owned()),
        _ => value,
    }
}

/// As much of a text as is told.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_exported_there_are_no_spans() {
        let mut span = Span::root("stanza", SpanKind::Server);
        span.set("kind", "message");
        span.fail("nothing");
        assert!(!span.is_recorded());
        assert_eq!(span.context(), TraceContext::default());
        let chosen = TraceContext([1; 25]);
        assert!(!Span::below_remote(chosen, "stanza", SpanKind::Server).is_recorded());
    }

    #[test]
    fn a_context_is_followed_only_if_its_trace_was_chosen() {
        assert!(is_sampled(TraceContext([1; 25])));
        let mut bytes = [1; 25];
        bytes[24] = 0;
        assert!(!is_sampled(TraceContext(bytes)));
        let mut bytes = [0; 25];
        bytes[24] = 1;
        assert!(!is_sampled(TraceContext(bytes)));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ä".repeat(MAX_TEXT);
        assert_eq!(cut(&long).len(), MAX_TEXT);
        assert_eq!(cut(&format!("x{long}")).len(), MAX_TEXT - 1);
        assert_eq!(cut("short"), "short");
    }
}
