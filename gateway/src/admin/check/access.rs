//! Whether anybody may reach anybody, and whom partners can try.

use super::Check;
use crate::config::Config;

pub(super) fn check(config: &Config) -> Vec<Check> {
    let mut found = Vec::new();
    found.push(match config.partners.len() {
        0 => Check::warning(
            "partners",
            "there is none: every XMPP domain is refused",
            "allow one: causeway partner new DOMAIN",
        ),
        count => Check::ok("partners", format!("{count} in force")),
    });
    found.push(match config.access.is_closed() {
        true => Check::warning(
            "external access",
            "no user may reach XMPP partners",
            "let a policy say who may: causeway policy set Global --enable-xmpp-access true",
        ),
        false => Check::ok("external access", format!("{} users have a policy of their own", config.access.granted())),
    });
    found.push(match &config.echo {
        Some(echo) => Check::ok("echo", format!("{} answers every partner", echo.address.as_str())),
        None => Check::ok("echo", "there is no echo contact; [echo] in gateway.toml makes one for tests"),
    });
    found
}
