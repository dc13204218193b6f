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

    /// Ends it as a crash would, with every process it has started, and waits until it is gone.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        // Children have to be known before: they are nobody's when their parent is gone, and its pid may be another's.
        let children = if self.is_running() { tree(self.pid()).split_off(1) } else { Vec::new() };
        self.child.kill()?;
        let status = self.child.wait()?;
        for pid in children {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _it_may_have_ended_with_its_parent = kill_process(pid, Signal::KILL);
            }
        }
        Ok(status)
    }

    /// The CPU time it has used, user and system, all threads, with the processes it has started.
    pub fn cpu(&self) -> io::Result<Duration> {
        Ok(time(self.sum(|pid| ticks(&pid.to_string(), UTIME))?))
    }

    /// The memory it holds in RAM, in bytes, with the processes it has started; what these share counts for each.
    pub fn resident(&self) -> io::Result<u64> {
        self.sum(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
            let kilobytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
            kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| fault("no VmRSS"))
        })
    }

    /// Of the process itself a figure must be had; children may come and go.
    fn sum(&self, figure: impl Fn(u32) -> io::Result<u64>) -> io::Result<u64> {
        let own = figure(self.pid())?;
        Ok(own + tree(self.pid()).into_iter().skip(1).filter_map(|pid| figure(pid).ok()).sum::<u64>())
    }
}

/// Where user and system time stand in `/proc/PID/stat`, behind the name: those of a process, and of its children that have
/// ended, with theirs.
const UTIME: usize = 11;
const CUTIME: usize = 13;

/// User and system time of a process, in ticks.
fn ticks(pid: &str, first: usize) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name is in parentheses and may hold anything.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    Ok(fields.split_whitespace().skip(first).take(2).filter_map(|field| field.parse::<u64>().ok()).sum())
}

fn time(ticks: u64) -> Duration {
    Duration::from_secs(1) * u32::try_from(ticks).unwrap_or(u32::MAX) / TICKS_PER_SECOND
}

/// The CPU time of everything that this program has started and that has ended, with what that has started.
pub fn cpu_of_ended() -> io::Result<Duration> {
    Ok(time(ticks("self", CUTIME)?))
}

/// A process and all that it has started, itself first.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        // The kernel lists children by the thread that started them.
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        next += 1;
    }
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_counted_with_what_it_had_started() {
        let before = cpu_of_ended().unwrap();
        let busy = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'";
        assert!(run(Path::new("/bin/sh"), &["-c", &format!("{busy}; true")]).unwrap().status.success());
        assert!(cpu_of_ended().unwrap() > before);
    }

    #[tokio::test]
    async fn a_process_is_counted_and_ended_with_those_it_has_started() {
        let log = std::env::temp_dir().join(format!("causeway-tree-{}", std::process::id()));
        let _ = std::fs::remove_file(&log);
        let script = "sleep 1000 & echo child $!; wait";
        let mut process = Process::start(Path::new("/bin/sh"), &["-c", script], &log).unwrap();
        let line = process.logged("its child", |line| line.starts_with("child ")).await.unwrap();
        let child: u32 = line.strip_prefix("child ").unwrap().parse().unwrap();
        assert_eq!(tree(process.pid()), [process.pid(), child]);
        let own = std::fs::read_to_string(format!("/proc/{}/statm", process.pid())).unwrap();
        let own: u64 = own.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(process.resident().unwrap() > own * 4096);
        process.kill().unwrap();
        let is_gone = async || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            (state.is_empty() || state.contains(") Z ")).then_some(())
        };
        until("the child is gone", is_gone).await.unwrap();
        std::fs::remove_file(&log).unwrap();
    }
}
