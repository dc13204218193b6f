//! Message streams at start-up: their sockets, and what their peers are told about us.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_sip::msrp::switch::{Input, SwitchConfig};
use causeway_sip::transport::msrp::{MsrpConfig, MsrpTls, MsrpTransport};
use tokio::sync::{mpsc, watch};

use super::{StartError, source_ip};
use crate::config::Config;
use crate::config::files::SipTls;
use crate::session::describe::ACCEPT_TYPES;

/// How long a message stream may be silent (RFC 7573, section 4, speaks of about ten minutes).
const IDLE: Duration = Duration::from_secs(600);

/// What the engine's switch is told; `None` without listeners.
pub(super) fn switch_config(config: &Config, tls: Option<&SipTls>) -> Option<SwitchConfig> {
    let listen = config.sip.msrp.as_ref()?;
    let port = |addresses: &[SocketAddr]| addresses.first().map(SocketAddr::port);
    Some(SwitchConfig {
        host: listen.host.clone(),
        tls_port: port(&listen.tls),
        tcp_port: port(&listen.tcp),
        fingerprints: tls.and_then(|tls| tls.msrp.fingerprint()).cloned().into_iter().collect(),
        accept_types: ACCEPT_TYPES.map(str::to_owned).to_vec(),
        accept_wrapped_types: vec!["*".to_owned()],
        max_size: config.sip.max_message_bytes,
        idle: IDLE,
    })
}

/// The sockets and what comes from them, with the sender of newer certificates.
#[derive(Default)]
pub(super) struct Started {
    pub(super) sockets: Option<(MsrpTransport, mpsc::Receiver<Vec<Input>>)>,
    pub(super) tls: Option<watch::Sender<Arc<MsrpTls>>>,
}

/// Binds the listeners, if there are any.
pub(super) async fn start(config: &Config, tls: Option<&SipTls>) -> Result<Started, StartError> {
    let Some(listen) = &config.sip.msrp else {
        return Ok(Started::default());
    };
    let (tls, tls_changes) = tls.map(|tls| watch::channel(Arc::clone(&tls.msrp))).unzip();
    let sockets = MsrpTransport::start(MsrpConfig {
        tcp: listen.tcp.clone(),
        tls_listen: listen.tls.clone(),
        source_ip: source_ip(config),
        tls: tls_changes,
    });
    Ok(Started { sockets: Some(sockets.await?), tls })
}
