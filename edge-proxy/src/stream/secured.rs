//! How a stream was secured, told once it is authenticated: operators have to be able to see it (RFC 7590, section 3.6).

use causeway_shared::domain::DomainPair;
use causeway_shared::verdict::Direction;

use super::Method;
use super::conn::Connection;
use super::identity::Proof;
use crate::policy::Moment;

/// A line in the log: the method, the row of the negotiation matrix that permits it, TLS, and whose certificate.
pub(super) fn tell(
    direction: Direction,
    pair: &DomainPair,
    method: Method,
    proof: Option<Proof>,
    connection: &Connection,
    at: &Moment,
) {
    // Certificates are read again only for somebody who listens.
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let row = at.federation.partner(pair.remote.as_str()).map(|partner| partner.row);
    let (tls, certificate) = connection.tls_facts();
    let certificate = certificate.map(|certificate| certificate.names.join(", "));
    tracing::debug!(
        direction = direction.as_str(),
        %pair,
        method = method.as_str(),
        row,
        tls = tls.as_ref().map(|tls| tls.version.as_str()),
        cipher = tls.as_ref().map(|tls| tls.cipher.as_str()),
        proof = proof.map(Proof::as_str),
        certificate = certificate.map(|names| causeway_shared::verdict::printable(&names)),
        "authenticated"
    );
}
