use super::*;
use TransportKind::{Tcp, Tls, Udp};

const OURS: [TransportKind; 3] = [Tls, Tcp, Udp];

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv { priority, weight, port, target: target.to_owned() }
}

fn naptr(order: u16, service: &str, replacement: &str) -> Naptr {
    let (flags, service, replacement) = ("s".to_owned(), service.to_owned(), replacement.to_owned());
    Naptr { order, preference: 50, flags, service, replacement }
}

/// Asks and answers until there are targets; a name without records does not exist.
fn locate(hops: &[NextHop], dns: &Answers) -> (Vec<String>, Vec<Lookup>) {
    let (mut known, mut asked) = (Answers::default(), Vec::new());
    for _ in 0..5 {
        match plan(hops, &OURS, &known, &mut |_| 0) {
            Plan::Targets(targets) => return (targets.iter().map(ToString::to_string).collect(), asked),
            Plan::Ask(lookups) => {
                for lookup in lookups {
                    match &lookup {
                        Lookup::Naptr(name) => {
                            known.naptr.insert(name.clone(), dns.naptr.get(name).cloned().unwrap_or_default());
                        }
                        Lookup::Srv(name) => {
                            known.srv.insert(name.clone(), dns.srv.get(name).cloned().unwrap_or_default());
                        }
                        Lookup::Address(name) => {
                            known.addresses.insert(name.clone(), dns.addresses.get(name).cloned().unwrap_or_default());
                        }
                    }
                    asked.push(lookup);
                }
            }
        }
    }
    panic!("the plan never ends");
}

fn hop(text: &str) -> Vec<NextHop> {
    vec![NextHop::parse(text).unwrap()]
}

fn dns() -> Answers {
    let mut dns = Answers::default();
    let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    dns.addresses.insert("a.contoso.example".into(), ips(&["10.0.0.1"]));
    dns.addresses.insert("b.contoso.example".into(), ips(&["10.0.0.2", "2001:db8::2"]));
    dns.addresses.insert("contoso.example".into(), ips(&["10.0.0.9"]));
    dns
}

// Rule: sip.locate
#[test]
fn a_fixed_address_needs_no_dns() {
    assert_eq!(locate(&hop("tcp:10.0.0.5:5070"), &dns()), (vec!["tcp:10.0.0.5:5070".into()], vec![]));
    assert_eq!(locate(&hop("tls:[2001:db8::1]"), &dns()).0, ["tls:[2001:db8::1]:5061"]);
    // RFC 3263 section 4.1: a numeric host without transport means UDP.
    assert_eq!(locate(&hop("10.0.0.5"), &dns()).0, ["udp:10.0.0.5:5060"]);
}

// RFC 3263 section 4.2
// Rule: sip.locate
#[test]
fn an_explicit_port_means_no_srv() {
    let (targets, asked) = locate(&hop("tcp:contoso.example:5080"), &dns());
    assert_eq!(targets, ["tcp:10.0.0.9:5080"]);
    assert_eq!(asked, [Lookup::Address("contoso.example".into())]);
}

// RFC 3263 section 4.1
// Rule: sip.locate
#[test]
fn naptr_chooses_transport_and_srv_name() {
    let mut dns = dns();
    let records =
        vec![naptr(90, "SIP+D2T", "_sip._tcp.contoso.example."), naptr(50, "SIPS+D2T", "_sips._tcp.contoso.example.")];
    dns.naptr.insert("contoso.example".into(), records);
    dns.srv.insert("_sips._tcp.contoso.example".into(), vec![srv(0, 1, 5061, "b.contoso.example.")]);
    dns.srv.insert("_sip._tcp.contoso.example".into(), vec![srv(0, 1, 5060, "a.contoso.example")]);
    let expected =
        ["tls:10.0.0.2:5061 (contoso.example)", "tls:[2001:db8::2]:5061 (contoso.example)", "tcp:10.0.0.1:5060"];
    assert_eq!(locate(&hop("contoso.example"), &dns).0, expected);
    // A sips URI keeps only what is secure.
    let secure = NextHop::of_uri(&"sips:alice@contoso.example".parse().unwrap()).unwrap();
    assert_eq!(locate(&[secure], &dns).0, expected[..2]);
}

// Rule: sip.locate
#[test]
fn without_naptr_each_transport_is_asked_by_srv_and_then_the_host_itself() {
    let (targets, asked) = locate(&hop("contoso.example"), &dns());
    assert_eq!(targets, ["udp:10.0.0.9:5060"]);
    assert_eq!(asked.iter().filter(|lookup| matches!(lookup, Lookup::Srv(_))).count(), 3);
    let (targets, asked) = locate(&hop("tls:contoso.example"), &dns());
    assert_eq!(targets, ["tls:10.0.0.9:5061 (contoso.example)"]);
    assert_eq!(asked[0], Lookup::Srv("_sips._tcp.contoso.example".into()));
}

// Rule: sip.locate
#[test]
fn a_srv_target_of_a_dot_is_no_service() {
    let mut dns = dns();
    dns.srv.insert("_sip._tcp.contoso.example".into(), vec![srv(0, 0, 0, ".")]);
    dns.addresses.clear();
    assert!(locate(&hop("tcp:contoso.example"), &dns).0.is_empty());
}

#[test]
fn several_hops_are_tried_in_their_order_and_none_twice() {
    let hops = ["tcp:10.0.0.2", "tcp:10.0.0.1", "tcp:10.0.0.2"].map(|text| NextHop::parse(text).unwrap());
    assert_eq!(locate(&hops, &dns()).0, ["tcp:10.0.0.2:5060", "tcp:10.0.0.1:5060"]);
}

#[test]
fn uris_give_their_next_hop() {
    let of = |text: &str| NextHop::of_uri(&text.parse().unwrap());
    let hop = of("sip:10.0.0.5:5061;transport=TLS;lr").unwrap();
    assert_eq!((hop.host.as_str(), hop.port, hop.transport), ("10.0.0.5", Some(5061), Some(Tls)));
    assert_eq!(of("sip:a@h;maddr=10.1.1.1").unwrap().host, "10.1.1.1");
    assert_eq!(of("im:a@h"), None);
    assert!(NextHop::parse("tcp:").is_err());
    assert!(NextHop::parse("http://x").is_err());
}

// RFC 2782
// Rule: sip.locate
#[test]
fn lower_priority_comes_first_and_weight_decides_by_chance() {
    let records = [srv(20, 0, 1, "c"), srv(10, 60, 2, "a"), srv(10, 40, 3, "b"), srv(10, 0, 4, "z")];
    let first = |drawn: u32| order_srv(&records, &mut |_| drawn)[0].target.clone();
    assert_eq!((first(0).as_str(), first(1).as_str(), first(40).as_str()), ("z", "b", "b"));
    assert_eq!((first(41).as_str(), first(100).as_str()), ("a", "a"));
    let order: Vec<_> = order_srv(&records, &mut |sum| sum).iter().map(|record| record.target.as_str()).collect();
    assert_eq!(order, ["a", "b", "z", "c"]);
}

proptest::proptest! {
    #[test]
    fn every_record_comes_out_once_in_order_of_priority(
        weights in proptest::collection::vec((0_u16..3, 0_u16..100), 0..20),
        mut draws in proptest::collection::vec(0_u32..5000, 20),
    ) {
        let records: Vec<_> = weights.iter().enumerate()
            .map(|(port, (priority, weight))| srv(*priority, *weight, port as u16, "h")).collect();
        let ordered = order_srv(&records, &mut |sum| draws.pop().unwrap_or(0) % (sum + 1));
        let mut ports: Vec<_> = ordered.iter().map(|record| record.port).collect();
        proptest::prop_assert!(ordered.is_sorted_by_key(|record| record.priority));
        ports.sort_unstable();
        proptest::prop_assert_eq!(ports, (0..records.len() as u16).collect::<Vec<_>>());
    }
}
