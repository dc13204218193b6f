//! A load that comes from elsewhere: its threads leave the cores to whoever is measured.
//!
//! A partner's flood is made on the partner's machines. Here there are only those cores on which the services run, so
//! the threads that make a flood, and those that take one in, have a far lower priority: the services and whoever measures
//! go first, and the flood gets what they leave.

use rustix::process::{getpriority_process, setpriority_process};

/// So much lower than the others' priority: the whole way from the ordinary one to the lowest. A weight of 1 against 68.
const LOWER: i32 = 19;

/// This thread, which must end with the load, belongs to another machine from now on.
pub fn begin() {
    // On Linux the call concerns the calling thread alone, and one may always lower one's priority.
    let lowered = getpriority_process(None).and_then(|now| setpriority_process(None, now + LOWER));
    if let Err(error) = lowered {
        eprintln!("a load keeps its priority, and takes cores from what is measured: {error}");
    }
}
