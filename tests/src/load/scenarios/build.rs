//! Build time from clean: both services and the command line in their release profile, with nothing built before.
//!
//! It is built as the benchmark's own programs were, in a folder of its own that is removed afterwards. Sources of crates
//! have been downloaded by then; that time is the network's.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::load::report::{Report, What, Who};
use crate::peer::fault;
use crate::peer::process::{Process, cpu_of_ended, program};

/// How often it is asked whether the compiler has ended.
const LOOK: Duration = Duration::from_millis(100);

/// More than the slowest machine takes that somebody would build on.
const PATIENCE: Duration = Duration::from_secs(3600);

const WALL: What = What::told("build_seconds", "build of both services from clean, release, on all cores", "s");
const CPU: What = What::told("build_cpu_seconds", "  CPU of that", "s");
const CRATES: What = What::told("build_crates", "  crates compiled", "");

/// One build.
pub(super) async fn measure(report: &mut Report) -> io::Result<()> {
    let folder = Folder::new()?;
    let log = folder.0.join("log");
    let target = folder.0.to_string_lossy();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let (manifest, packages) = (manifest.to_string_lossy(), ["-p", "causeway-edge-proxy", "-p", "causeway-gateway"]);
    let mut arguments = vec!["build", "--release", "--bins", "--offline", "--locked", "--manifest-path", &*manifest];
    arguments.extend(packages);

    let (began, before) = (Instant::now(), cpu_of_ended()?);
    let mut process = Process::start_in(&[("CARGO_TARGET_DIR", &*target)], Path::new(&cargo), &arguments, &log)?;
    while process.is_running() && began.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
    }
    let took = began.elapsed();
    let text = process.log();
    if !process.ended().await?.success() {
        let last = text.lines().last().unwrap_or_default();
        return Err(fault(format!("cargo could not build the services: {last}")));
    }
    let spent = cpu_of_ended()?.saturating_sub(before);
    report.add(WALL, Who::Us, took.as_secs_f64());
    report.add(CPU, Who::Us, spent.as_secs_f64());
    report.add(CRATES, Who::Us, crates(&text) as f64);
    Ok(())
}

/// How many crates a log of cargo tells of.
fn crates(log: &str) -> usize {
    log.lines().filter(|line| line.trim_start().starts_with("Compiling ")).count()
}

/// Where it is built, beside the programs' own folder; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let gateway = program("gateway")?;
        let target = gateway.ancestors().nth(2).ok_or_else(|| fault("the programs have no folder"))?;
        let folder = target.join("bench-build");
        // What an interrupted run has left is not clean.
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _nobody_needs_it = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_counted_as_cargo_tells_of_them() {
        let log =
            "   Compiling libc v0.2.1\n   Compiling causeway-sip v0.1.0 (/src)\n    Finished `release` profile in 2m\n";
        assert_eq!(crates(log), 2);
    }
}
