//! collector ADDRESS FILE: takes spans by OTLP over gRPC and writes each as a line of JSON, until it is ended. The check of
//! the signals draws a trace from that.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use causeway_tests::peer::fault;
use causeway_tests::peer::otlp::{Collector, Span};
use serde_json::json;

/// How often new spans are written.
const LOOK: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err(fault("usage: collector ADDRESS FILE"));
    };
    let address: SocketAddr = address.parse().map_err(|error| fault(format!("{address}: {error}")))?;
    let collector = Collector::start(address).await?;
    let (mut file, mut written) = (File::create(file)?, 0);
    loop {
        for span in collector.spans.all().into_iter().skip(written) {
            written += 1;
            writeln!(file, "{}", line(&span))?;
        }
        file.flush()?;
        tokio::time::sleep(LOOK).await;
    }
}

fn line(span: &Span) -> serde_json::Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "service": span.service, "name": span.name, "kind": span.kind, "status": span.status,
        "trace": hex(&span.trace), "id": hex(&span.id), "parent": hex(&span.parent),
        "attributes": span.attributes, "links": span.links.iter().map(|link| hex(link)).collect::<Vec<_>>(),
        "start": span.time.0, "end": span.time.1,
    })
}
