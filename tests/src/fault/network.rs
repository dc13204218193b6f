//! The network of the fault tests: each party in a namespace of its own, all on one bridge, where the road between any two
//! can be cut or made to lose packets.
//!
//! A cut road swallows packets (nftables drops them on the bridge), so that nobody is told: no reset, no ICMP. The names of
//! the namespaces begin with that of the run; [`Network`] removes them when it goes. Fakes live in the same namespaces:
//! [`Party::spawn`] runs a task on a thread that has moved there, and sockets belong to the namespace of the thread that
//! makes them.

use std::fmt::Write as _;
use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::peer::fault;
use crate::peer::process::Process;

/// The first three octets of all addresses; namespaces keep runs apart.
const NET: [u8; 3] = [10, 77, 0];

/// The bridge's own address: who asks from here is never cut off.
const HUB: u8 = 1;

/// The rules' table and chain on the bridge.
const CHAIN: &str = "bridge faults forward";

/// All parties and the bridge between them; removed when dropped.
pub struct Network {
    run: String,
    hub: Party,
    parties: Mutex<Vec<Arc<Party>>>,
    broken: Mutex<Vec<String>>,
}

impl Network {
    /// Makes the bridge. `run` begins the names of the namespaces.
    pub fn new(run: &str) -> io::Result<Self> {
        if !Path::new("/usr/sbin/nft").exists() {
            return Err(fault("nft is missing: run deploy/setup"));
        }
        let hub = Party::new(&format!("{run}-hub"), HUB)?;
        let network = Self { run: run.to_owned(), hub, parties: Mutex::default(), broken: Mutex::default() };
        let space = &network.hub.space;
        ip(&["-n", space, "link", "add", "name", "br0", "type", "bridge"])?;
        ip(&["-n", space, "addr", "add", &format!("{}/24", network.hub.address), "dev", "br0"])?;
        ip(&["-n", space, "link", "set", "br0", "up"])?;
        network.rules()?;
        Ok(network)
    }

    /// A party with the last octet of its address.
    pub fn party(&self, name: &str, last: u8) -> io::Result<Arc<Party>> {
        let party = Party::new(&format!("{}-{name}", self.run), last)?;
        let (hub, space, port) = (&self.hub.space, &party.space, format!("p-{name}"));
        ip(&["-n", hub, "link", "add", "name", &port, "type", "veth", "peer", "name", "eth0", "netns", space])?;
        ip(&["-n", hub, "link", "set", &port, "master", "br0", "up"])?;
        ip(&["-n", space, "addr", "add", &format!("{}/24", party.address), "dev", "eth0"])?;
        // Each packet is one that a road could carry: not many in one, that a card would take apart.
        ip(&["-n", space, "link", "set", "eth0", "gso_max_segs", "1"])?;
        ip(&["-n", space, "link", "set", "eth0", "up"])?;
        ip(&["-n", space, "link", "set", "lo", "up"])?;
        let party = Arc::new(party);
        self.parties.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&party));
        Ok(party)
    }

    /// Who sees everything and is never cut off.
    pub fn hub(&self) -> &Party {
        &self.hub
    }

    /// Nothing passes between the two any more, and neither is told.
    pub fn cut(&self, one: &Party, other: &Party) -> io::Result<()> {
        self.add(one, other, "drop")
    }

    /// Of a hundred packets between the two, so many are lost.
    pub fn lose(&self, one: &Party, other: &Party, percent: u8) -> io::Result<()> {
        self.add(one, other, &format!("numgen random mod 100 < {percent} drop"))
    }

    /// All roads are whole again.
    pub fn heal(&self) -> io::Result<()> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.rules()
    }

    fn add(&self, one: &Party, other: &Party, verdict: &str) -> io::Result<()> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        for (from, to) in [(one.address, other.address), (other.address, one.address)] {
            broken.push(format!("add rule {CHAIN} ip saddr {from} ip daddr {to} {verdict}"));
        }
        drop(broken);
        self.rules()
    }

    /// Puts all rules in place at once.
    fn rules(&self) -> io::Result<()> {
        let mut text = format!(
            "add table bridge faults\n\
             add chain {CHAIN} {{ type filter hook forward priority 0; policy accept; }}\nflush chain {CHAIN}\n"
        );
        for rule in self.broken.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _writing_to_a_string_cannot_fail = writeln!(text, "{rule}");
        }
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.hub.space, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().ok_or_else(|| fault("nft takes no input"))?.write_all(text.as_bytes())?;
        let output = child.wait_with_output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(fault(format!("nft: {}", String::from_utf8_lossy(&output.stderr))))
        }
    }
}

/// One party: a namespace with an address, and a thread in it for the fakes.
pub struct Party {
    /// Its address on the bridge.
    pub address: Ipv4Addr,
    space: String,
    tasks: Handle,
    _end: oneshot::Sender<()>,
}

impl Drop for Party {
    fn drop(&mut self) {
        // Sockets that are still open keep the namespace, not its name.
        let _it_may_be_gone = ip(&["netns", "del", &self.space]);
    }
}

impl Party {
    fn new(space: &str, last: u8) -> io::Result<Self> {
        ip(&["netns", "add", space])?;
        let path = PathBuf::from("/run/netns").join(space);
        let (end, ended) = oneshot::channel();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name(space.to_owned()).spawn(move || {
            let runtime = File::open(path).and_then(|file| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                Builder::new_current_thread().enable_all().build()
            });
            match runtime {
                Ok(runtime) => {
                    let _somebody_waits = started.send(Ok(runtime.handle().clone()));
                    let _the_party_is_gone = runtime.block_on(ended);
                }
                Err(error) => {
                    let _somebody_waits = started.send(Err(error));
                }
            }
        })?;
        let tasks = start.recv().map_err(io::Error::other)??;
        let [a, b, c] = NET;
        Ok(Self { address: Ipv4Addr::new(a, b, c, last), space: space.to_owned(), tasks, _end: end })
    }

    /// The name of its namespace.
    pub fn space(&self) -> &str {
        &self.space
    }

    /// Its address, for those who take either family.
    pub fn ip(&self) -> IpAddr {
        self.address.into()
    }

    /// Runs a task whose sockets are this party's.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Runs a task there and waits for what it says.
    pub async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        self.spawn(task).await.map_err(io::Error::other)?
    }

    /// Starts one of our programs as this party.
    pub fn start(&self, program: &Path, config: &Path, log: &Path) -> io::Result<Process> {
        let (program, config) = (program.to_string_lossy(), config.to_string_lossy());
        // `ip` becomes the program: the process id is the program's.
        Process::start(Path::new("ip"), &["netns", "exec", &self.space, &program, "--config", &config], log)
    }
}

/// Runs `ip`.
pub(super) fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = crate::peer::process::run(Path::new("ip"), arguments)?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(fault(format!("ip {}: {} (network namespaces need root)", arguments.join(" "), said.trim())))
    }
}
