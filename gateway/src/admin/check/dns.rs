//! What DNS publishes of our own domains: whether partners find the edges (RFC 6120, section 3.2.1).

use tokio::task::JoinSet;

use super::Check;
use crate::config::Config;
use crate::locate::Locator;

/// Domains that are looked up; whoever has more sees the pattern.
const MAX_DOMAINS: usize = 32;

/// What SRV says where a service is decidedly not there (RFC 2782).
const NOWHERE: &str = "";

pub(super) async fn check(config: &Config) -> Vec<Check> {
    let locator = std::sync::Arc::new(Locator::new());
    let mut trials = JoinSet::new();
    for (index, domain) in config.domains.iter().take(MAX_DOMAINS).enumerate() {
        let (locator, domain) = (std::sync::Arc::clone(&locator), domain.to_string());
        trials.spawn(async move {
            let published = locator.service(&format!("_xmpp-server._tcp.{domain}")).await;
            let mut targets = Vec::new();
            for (host, port) in published {
                let addresses = locator.addresses(&host).await.len();
                targets.push((host, port, addresses));
            }
            let own = if targets.is_empty() { locator.addresses(&domain).await.len() } else { 0 };
            (index, judge(&domain, &targets, own))
        });
    }
    let mut found = trials.join_all().await;
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, check)| check).collect()
}

/// `targets` are hosts, ports and how many addresses each has; `own` is how many the domain itself has.
fn judge(domain: &str, targets: &[(String, u16, usize)], own: usize) -> Check {
    let name = format!("dns {domain}");
    let remedy = format!("publish what `causeway dns --domain {domain} --edge HOST` prints, with the edges' names");
    if targets.is_empty() {
        let found = "it publishes no SRV records for XMPP";
        return match own {
            0 => Check::failed(name, format!("{found} and has no address"), remedy),
            _ => Check::warning(name, format!("{found}: partners try port 5269 of {domain} itself"), remedy),
        };
    }
    if targets.iter().any(|(host, ..)| host == NOWHERE) {
        return Check::failed(name, "its SRV record says that there is no XMPP service", remedy);
    }
    let shown: Vec<_> = targets.iter().map(|(host, port, _)| format!("{host}:{port}")).collect();
    let lost: Vec<_> =
        targets.iter().filter(|(.., addresses)| *addresses == 0).map(|(host, ..)| host.as_str()).collect();
    match lost.is_empty() {
        true => Check::ok(name, format!("partners are sent to {}; see that these are the edges", shown.join(", "))),
        false => Check::failed(name, format!("{} has no address", lost.join(", ")), "publish its address (A or AAAA)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_partners_find_is_judged() {
        let target = |host: &str, addresses| (host.to_owned(), 5269, addresses);
        let state = |targets: &[_], own| judge("contoso.example", targets, own).state;
        assert_eq!(state(&[target("edge.contoso.example", 2)], 0), State::Ok);
        assert_eq!(state(&[target("edge.contoso.example", 1), target("gone.example", 0)], 0), State::Failed);
        assert_eq!(state(&[target("", 0)], 0), State::Failed);
        assert_eq!(state(&[], 1), State::Warning);
        assert_eq!(state(&[], 0), State::Failed);
    }
}
