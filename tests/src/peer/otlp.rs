//! A collector of traces (OTLP over gRPC): keeps every span it is sent, in words that a test can compare.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::inbox::Inbox;
use super::{fault, until};

/// A span, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// `service.name` of whoever sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: &'static str,
    /// `ok`, `unset`, or what went wrong.
    pub status: String,
    /// The trace.
    pub trace: Vec<u8>,
    /// Itself.
    pub id: Vec<u8>,
    /// Its parent; empty at the root.
    pub parent: Vec<u8>,
    /// Its attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// The spans that it continues.
    pub links: Vec<Vec<u8>>,
    /// When it began and ended, in Unix nanoseconds.
    pub time: (u64, u64),
}

/// The collector. It serves until the process ends.
#[derive(Debug, Clone)]
pub struct Collector {
    /// All spans so far.
    pub spans: Inbox<Span>,
    /// Where it listens.
    pub address: SocketAddr,
}

struct Service(Inbox<Span>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let facts = texts(resource.resource.map(|resource| resource.attributes).unwrap_or_default());
            let service = facts.get("service.name").cloned().unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let status = span.status.unwrap_or_default();
                self.0.put(Span {
                    service: service.clone(),
                    name: span.name,
                    kind: match span.kind {
                        1 => "internal",
                        2 => "server",
                        3 => "client",
                        4 => "producer",
                        5 => "consumer",
                        _ => "unspecified",
                    },
                    status: match status.code {
                        0 => "unset".to_owned(),
                        1 => "ok".to_owned(),
                        _ => status.message,
                    },
                    trace: span.trace_id,
                    id: span.span_id,
                    parent: span.parent_span_id,
                    attributes: texts(span.attributes),
                    links: span.links.into_iter().map(|link| link.span_id).collect(),
                    time: (span.start_time_unix_nano, span.end_time_unix_nano),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::BoolValue(value)) => value.to_string(),
        Some(any_value::Value::IntValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

impl Collector {
    /// Listens on this address.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let spans = Inbox::default();
        let service = TraceServiceServer::new(Service(Inbox::clone(&spans)));
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Ok(Self { spans, address })
    }

    /// The section of a configuration that sends every trace here.
    pub fn section(&self) -> String {
        format!("\n[telemetry]\notlp_endpoint = 'http://{}'\nsample_ratio = 1.0\n", self.address)
    }

    /// Waits until the tree of a trace that has a span of this name and attribute is as it should be; see [`tree`].
    pub async fn expect(&self, name: &str, attribute: (&str, &str), expected: &str) -> io::Result<Vec<Span>> {
        let mut seen = String::new();
        let found = until("the tree of the trace", async || {
            let fits = |span: &Span| {
                span.name == name && span.attributes.get(attribute.0).is_some_and(|value| value == attribute.1)
            };
            let traces: BTreeSet<Vec<u8>> = self.spans.matching(fits).into_iter().map(|span| span.trace).collect();
            let spans = traces.iter().map(|trace| self.spans.matching(|span| span.trace == *trace));
            let mut found = None;
            for spans in spans {
                seen = tree(&spans);
                if seen == expected {
                    found = Some(spans);
                }
            }
            found
        })
        .await;
        found.map_err(|error| fault(format!("{error}; expected:\n{expected}\nseen last:\n{seen}")))
    }
}

/// The spans of one trace as a tree: a line a span, two spaces a level, in the order in which they began.
pub fn tree(spans: &[Span]) -> String {
    let mut text = String::new();
    let known: BTreeSet<&[u8]> = spans.iter().map(|span| span.id.as_slice()).collect();
    let mut roots: Vec<&Span> = spans.iter().filter(|span| !known.contains(span.parent.as_slice())).collect();
    roots.sort_by_key(|span| span.time);
    for root in roots {
        if !root.parent.is_empty() {
            text.push_str("(an orphan) ");
        }
        branch(spans, root, 0, &mut text);
    }
    text
}

fn branch(spans: &[Span], span: &Span, level: usize, text: &mut String) {
    let Span { service, name, kind, status, .. } = span;
    let again = if span.links.is_empty() { "" } else { ", again" };
    let _writing_to_a_string_cannot_fail =
        writeln!(text, "{:indent$}{service}: {name} ({kind}, {status}{again})", "", indent = 2 * level);
    let mut children: Vec<&Span> = spans.iter().filter(|child| child.parent == span.id).collect();
    children.sort_by_key(|child| child.time);
    for child in children {
        branch(spans, child, level + 1, text);
    }
}
