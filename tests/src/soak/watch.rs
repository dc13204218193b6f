//! What the edge holds, looked at once in a second.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::world::World;
use crate::peer::http;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// What it holds at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// Bytes of memory in RAM.
    pub resident: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Tasks of its runtime.
    pub tasks: u64,
    /// Connections with partners, by its own count.
    pub connections: u64,
}

impl Held {
    fn most(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            descriptors: self.descriptors.max(other.descriptors),
            tasks: self.tasks.max(other.tasks),
            connections: self.connections.max(other.connections),
        }
    }
}

/// Looks on until it is dropped.
pub struct Watch {
    pid: u32,
    admin: SocketAddr,
    most: Arc<Mutex<Held>>,
    looking: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Watch {
    /// Begins to look at the edge.
    pub fn start(world: &World) -> Self {
        let (pid, admin, most) = (world.edge.pid(), world.road.plan.edge_http, Arc::<Mutex<Held>>::default());
        let seen = Arc::clone(&most);
        let looking = tokio::spawn(async move {
            loop {
                if let Ok(held) = look(pid, admin).await {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    *seen = seen.most(held);
                }
                sleep(EVERY).await;
            }
        });
        Self { pid, admin, most, looking }
    }

    /// Now.
    pub async fn look(&self) -> io::Result<Held> {
        look(self.pid, self.admin).await
    }

    /// The most of everything since it was forgotten.
    pub fn most(&self) -> Held {
        *self.most.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on counts anew.
    pub fn forget_most(&self) {
        *self.most.lock().unwrap_or_else(PoisonError::into_inner) = Held::default();
    }
}

async fn look(pid: u32, admin: SocketAddr) -> io::Result<Held> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or_default();
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let (_, metrics) = http::get(admin, "/metrics").await?;
    Ok(Held {
        resident: kilobytes * 1024,
        descriptors: u64::try_from(descriptors).unwrap_or(u64::MAX),
        tasks: http::metric(&metrics, "causeway_edge_tasks", &[]) as u64,
        connections: http::metric(&metrics, "causeway_edge_connections", &[]) as u64,
    })
}
