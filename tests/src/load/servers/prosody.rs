//! Prosody, as fast as a fair operator would make it: the epoll backend (its default; libevent is no faster), Lua's
//! generational collector (half again to twice as many stanzas as with the incremental one, for 15 kB more per idle
//! stream), no debug log, no limits on rates, no module that federation does not need; TLS 1.3 and SASL EXTERNAL
//! between servers, nothing else.
//!
//! Its local side is an external component (XEP-0114), which costs it less than a client does: no TLS, no session, no
//! roster. Stanzas to [`DISCARDING`] end in a component of three lines inside Prosody, at the first
//! place where a module sees them addressed to a host.

use std::io;

use super::{COMPONENT_SECRET, DISCARDING, Federated, Folder, OWN, Server};

/// The component that takes every message and does nothing.
const DISCARD: &str = r#"
local function discard() return true; end
for _, kind in ipairs { "host", "bare", "full" } do module:hook("message/" .. kind, discard, 1000); end
"#;

/// Starts it.
pub async fn start(federated: &Federated<'_>) -> io::Result<Server> {
    let folder = Folder::new("prosody")?;
    let modules = folder.folder("modules")?;
    std::fs::write(modules.join("mod_discard.lua"), DISCARD)?;
    let config = folder.write("prosody.cfg.lua", &config(&folder, federated)?)?;
    let arguments = ["--config", &config.to_string_lossy(), "-F"];
    Server::start(folder, "prosody", &arguments, &[], &[federated.s2s, federated.component]).await
}

fn config(folder: &Folder, federated: &Federated<'_>) -> io::Result<String> {
    let Federated { authority, domain, s2s, component, dns } = federated;
    let (ca, own) = folder.certificates(authority, &[domain, DISCARDING, OWN])?;
    let (here, certificate, key) = (folder.path().display(), own.certificate.display(), own.key.display());
    Ok(format!(
        r#"
run_as_root = true; daemonize = false
pidfile = "{here}/pid"; data_path = "{here}"
plugin_paths = {{ "{here}/modules" }}; certificates = "{here}"
network_backend = "epoll"
log = {{ warn = "*console" }}
storage = "memory"
gc = {{ mode = "generational" }}
modules_enabled = {{ "saslauth", "tls" }}
modules_disabled = {{ "c2s", "http", "offline" }}
s2s_interfaces = {{ "{s2s_ip}" }}; s2s_ports = {{ {s2s_port} }}; s2s_direct_tls_ports = {{}}
component_interfaces = {{ "{component_ip}" }}; component_ports = {{ {component_port} }}
s2s_require_encryption = true
s2s_secure_auth = true
ssl = {{ certificate = "{certificate}", key = "{key}", cafile = "{ca}", capath = "/nonexistent" }}
-- libunbound asks no name server at a loopback address unless it is told to (the key keeps its colon).
unbound = {{ resolvconf = false; hoststxt = false; forward = "{dns_ip}@{dns_port}";
  options = {{ ["do-not-query-localhost:"] = "no" }} }}

VirtualHost "{OWN}"
Component "{domain}"
  component_secret = "{COMPONENT_SECRET}"
Component "{DISCARDING}" "discard"
"#,
        ca = ca.display(),
        s2s_ip = s2s.ip(),
        s2s_port = s2s.port(),
        component_ip = component.ip(),
        component_port = component.port(),
        dns_ip = dns.ip(),
        dns_port = dns.port(),
    ))
}
