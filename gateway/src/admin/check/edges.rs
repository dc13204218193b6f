//! Whether the edges are attached, and work by what is in force.

use super::Check;
use crate::link::EdgeFacts;

pub(super) fn check(attached: &[EdgeFacts], configured: &[String], snapshot: u64) -> Vec<Check> {
    let remedy = "see that the edge runs, that its certificate bears a name of link.allowed_edges and comes from link.ca, \
                  and that the firewall lets this gateway reach its link port";
    let mut found: Vec<Check> = attached.iter().map(|edge| one(edge, snapshot)).collect();
    if attached.len() < configured.len() {
        let missing = format!("{} of {} attached: {}", attached.len(), configured.len(), configured.join(", "));
        let name = "edges";
        found.push(match attached.is_empty() {
            true => Check::failed(name, missing, remedy),
            false => Check::warning(name, missing, remedy),
        });
    }
    found
}

fn one(edge: &EdgeFacts, snapshot: u64) -> Check {
    let name = format!("edge {}", edge.name);
    if edge.is_draining {
        return Check::warning(
            name,
            format!("{} takes nothing new: it is going away", edge.address),
            "start it again if it is not meant to stop",
        );
    }
    if edge.applied < snapshot {
        return Check::warning(
            name,
            format!("{} does not work by the newest configuration yet", edge.address),
            "look again in a moment, then at its log",
        );
    }
    Check::ok(name, format!("attached at {}", edge.address))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn edge(applied: u64) -> EdgeFacts {
        EdgeFacts {
            name: "edge-1".to_owned(),
            address: "192.0.2.1:23456".parse().unwrap(),
            build: String::new(),
            since_ms: 0,
            applied,
            is_draining: false,
        }
    }

    #[test]
    fn an_edge_that_is_missing_or_behind_is_told() {
        let configured = ["edge-1:23456".to_owned()];
        let states = |attached: &[EdgeFacts]| {
            check(attached, &configured, 7).into_iter().map(|check| check.state).collect::<Vec<_>>()
        };
        assert_eq!(states(&[edge(7)]), [State::Ok]);
        assert_eq!(states(&[edge(6)]), [State::Warning]);
        assert_eq!(states(&[]), [State::Failed]);
    }
}
