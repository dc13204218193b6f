//! Message streams: the form of Lync and Skype for Business, where text travels as MESSAGE in the dialog ([MS-SDP]), and
//! MSRP (RFC 4975 section 8, with the connection set-up of RFC 6135).

use crate::msrp::fingerprint::{Fingerprint, MAX_FINGERPRINTS};
use crate::msrp::uri::MsrpUri;
use crate::sdp::{Attribute, Media, SessionDescription};

/// Media types that one stream may name; more are not read.
pub const MAX_ACCEPT_TYPES: usize = 64;

/// The stream of an offer or answer that carries messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageStream {
    /// MESSAGE requests in the dialog.
    InDialog(InDialog),
    /// MSRP.
    Msrp(Msrp),
}

/// `m=message 5060 sip sip:alice@contoso.example`, or in the older form `m=x-ms-message 5060 sip null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDialog {
    /// The media types that its sender takes; empty if it does not say.
    pub accept_types: Vec<String>,
}

/// `m=message 2855 TCP/TLS/MSRP *`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msrp {
    /// The sender's path, its own URI last; at least one.
    pub path: Vec<MsrpUri>,
    /// The media types that its sender takes; `*` takes all.
    pub accept_types: Vec<String>,
    /// The media types that it takes inside of message/cpim.
    pub accept_wrapped_types: Vec<String>,
    /// The largest message that it takes.
    pub max_size: Option<u64>,
    /// Who connects.
    pub setup: Option<Setup>,
    /// Those of the sender's certificate, any of which may be the one (RFC 8122 section 5); empty without TLS.
    pub fingerprints: Vec<Fingerprint>,
}

/// Who opens the connection (RFC 4145, used by RFC 6135).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// The sender of the attribute.
    Active,
    /// The other side.
    Passive,
    /// Either; only in an offer.
    ActPass,
    /// Nobody for now, which MSRP does not allow (RFC 6135 section 4.2).
    HoldConn,
}

impl Setup {
    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn];
        all.into_iter().find(|setup| text.trim().eq_ignore_ascii_case(setup.as_str()))
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }

    /// Our side in the answer to an offer (RFC 6135 section 4.2). `can_listen` is whether peers reach us. Without the
    /// attribute the offerer connects (RFC 4975 section 5.4), and `holdconn` counts as no attribute. `None` if the offer
    /// leaves no way.
    pub const fn answer(offered: Option<Self>, can_listen: bool) -> Option<Self> {
        match offered {
            None | Some(Self::Active | Self::HoldConn | Self::ActPass) if can_listen => Some(Self::Passive),
            // Where nobody can reach us, we are active, whatever the offer would rather have.
            Some(Self::Passive | Self::ActPass) => Some(Self::Active),
            None | Some(Self::Active | Self::HoldConn) => None,
        }
    }

    /// Whether we connect, after an offer of ours (`actpass`) was answered: unless the peer does.
    pub const fn is_active(answered: Option<Self>) -> bool {
        match answered {
            Some(Self::Active) => false,
            None | Some(Self::Passive | Self::ActPass | Self::HoldConn) => true,
        }
    }
}

impl MessageStream {
    /// The first stream of a description that carries messages and is not refused, with its place.
    pub fn find(description: &SessionDescription) -> Option<(usize, Self)> {
        let streams = description.media.iter().enumerate();
        streams.filter(|(_, media)| media.port != 0).find_map(|(at, media)| Some((at, Self::read(description, media)?)))
    }

    fn read(description: &SessionDescription, media: &Media) -> Option<Self> {
        let list = |name| {
            let types = description.attribute(media, name).unwrap_or_default();
            types.split_ascii_whitespace().take(MAX_ACCEPT_TYPES).map(str::to_ascii_lowercase).collect()
        };
        let is = |text: &str, wanted: &str| text.eq_ignore_ascii_case(wanted);
        if is(&media.protocol, "sip") && (is(&media.kind, "message") || is(&media.kind, "x-ms-message")) {
            return Some(Self::InDialog(InDialog { accept_types: list("accept-types") }));
        }
        let secure = is(&media.protocol, "TCP/TLS/MSRP");
        if !is(&media.kind, "message") || !(secure || is(&media.protocol, "TCP/MSRP")) {
            return None;
        }
        let path = description.attribute(media, "path")?.split_ascii_whitespace();
        let path: Vec<_> = path.map(|uri| uri.parse().ok()).collect::<Option<_>>()?;
        // The transport of the stream and that of the nearest URI must be the same.
        if path.first().is_none_or(|uri: &MsrpUri| uri.is_secure() != secure) {
            return None;
        }
        let setup = description.attribute(media, "setup").and_then(Setup::parse);
        let max_size = description.attribute(media, "max-size").and_then(|size| size.trim().parse().ok());
        let (accept_types, accept_wrapped_types) = (list("accept-types"), list("accept-wrapped-types"));
        let fingerprints = description.attributes(media, "fingerprint").filter_map(|text| text.parse().ok());
        let fingerprints = fingerprints.take(MAX_FINGERPRINTS).collect();
        Some(Self::Msrp(Msrp { path, accept_types, accept_wrapped_types, max_size, setup, fingerprints }))
    }

    /// Whether its sender takes a media type.
    pub fn accepts(&self, media_type: &str) -> bool {
        let types = match self {
            // Who says nothing takes plain text.
            Self::InDialog(stream) if stream.accept_types.is_empty() => return media_type == "text/plain",
            Self::InDialog(stream) => &stream.accept_types,
            Self::Msrp(stream) => &stream.accept_types,
        };
        let range = media_type.split_once('/').map(|(kind, _)| format!("{kind}/*"));
        types.iter().any(|known| known == "*" || known == media_type || Some(known) == range.as_ref())
    }
}

impl InDialog {
    /// The stream of our offer or answer; `address` is our side's SIP URI.
    pub fn to_media(&self, address: &str) -> Media {
        Media {
            kind: "message".to_owned(),
            // Ignored by all who know this form, but it must not be 0.
            port: 5060,
            protocol: "sip".to_owned(),
            formats: vec![address.split_ascii_whitespace().next().unwrap_or("null").to_owned()],
            connection: None,
            attributes: accept_types("accept-types", &self.accept_types).collect(),
        }
    }

    /// The stream of our answer, in the form of the offer.
    pub fn answer(&self, offered: &Media, address: &str) -> Media {
        Media { kind: offered.kind.clone(), ..self.to_media(address) }
    }
}

impl Msrp {
    /// The stream of our offer or answer.
    pub fn to_media(&self) -> Media {
        let own = self.path.last();
        let path: Vec<_> = self.path.iter().map(ToString::to_string).collect();
        let mut attributes: Vec<_> = accept_types("accept-types", &self.accept_types).collect();
        attributes.extend(accept_types("accept-wrapped-types", &self.accept_wrapped_types));
        attributes.push(Attribute::new("path", path.join(" ")));
        attributes.extend(self.max_size.map(|size| Attribute::new("max-size", size.to_string())));
        attributes.extend(self.setup.map(|setup| Attribute::new("setup", setup.as_str())));
        let fingerprints = self.fingerprints.iter();
        attributes.extend(fingerprints.map(|fingerprint| Attribute::new("fingerprint", fingerprint.to_string())));
        Media {
            kind: "message".to_owned(),
            port: own.map_or(9, MsrpUri::port),
            protocol: if own.is_some_and(MsrpUri::is_secure) { "TCP/TLS/MSRP" } else { "TCP/MSRP" }.to_owned(),
            formats: vec!["*".to_owned()],
            connection: None,
            attributes,
        }
    }
}

fn accept_types(name: &str, types: &[String]) -> impl Iterator<Item = Attribute> {
    (!types.is_empty()).then(|| Attribute::new(name, types.join(" "))).into_iter()
}

/// The answer to an offer: `stream` in the place of the chosen one, all others refused (RFC 3264 section 6).
pub fn answer(
    offer: &SessionDescription,
    chosen: usize,
    stream: Media,
    session_id: u64,
    version: u64,
    host: &str,
) -> SessionDescription {
    let mut media: Vec<_> = offer.media.iter().map(Media::refused).collect();
    if let Some(place) = media.get_mut(chosen) {
        *place = stream;
    }
    SessionDescription::new(session_id, version, host, media)
}
