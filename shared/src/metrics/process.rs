//! What the kernel knows of this process, under the names that Prometheus' own libraries use. Read from `/proc` when
//! somebody asks; where there is none, nothing is told.

use std::sync::OnceLock;

use super::{Catalogue, Kind};

/// Clock ticks in a second, in `/proc`: the kernel's interface fixes them at 100.
const TICKS: f64 = 100.0;

/// Bytes of a page, in `/proc/self/statm` of the machines that we build for.
const PAGE: f64 = 4096.0;

/// Adds the facts of the process.
pub fn register(catalogue: &mut Catalogue) {
    type Look = fn() -> Option<f64>;
    let facts: [(&'static str, &'static str, Kind, Look); 5] = [
        ("process_cpu_seconds", "Processor time that was used", Kind::Counter, cpu_seconds),
        ("process_resident_memory_bytes", "Memory that is resident", Kind::Gauge, resident_bytes),
        ("process_open_fds", "Files and sockets that are open", Kind::Gauge, open_fds),
        ("process_max_fds", "Files and sockets that may be open", Kind::Gauge, max_fds),
        ("process_start_time_seconds", "When the process started, in Unix seconds", Kind::Gauge, start_time),
    ];
    for (name, help, kind, look) in facts {
        catalogue.look_up(name, help, kind, &[], move || look().into_iter().map(|value| (Vec::new(), value)).collect());
    }
}

fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    Some((stat_field(&text, 14)? + stat_field(&text, 15)?) / TICKS)
}

fn resident_bytes() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<f64>().ok()? * PAGE)
}

#[expect(clippy::cast_precision_loss, reason = "nobody has that many files open")]
fn open_fds() -> Option<f64> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

fn max_fds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn start_time() -> Option<f64> {
    static START: OnceLock<Option<f64>> = OnceLock::new();
    *START.get_or_init(|| {
        let booted = std::fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        Some(booted + stat_field(&text, 22)? / TICKS)
    })
}

/// A field of `/proc/self/stat`, counted from 1; the second is a name in parentheses, which may hold anything.
fn stat_field(text: &str, number: usize) -> Option<f64> {
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_behind_a_hostile_name_are_found() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 12345 1 2";
        assert_eq!(stat_field(text, 14), Some(250.0));
        assert_eq!(stat_field(text, 15), Some(50.0));
        assert_eq!(stat_field(text, 22), Some(12345.0));
        assert_eq!(stat_field("", 14), None);
    }

    #[test]
    fn this_process_has_memory_files_and_an_age() {
        assert!(resident_bytes().unwrap() > 1_000_000.0);
        assert!(open_fds().unwrap() >= 3.0);
        assert!(max_fds().unwrap() >= open_fds().unwrap());
        assert!(start_time().unwrap() > 1_600_000_000.0);
    }
}
