//! Rendezvous hashing: which of several nodes has a key, so that losing one node moves only its own keys.
//!
//! The hash is fixed here (FNV-1a with a final mix), because edges and gateways of different builds must agree.

/// The node with the highest weight for the pair of keys. `None` only without nodes.
pub fn pick<'a, N: AsRef<str> + ?Sized + 'a>(
    nodes: impl IntoIterator<Item = &'a N>,
    key_a: &str,
    key_b: &str,
) -> Option<&'a N> {
    nodes.into_iter().max_by_key(|node| weight(node.as_ref(), key_a, key_b))
}

/// The weight of one node; nodes with equal names weigh the same.
pub fn weight(node: &str, key_a: &str, key_b: &str) -> u64 {
    let hash = fnv(FNV_OFFSET, node.as_bytes());
    let hash = fnv(fnv(hash, &[0]), key_a.as_bytes());
    mix(fnv(fnv(hash, &[0]), key_b.as_bytes()))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

/// The finaliser of SplitMix64: FNV alone leaves the high bits of short names too alike.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number for a name, the same in every process: what [`crate::link::Stanza::origin`] is made of.
pub fn name_hash(name: &str) -> u64 {
    mix(fnv(FNV_OFFSET, name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(nodes: &[&'static str]) -> Vec<&'static str> {
        let node_of = |n| pick(nodes.iter().copied(), &format!("bob{n}@fabrikam.example"), "alice@contoso.example");
        (0..3000).map(|n| node_of(n).unwrap()).collect()
    }

    #[test]
    fn keys_spread_evenly() {
        let picked = spread(&["gw1", "gw2", "gw3"]);
        for node in ["gw1", "gw2", "gw3"] {
            let share = picked.iter().filter(|picked| **picked == node).count();
            assert!((850..1150).contains(&share), "{node} has {share} of 3000");
        }
    }

    #[test]
    fn a_lost_node_moves_only_its_own_keys() {
        let (all, rest) = (spread(&["gw1", "gw2", "gw3"]), spread(&["gw1", "gw3"]));
        for (before, after) in all.iter().zip(&rest) {
            assert!(*before == "gw2" || before == after);
        }
    }

    #[test]
    fn the_order_of_the_nodes_does_not_matter_and_none_is_no_answer() {
        assert_eq!(pick(["gw1", "gw2"], "x", "y"), pick(["gw2", "gw1"], "x", "y"));
        assert!(pick::<str>([], "x", "y").is_none());
    }
}
