//! When the next message goes: as soon as fewer than a bound are on their way, or by the clock whatever happens.

use std::io;
use std::time::{Duration, Instant};

use super::flight::Flight;

/// The rhythm of a run.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As fast as messages arrive, with at most so many on their way.
    Saturate {
        /// How many.
        aloft: u64,
    },
    /// The same, and it ends after so many.
    Wave {
        /// How many on their way.
        aloft: u64,
        /// How many in all.
        total: u64,
    },
    /// So many a second (an open loop): a slow receiver is not spared, and lateness counts from the due time.
    Steady {
        /// How many.
        per_second: f64,
    },
}

/// Messages that go out together when there is much to send.
const BURST: usize = 32;

/// How long a sender sleeps when there is nothing to do; the kernel adds about as much.
const NAP: Duration = Duration::from_micros(50);

/// An open loop pauses when so many are on their way: the receiver is lost, and memory is not endless.
const MOST_ALOFT: u64 = 100_000;

/// How long a run waits for its last messages.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// A wire that messages go out on.
pub trait Wire {
    /// Puts a message in line.
    fn send(&mut self, number: u64) -> io::Result<()>;
    /// Puts what is in line on the wire.
    fn flush(&mut self) -> io::Result<()>;
    /// Looks at what came back; true if there was something.
    fn attend(&mut self) -> io::Result<bool>;
    /// Whether each message is accepted or refused on this wire, apart from its arrival.
    fn is_answered(&self) -> bool {
        false
    }
}

/// Whether so many are on their way, or not yet answered: what has arrived is held by its sender until that is said.
fn is_full(flight: &Flight, wire: &impl Wire, aloft: u64) -> bool {
    flight.aloft() >= aloft || wire.is_answered() && flight.unanswered() >= aloft
}

/// Sends until the flight is stopped.
pub fn drive(pace: Pace, flight: &Flight, wire: &mut impl Wire) -> io::Result<()> {
    let began = Instant::now();
    let mut sent = 0_u64;
    while !flight.is_stopped() {
        let mut due_now = 0;
        while due_now < BURST {
            let due = match pace {
                Pace::Wave { total, .. } if sent >= total => {
                    flight.stop();
                    break;
                }
                Pace::Saturate { aloft } | Pace::Wave { aloft, .. } if is_full(flight, wire, aloft) => break,
                Pace::Saturate { .. } | Pace::Wave { .. } => Instant::now(),
                Pace::Steady { per_second } => {
                    let due = began + Duration::from_secs_f64(sent as f64 / per_second);
                    if due > Instant::now() {
                        break;
                    }
                    if flight.aloft() >= MOST_ALOFT {
                        // Its lateness goes on counting.
                        break;
                    }
                    due
                }
            };
            wire.send(flight.departs(due))?;
            sent += 1;
            due_now += 1;
        }
        if due_now > 0 {
            wire.flush()?;
        }
        if !wire.attend()? && due_now < BURST {
            std::thread::sleep(NAP);
        }
    }
    // What is on its way still arrives; answers may come on the sender's own wire.
    let (give_up, wire_is_answered) = (Instant::now() + STRAGGLERS, wire.is_answered());
    let is_over = || flight.aloft() == 0 && (!wire_is_answered || flight.unanswered() == 0);
    while !is_over() && Instant::now() < give_up {
        if !wire.attend()? {
            std::thread::sleep(NAP);
        }
    }
    Ok(())
}
