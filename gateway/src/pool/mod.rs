//! Several gateways on one store: each says every second how it is, and sees how the others are.
//!
//! [`report`] is what a replica says of itself, [`drift`] what does not fit between them: functions over the reports of one
//! moment. [`task`] says and reads, [`ask`] is the store's part for those who await, [`gauges`] what monitors see. Nothing here
//! decides about a stanza. A gateway whose store is a file is a pool of one, and works alike.

pub mod ask;
pub mod drift;
pub mod gauges;
pub mod report;
pub mod task;

pub use ask::{AsyncPool, PoolFault};
pub use drift::{Drift, Replica};
pub use report::{LegReport, ReplicaState, Report};
pub use task::{Pool, PoolFacts, View};
