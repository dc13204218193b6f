//! Runs our programs and watches them: their log, their CPU time, their memory; ends them by pid on every path out.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

use super::{fault, until};

/// Kernel ticks of `/proc/PID/stat` in a second: USER_HZ, which is part of the kernel's interface on every Linux.
const TICKS_PER_SECOND: u32 = 100;

/// A running program; killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with its standard output and error in `LOG`, appended.
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> io::Result<Self> {
        Self::start_in(&[], program, arguments, log)
    }

    /// The same, with these variables in its environment.
    pub fn start_in(environment: &[(&str, &str)], program: &Path, arguments: &[&str], log: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|error| fault(format!("{}: {error}", program.display())))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line of the log.
    pub async fn logged(&self, what: &str, fits: impl Fn(&str) -> bool) -> io::Result<String> {
        until(&format!("{} logs {what}", self.name), async || {
            self.log().lines().find(|line| fits(line)).map(ToOwned::to_owned)
        })
        .await
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).ok_or_else(|| fault("no process id"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        until(&what, async || self.child.try_wait().transpose()).await?
    }

    /// Ends it as a crash would, and waits until it is gone.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// The CPU time it has used, user and system, all threads.
    pub fn cpu(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The second field is the name in parentheses and may hold anything; utime and stime are 12 and 13 behind it.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let ticks =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum::<u32>();
        Ok(Duration::from_secs(1) * ticks / TICKS_PER_SECOND)
    }

    /// The memory it holds in RAM, in bytes.
    pub fn resident(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kilobytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| fault("no VmRSS"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _it_may_have_ended = self.kill();
    }
}

/// Runs a program to its end.
pub fn run(program: &Path, arguments: &[&str]) -> io::Result<Output> {
    Command::new(program).args(arguments).stdin(Stdio::null()).output()
}

/// Where our programs are: beside the running one, or one folder up when that is a test.
pub fn program(name: &str) -> io::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let mut folder = here.parent().ok_or_else(|| fault("the program has no folder"))?;
    if folder.ends_with("deps") {
        folder = folder.parent().ok_or_else(|| fault("the tests have no folder"))?;
    }
    Ok(folder.join(name))
}

/// Builds both services in the profile of the running test, so that no test judges yesterday's build. Quick when
/// there is nothing to do; `CAUSEWAY_BUILT=1` says that somebody has seen to it.
pub fn build() -> io::Result<()> {
    if std::env::var_os("CAUSEWAY_BUILT").is_some() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--bins"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() { Ok(()) } else { Err(fault(String::from_utf8_lossy(&output.stderr))) }
}
