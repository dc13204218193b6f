//! What only a restart changes: sockets that are bound, names that others know us by, the database.
//!
//! A new file that changes such a key is taken up all the same, with the old value of that key, and says so: half of a
//! change is worse than none (a Contact that nobody listens on), and silence worse than both.

use causeway_shared::config::ConfigWarning;
use causeway_sip::target::TransportKind;

use causeway_shared::telemetry::TelemetryConfig;

use super::Config;

impl Config {
    /// Puts the running configuration's value wherever only a restart could change it, and names each such key.
    pub fn keep_fixed(&mut self, running: &Self) -> Vec<ConfigWarning> {
        let mut changed = Vec::new();
        let mut keep = |key: &str, differs: bool| {
            if differs {
                let text = "the new value waits for a restart of the gateway; the old one stays in force";
                changed.push(ConfigWarning::new(key, text));
            }
        };
        keep("gateway_id", self.gateway_id != running.gateway_id);
        self.gateway_id.clone_from(&running.gateway_id);
        for (key, kind) in
            [("sip.tls", TransportKind::Tls), ("sip.tcp", TransportKind::Tcp), ("sip.udp", TransportKind::Udp)]
        {
            let addresses = |config: &Self| -> Vec<_> {
                config.sip.listen.iter().filter(|(listening, _)| *listening == kind).map(|(_, at)| *at).collect()
            };
            keep(key, addresses(self) != addresses(running));
        }
        self.sip.listen.clone_from(&running.sip.listen);
        // Without an address of its own, that of sessions is the other one, and goes with it.
        let is_own = |config: &Self| config.sip.session_contact.as_str() != config.sip.contact.as_str();
        let sessions_differ = self.sip.session_contact.as_str() != running.sip.session_contact.as_str();
        keep("sip.session_contact", sessions_differ && (is_own(self) || is_own(running)));
        self.sip.session_contact = running.sip.session_contact.clone();
        keep("sip.contact", self.sip.contact.as_str() != running.sip.contact.as_str());
        self.sip.contact = running.sip.contact.clone();
        for (key, differs) in [
            ("sip.msrp_tls", self.sip.msrp.as_ref().map(|at| &at.tls) != running.sip.msrp.as_ref().map(|at| &at.tls)),
            ("sip.msrp_tcp", self.sip.msrp.as_ref().map(|at| &at.tcp) != running.sip.msrp.as_ref().map(|at| &at.tcp)),
            (
                "sip.msrp_host",
                self.sip.msrp.as_ref().map(|at| &at.host) != running.sip.msrp.as_ref().map(|at| &at.host),
            ),
        ] {
            keep(key, differs);
        }
        self.sip.msrp.clone_from(&running.sip.msrp);
        // Other files are taken up; TLS that was not there at the start has nothing to go to.
        if self.sip.tls.is_some() != running.sip.tls.is_some() {
            keep("sip.tls_files", true);
            self.sip.tls.clone_from(&running.sip.tls);
        }
        keep("store", self.store != running.store);
        self.store.clone_from(&running.store);
        keep("admin.listen", self.admin != running.admin);
        self.admin = running.admin;
        self.telemetry.instance.clone_from(&running.telemetry.instance);
        keep("telemetry", running.telemetry.needs_restart(&self.telemetry));
        let sample_ratio = self.telemetry.sample_ratio;
        self.telemetry = TelemetryConfig { sample_ratio, ..running.telemetry.clone() };
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::GOOD;
    use super::*;

    const MORE: &str = r#"
        [store]
        path = "/a"
        [admin]
        listen = "127.0.0.1:9090"
        [telemetry]
        level = "info"
    "#;

    fn file() -> String {
        format!("drain_secs = 10\n{GOOD}{MORE}")
    }

    fn parse(text: &str) -> Config {
        Config::parse(text, []).unwrap().0
    }

    /// What a reload says of a file in which one thing was changed, and what is in force afterwards.
    fn reloaded(old: &str, new: &str) -> (Vec<String>, Config) {
        assert!(file().contains(old), "{old}");
        let running = parse(&file());
        let mut fresh = parse(&file().replacen(old, new, 1));
        let warnings = fresh.keep_fixed(&running);
        (warnings.into_iter().map(|warning| warning.key).collect(), fresh)
    }

    #[test]
    fn each_key_that_needs_a_restart_is_named_and_keeps_its_value() {
        let udp = "tcp = [\"127.0.0.1:5060\"]\nudp = [\"127.0.0.1:5060\"]";
        let files = "tls_files = { certificate = 'c', key = 'k', ca = 'a' }\ntcp = [\"127.0.0.1:5060\"]";
        let own = "tcp = [\"127.0.0.1:5060\"]\nsession_contact = 'sip:127.0.0.3:5060'";
        for (key, old, new) in [
            ("gateway_id", "gateway-1", "gateway-2"),
            ("sip.tcp", "tcp = [\"127.0.0.1:5060\"]", "tcp = [\"127.0.0.1:5062\"]"),
            ("sip.udp", "tcp = [\"127.0.0.1:5060\"]", udp),
            ("sip.tls_files", "tcp = [\"127.0.0.1:5060\"]", files),
            ("sip.contact", "sip:127.0.0.1:5060", "sip:127.0.0.2:5060"),
            ("sip.session_contact", "tcp = [\"127.0.0.1:5060\"]", own),
            ("store", "\"/a\"", "\"/b\""),
            ("admin.listen", "127.0.0.1:9090", "127.0.0.1:9091"),
            ("telemetry", "level = \"info\"", "level = \"debug\""),
        ] {
            let (named, mut kept) = reloaded(old, new);
            assert_eq!(named, [key]);
            // Nothing is left that differs.
            assert_eq!(kept.keep_fixed(&parse(&file())), [], "{key}");
        }
    }

    #[test]
    fn everything_else_is_taken_up_without_a_word() {
        let (named, fresh) = reloaded("drain_secs = 10", "drain_secs = 20");
        assert_eq!((named.len(), fresh.drain.as_secs()), (0, 20));
        let (named, fresh) = reloaded("[\"tcp:127.0.0.1:5070\"]", "[\"tcp:127.0.0.1:5071\", \"tcp:127.0.0.1\"]");
        assert_eq!((named.len(), fresh.sip.next_hops.len()), (0, 2));
        let (named, fresh) = reloaded("[\"contoso.example\"]", "[\"contoso.example\", \"contoso.test\"]");
        assert_eq!((named.len(), fresh.domains.len()), (0, 2));
    }
}
