//! Where SIP legs are captured.

use causeway_shared::config::Section;

/// A capture server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HepConfig {
    /// `host:port`, by UDP.
    pub target: String,
    /// The number by which it knows this gateway.
    pub capture_id: u32,
}

/// Reads the section `hep`; without a target nothing is captured.
pub(super) fn read(mut section: Section) -> Option<HepConfig> {
    let target =
        section.parsed("target", target, "write host:port of a capture server, such as \"homer.contoso.example:9060\"");
    let capture_id = section.number("capture_id", 2001, 1..=u32::MAX);
    section.finish();
    Some(HepConfig { target: target?, capture_id })
}

fn target(text: &str) -> Result<String, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("there is no port")?;
    if host.is_empty() {
        return Err("there is no host");
    }
    port.parse::<u16>().ok().filter(|port| *port > 0).ok_or("the port is no number from 1 to 65535")?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use causeway_shared::config::Document;

    use super::*;

    #[test]
    fn a_capture_server_has_a_port_and_this_gateway_a_number() {
        let read = |text: &str| {
            let mut document = Document::parse(text, "X", []).unwrap();
            let config = super::read(document.section("hep"));
            (config, document.finish().err().map_or(0, |mistakes| mistakes.len()))
        };
        assert_eq!(read(""), (None, 0));
        let expected = HepConfig { target: "homer:9060".to_owned(), capture_id: 2001 };
        assert_eq!(read("[hep]\ntarget = 'homer:9060'"), (Some(expected), 0));
        for wrong in ["homer", ":9060", "homer:0", "homer:sip"] {
            assert_eq!(read(&format!("[hep]\ntarget = '{wrong}'")), (None, 1), "{wrong}");
        }
        assert_eq!(read("[hep]\ntarget = 'homer:9060'\ncapture_id = 0").1, 1);
    }
}
