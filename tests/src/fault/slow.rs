//! A party that holds packets back: whose road is to be slow sends them this way round, and they arrive late.
//!
//! The kernel's own means (netem) is not in every kernel. Roads are sent here and back by routes, so that connections
//! which are there already become slow as well, and end as they are. The party forwards nothing by itself: what comes for
//! others is taken from its card, waits for its time, and goes on with the addresses it had.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::network::{Network, Party, ip};

/// IPv4 among the protocols of a card, in the order of the network.
const ETHERTYPE: u16 = 0x0800;

/// A raw socket that takes whole packets, header and all.
const WHOLE: i32 = 255;

/// The number of TCP in a header (RFC 9293, section 3.1).
const TCP: u8 = 6;

/// Where TCP keeps its checksum.
const CHECKSUM: usize = 16;

/// Packets that wait at most; what comes on top is lost, as in every router. Far more than the load has under way.
const WAITING: usize = 8192;

/// The largest packet.
const PACKET: usize = 65_535;

/// The last octet of the party's address.
const PARTY: u8 = 70;

/// The party, and which roads go through it.
pub struct Slow {
    party: Arc<Party>,
    delay_ms: Arc<AtomicU64>,
    routes: Mutex<Vec<[String; 2]>>,
}

impl Slow {
    /// The party, through which no road goes yet.
    pub async fn start(network: &Network) -> io::Result<Self> {
        let party = network.party("slow", PARTY)?;
        let sockets = party.run(async {
            // What the kernel passes on by itself is not late.
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "0")?;
            let coming = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(ETHERTYPE.to_be()))))?;
            let going = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(WHOLE)))?;
            coming.set_nonblocking(true)?;
            going.set_nonblocking(true)?;
            Ok((UdpSocket::from_std(coming.into())?, UdpSocket::from_std(going.into())?))
        });
        let (coming, going) = sockets.await?;
        let delay_ms = Arc::new(AtomicU64::new(0));
        drop(party.spawn(hold(coming, going, party.address, Arc::clone(&delay_ms))));
        Ok(Self { party, delay_ms, routes: Mutex::default() })
    }

    /// Between the two, everything takes so many milliseconds longer each way.
    pub fn slow(&self, one: &Party, other: &Party, delay_ms: u64) -> io::Result<()> {
        self.delay_ms.store(delay_ms, Ordering::Relaxed);
        let via = self.party.address.to_string();
        for (from, to) in [(one, other), (other, one)] {
            let (space, road) = (from.space().to_owned(), format!("{}/32", to.address));
            ip(&["-n", &space, "route", "add", &road, "via", &via])?;
            self.routes.lock().unwrap_or_else(PoisonError::into_inner).push([space, road]);
        }
        Ok(())
    }

    /// All roads are as fast as before; what waits still arrives, late.
    pub fn heal(&self) -> io::Result<()> {
        let routes = std::mem::take(&mut *self.routes.lock().unwrap_or_else(PoisonError::into_inner));
        routes.iter().try_for_each(|[space, road]| ip(&["-n", space, "route", "del", road]))
    }
}

/// Takes packets and sends each when its time has come, in their order; ends with the party.
async fn hold(coming: UdpSocket, going: UdpSocket, own: Ipv4Addr, delay_ms: Arc<AtomicU64>) {
    let mut waiting: VecDeque<(Instant, SocketAddrV4, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; PACKET];
    loop {
        let due = waiting.front().map(|(due, ..)| *due);
        tokio::select! {
            taken = coming.recv(&mut buffer) => {
                let Some(packet) = taken.ok().and_then(|length| buffer.get(..length)) else { continue };
                if let Some((to, packet)) = sealed(packet)
                    && to != own
                    && waiting.len() < WAITING
                {
                    let due = Instant::now() + Duration::from_millis(delay_ms.load(Ordering::Relaxed));
                    waiting.push_back((due, SocketAddrV4::new(to, 0), packet));
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some((_, to, packet)) = waiting.pop_front() {
                    let _what_does_not_go_is_lost = going.send_to(&packet, to).await;
                }
            }
        }
    }
}

/// A packet and whom it is for, with the checksum of TCP, which senders of the same machine leave to a card.
fn sealed(packet: &[u8]) -> Option<(Ipv4Addr, Vec<u8>)> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let length = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    let mut packet = packet.get(..length)?.to_vec();
    let to = <[u8; 4]>::try_from(packet.get(16..20)?).ok()?;
    if *packet.get(9)? == TCP {
        packet.get_mut(header + CHECKSUM..header + CHECKSUM + 2)?.fill(0);
        let carried = length.checked_sub(header)?;
        let pseudo = u32::from(TCP) + u32::try_from(carried).ok()?;
        let sum = pseudo + words(packet.get(12..20)?) + words(packet.get(header..)?);
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        let checksum = !u16::try_from(folded).ok()?;
        packet.get_mut(header + CHECKSUM..header + CHECKSUM + 2)?.copy_from_slice(&checksum.to_be_bytes());
    }
    Some((to.into(), packet))
}

/// The sum of the words of sixteen bits, the last filled up with a zero (RFC 1071).
fn words(bytes: &[u8]) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let pairs = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)));
    pairs.sum::<u32>() + rest.first().map_or(0, |last| u32::from(*last) << 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN from 10.77.0.20 to 10.77.0.10 with an option, and a checksum that was left to the card.
    const SYN: [u8; 44] = [
        0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 77, 0, 20, 10, 77, 0, 10, 0x9c, 0x40, 0x5b, 0xa0, 0, 0, 0, 1,
        0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0xab, 0xcd, 0, 0, 2, 4, 5, 0xb4,
    ];

    #[test]
    fn a_packet_that_was_held_back_has_a_checksum_that_its_receiver_accepts() {
        let (to, packet) = sealed(&SYN).unwrap_or_else(|| panic!("it is a packet"));
        assert_eq!(to, Ipv4Addr::new(10, 77, 0, 10));
        let carried = packet.get(20..).unwrap_or_default();
        let sum = words(packet.get(12..20).unwrap_or_default()) + u32::from(TCP) + 24 + words(carried);
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn what_ends_before_its_header_says_is_no_packet() {
        (0..SYN.len()).for_each(|length| assert!(sealed(SYN.get(..length).unwrap_or_default()).is_none(), "{length}"));
    }
}
