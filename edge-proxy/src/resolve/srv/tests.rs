use proptest::prelude::*;

use super::*;

fn record(priority: u16, weight: u16, target: &str) -> Record {
    Record { priority, weight, port: 5269, target: target.to_owned() }
}

fn offered(records: Vec<Record>) -> Service {
    Service::read(records, Security::Insecure)
}

fn domain() -> DomainName {
    DomainName::parse("fabrikam.example").unwrap()
}

fn entries(records: Vec<Record>) -> Vec<Entry> {
    interpret(&domain(), offered(records), Service::Absent).unwrap()
}

fn hosts(records: Vec<Record>, seed: u64) -> Vec<String> {
    order(entries(records), &mut Dice::new(seed)).into_iter().map(|target| target.host).collect()
}

/// How often each host comes first, over many seeds.
fn first(records: &[Record], host: &str) -> usize {
    (0..10_000).filter(|seed| hosts(records.to_vec(), seed * 7919)[0] == host).count()
}

#[test]
fn a_lower_priority_is_tried_first() {
    for seed in 0..50 {
        assert_eq!(hosts(vec![record(20, 5, "b"), record(10, 1, "a"), record(30, 9, "c")], seed), ["a", "b", "c"]);
    }
}

#[test]
fn the_first_host_is_drawn_by_weight() {
    let records = [record(0, 10, "a"), record(0, 20, "b"), record(0, 70, "c")];
    // A number from 0 to 100: 101 of them. The order of the running sums gives its zero to any of the three.
    for (host, expected) in [("a", 1000), ("b", 2000), ("c", 7000)] {
        let count = first(&records, host);
        assert!(count.abs_diff(expected) < 200, "{host}: {count}");
    }
}

#[test]
fn the_rest_is_drawn_by_weight_as_well() {
    let records = || vec![record(0, 90, "a"), record(0, 1, "b"), record(0, 9, "c")];
    let orders = (0..10_000).map(|seed| hosts(records(), seed * 104_729));
    let after_a: Vec<_> = orders.filter(|order| order[0] == "a").collect();
    let second = after_a.iter().filter(|order| order[1] == "c").count();
    // Sums of 1 and 9 in either order, drawn from 0 to 10: c has 9 or 10 of 11.
    let share = second as f64 / after_a.len() as f64;
    assert!((0.82..0.91).contains(&share), "{share}");
}

#[test]
fn a_record_without_weight_has_a_small_chance() {
    let count = first(&[record(0, 9, "heavy"), record(0, 0, "light")], "light");
    assert!(count.abs_diff(1000) < 200, "{count}");
}

#[test]
fn records_without_weight_share_the_load() {
    let count = first(&[record(0, 0, "a"), record(0, 0, "b")], "a");
    assert!(count.abs_diff(5000) < 300, "{count}");
}

#[test]
fn one_seed_gives_one_order() {
    let records = || (0..16).map(|n| record(0, n, &format!("h{n}"))).collect::<Vec<_>>();
    assert_eq!(hosts(records(), 5), hosts(records(), 5));
    assert!((0..10).any(|seed| hosts(records(), seed) != hosts(records(), 5)));
}

#[test]
fn both_services_are_one_record_set() {
    let starttls = offered(vec![record(10, 0, "a"), record(30, 0, "c")]);
    let direct = offered(vec![record(20, 0, "b")]);
    let ordered = order(interpret(&domain(), starttls, direct).unwrap(), &mut Dice::new(1));
    let ordered: Vec<_> = ordered.iter().map(|target| (target.host.as_str(), target.mode)).collect();
    assert_eq!(ordered, [("a", Mode::StartTls), ("b", Mode::Direct), ("c", Mode::StartTls)]);
}

#[test]
fn a_target_is_tried_once_for_each_way_of_beginning_tls() {
    let same = || vec![record(1, 0, "a"), record(2, 0, "a")];
    let ordered = order(interpret(&domain(), offered(same()), offered(same())).unwrap(), &mut Dice::new(1));
    let mut modes: Vec<_> = ordered.iter().map(|target| target.mode).collect();
    modes.sort_by_key(|mode| *mode == Mode::Direct);
    assert_eq!(modes, [Mode::StartTls, Mode::Direct]);
}

#[test]
fn a_root_target_means_that_the_service_is_not_offered() {
    let dot = || offered(vec![record(0, 0, "")]);
    let refused = Err(ResolveFault::NotOffered("fabrikam.example".to_owned()));
    assert_eq!(interpret(&domain(), dot(), Service::Absent), refused);
    assert_eq!(interpret(&domain(), dot(), dot()), refused);
    // XEP-0368, section 5: no fallback to addresses either.
    assert_eq!(interpret(&domain(), Service::Absent, dot()), refused);
}

#[test]
fn a_root_target_of_one_service_leaves_the_other() {
    let dot = || offered(vec![record(0, 0, "")]);
    let one = || offered(vec![record(0, 0, "a")]);
    assert_eq!(interpret(&domain(), one(), dot()).unwrap()[0].1, Mode::StartTls);
    assert_eq!(interpret(&domain(), dot(), one()).unwrap()[0].1, Mode::Direct);
}

#[test]
fn absent_records_lead_to_the_domain_itself_and_present_ones_do_not() {
    let itself = (record(0, 0, "fabrikam.example"), Mode::StartTls, Security::Insecure);
    assert_eq!(interpret(&domain(), Service::Absent, Service::Absent), Ok(vec![itself]));
    for (starttls, direct) in
        [(offered(vec![record(1, 1, "x")]), Service::Absent), (Service::Absent, offered(vec![record(1, 1, "x")]))]
    {
        let entries = interpret(&domain(), starttls, direct).unwrap();
        assert_eq!((entries.len(), entries[0].0.target.as_str()), (1, "x"));
    }
}

#[test]
fn whether_a_target_is_proved_is_the_matter_of_its_own_answer() {
    let starttls = Service::read([record(1, 0, "a")], Security::Insecure);
    let direct = Service::read([record(2, 0, "b")], Security::Secure);
    let ordered = order(interpret(&domain(), starttls, direct).unwrap(), &mut Dice::new(1));
    assert_eq!([ordered[0].security, ordered[1].security], [Security::Insecure, Security::Secure]);
}

#[test]
fn more_records_than_the_cap_are_not_used_and_the_best_are_kept() {
    let many = (0..100).rev().map(|n| record(n, 0, "h")).collect();
    let entries = entries(many);
    assert_eq!(entries.len(), MAX_RECORDS);
    assert!(entries.iter().all(|(record, _, _)| usize::from(record.priority) < MAX_RECORDS));
}

#[test]
fn a_proxy_is_a_host_with_an_optional_port() {
    assert_eq!(Proxy::parse("xmpp.fabrikam.example").unwrap().port, 5269);
    assert_eq!(Proxy::parse("XMPP.fabrikam.example:5300").unwrap().host, "xmpp.fabrikam.example");
    for wrong in ["", "a:b", "a:0", "a:70000", "a b"] {
        assert_eq!(Proxy::parse(wrong), None, "{wrong}");
    }
}

proptest! {
    /// Whatever the records and the seed: none is lost, none is tried twice, and priorities are kept.
    #[test]
    fn any_records_are_all_tried_in_the_order_of_their_priorities(
        records in prop::collection::vec((0..4_u16, 0..5_u16, 1..4_u16, 0..4_u8), 1..16),
        seed in any::<u64>(),
    ) {
        let entries: Vec<Entry> = records
            .iter()
            .map(|(priority, weight, port, host)| {
                let record = Record { priority: *priority, weight: *weight, port: *port, target: format!("h{host}") };
                (record, if weight % 2 == 0 { Mode::Direct } else { Mode::StartTls }, Security::Insecure)
            })
            .collect();
        let key = |host: &str, port: u16, mode: Mode| (host.to_owned(), port, mode == Mode::Direct);
        let ordered = order(entries.clone(), &mut Dice::new(seed));
        let tried: Vec<_> = ordered.iter().map(|target| key(&target.host, target.port, target.mode)).collect();
        let mut known = std::collections::BTreeMap::new();
        for (record, mode, _) in &entries {
            let least = known.entry(key(&record.target, record.port, *mode)).or_insert(record.priority);
            *least = record.priority.min(*least);
        }
        let mut sorted = tried.clone();
        sorted.sort();
        prop_assert_eq!(sorted, known.keys().cloned().collect::<Vec<_>>());
        let priorities: Vec<_> = tried.iter().map(|target| known[target]).collect();
        prop_assert!(priorities.is_sorted());
    }
}
