//! ejabberd, as fast as a fair operator would make it: kernel polling, no scheduler that spins, no debug log, no
//! shapers, no module that federation does not need; TLS 1.3 and SASL EXTERNAL between servers, nothing else.
//!
//! Its local side is an external component (XEP-0114), which costs it less than a client does. Stanzas to
//! [`DISCARDING`] end in a hook of the receiving stream, before they are routed at all. It is
//! started by `erl`, because `ejabberdctl` insists on a user and on folders of its own; without a node name, as
//! nothing joins it.

use std::io;
use std::path::Path;

use super::{COMPONENT_SECRET, DISCARDING, Federated, Folder, OWN, Server, installed};
use crate::peer::fault;
use crate::peer::process;

/// Debian keeps ejabberd and the libraries it stands on apart from Erlang's own.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// ejabberdctl's flags, and schedulers that do not spin while they wait: as many stanzas when there is always work, and
/// a third to half of the CPU saved at a steady rate.
const EMULATOR: [&str; 10] = ["+K", "true", "+P", "250000", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"];

/// The module that takes every stanza to its host and does nothing.
const DISCARD: &str = "
-module(mod_discard).
-export([start/2, stop/1, reload/3, depends/2, mod_options/1, mod_doc/0, discard/1]).
start(Host, _) -> ejabberd_hooks:add(s2s_receive_packet, Host, ?MODULE, discard, 1).
stop(Host) -> ejabberd_hooks:delete(s2s_receive_packet, Host, ?MODULE, discard, 1).
reload(_, _, _) -> ok.
depends(_, _) -> [].
mod_options(_) -> [].
mod_doc() -> #{}.
discard({_, State}) -> {stop, {drop, State}}.
";

/// Starts it.
pub async fn start(federated: &Federated<'_>) -> io::Result<Server> {
    let folder = Folder::new("ejabberd")?;
    let here = folder.path().to_string_lossy().into_owned();
    compile(&folder)?;
    let config = folder.write("ejabberd.yml", &config(&folder, federated)?)?;
    let [a, b, c, d] = match federated.dns.ip() {
        std::net::IpAddr::V4(address) => address.octets(),
        std::net::IpAddr::V6(_) => return Err(fault("the name server of the benchmark has an IPv4 address")),
    };
    let port = federated.dns.port();
    // Without the first line the machine's own name servers take over as soon as Erlang looks at resolv.conf.
    let inet = format!(
        "{{resolv_conf, \"\"}}.\n{{hosts_file, \"\"}}.\n{{lookup, [dns]}}.\n{{nameserver, {{{a},{b},{c},{d}}}, {port}}}.\n"
    );
    let inet = folder.write("inetrc", &inet)?;
    let mnesia = format!("\"{}\"", folder.folder("mnesia")?.display());
    let environment = [
        ("HOME", here.as_str()),
        ("ERL_LIBS", LIBRARIES),
        ("ERL_INETRC", &inet.to_string_lossy()),
        ("ERL_CRASH_DUMP_BYTES", "0"),
        ("EJABBERD_CONFIG_PATH", &config.to_string_lossy()),
        ("EJABBERD_LOG_PATH", &format!("{here}/ejabberd.log")),
    ];
    let own = ["-noinput", "-pa", &here, "-mnesia", "dir", &mnesia, "-s", "ejabberd"];
    let arguments = [&EMULATOR[..], &own[..]].concat();
    Server::start(folder, "erl", &arguments, &environment, &[federated.s2s, federated.component]).await
}

fn compile(folder: &Folder) -> io::Result<()> {
    if !Path::new(LIBRARIES).join("ejabberd-23.01").exists() && installed("ejabberdctl").is_err() {
        return Err(fault("ejabberd is not installed: run deploy/setup bench"));
    }
    let source = folder.write("mod_discard.erl", DISCARD)?;
    let arguments = ["-o", &folder.path().to_string_lossy(), &source.to_string_lossy()];
    let output = process::run(&installed("erlc")?, &arguments)?;
    if output.status.success() { Ok(()) } else { Err(fault(String::from_utf8_lossy(&output.stdout))) }
}

fn config(folder: &Folder, federated: &Federated<'_>) -> io::Result<String> {
    let Federated { authority, domain, s2s, component, .. } = federated;
    let (ca, own) = folder.certificates(authority, &[domain, DISCARDING, OWN])?;
    let ca = ca.display();
    Ok(format!(
        r#"
loglevel: warning
hosts: [{OWN}, {DISCARDING}]
certfiles: ["{certificate}", "{key}"]
ca_file: "{ca}"
s2s_cafile: "{ca}"
s2s_use_starttls: required
outgoing_s2s_families: [ipv4]
listen:
  - {{port: {s2s_port}, ip: "{s2s_ip}", module: ejabberd_s2s_in, shaper: none}}
  - port: {component_port}
    ip: "{component_ip}"
    module: ejabberd_service
    shaper: none
    hosts: {{{domain}: {{password: "{COMPONENT_SECRET}"}}}}
modules: {{}}
host_config:
  {DISCARDING}: {{modules: {{mod_discard: {{}}}}}}
"#,
        certificate = own.certificate.display(),
        key = own.key.display(),
        s2s_port = s2s.port(),
        s2s_ip = s2s.ip(),
        component_port = component.port(),
        component_ip = component.ip(),
    ))
}
