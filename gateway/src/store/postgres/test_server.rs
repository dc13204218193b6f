//! A PostgreSQL of Debian's for tests: started by the test, gone with it, however it ends.
//!
//! A cluster is made once for a machine and copied for each server, which takes a tenth of the time. The server runs
//! as the user `postgres` where the test runs as root, for PostgreSQL refuses root. A shell holds it: when the test's
//! end of a pipe closes, be it by a kill, the shell stops the server and removes its folder.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test without its server has failed")]
#![allow(dead_code, unreachable_pub, reason = "two crates use this file, and not all of it each")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Debian's versions, the newest first.
const VERSIONS: [&str; 3] = ["17", "16", "15"];
/// The user as whom the server runs when the test is root.
const USER: &str = "postgres";
/// How long the server may take to start: the machine may be busy with other tests.
const START: Duration = Duration::from_secs(60);
/// Fast instead of safe: a test's data need not survive the machine. What is written survives the server all the same.
const SETTINGS: &str = "
fsync = off
full_page_writes = off
shared_buffers = 16MB
max_connections = 200
max_wal_size = 256MB
autovacuum = on
log_min_messages = warning
log_lock_waits = on
password_encryption = scram-sha-256
";

/// A server on loopback and on a Unix socket in its folder, of whom everybody is trusted on the socket.
pub struct TestServer {
    folder: PathBuf,
    port: u16,
    network: Option<String>,
    holder: Option<(Child, ChildStdin)>,
}

/// Lines of `postgresql.conf` and `pg_hba.conf`, and files with their names.
type Extras<'e> = (&'e str, &'e str, &'e [(&'e str, &'e str)]);

impl TestServer {
    /// Starts a server.
    pub fn start() -> Self {
        Self::start_with("", "host all all 127.0.0.1/32 trust\n", &[])
    }

    /// Starts a server with more lines in `postgresql.conf` and, behind that of the socket, in `pg_hba.conf`, and with
    /// files in its folder, such as certificates.
    pub fn start_with(settings: &str, access: &str, files: &[(&str, &str)]) -> Self {
        Self::launch(None, "127.0.0.1", (settings, access, files))
    }

    /// Starts a server that listens on an address, of a network namespace if one is named.
    pub fn start_in(network: Option<&str>, address: &str, settings: &str, access: &str) -> Self {
        Self::launch(network, address, (settings, access, &[]))
    }

    fn launch(network: Option<&str>, address: &str, (settings, access, files): Extras<'_>) -> Self {
        let folder = new_folder();
        copy(&template(), &folder.join("data"));
        let port = free_port();
        let listen = format!(
            "listen_addresses = '{address}'\nport = {port}\nunix_socket_directories = '{}'\n",
            folder.display()
        );
        append(&folder.join("data/postgresql.conf"), &format!("{SETTINGS}{listen}{settings}\n"));
        write(&folder.join("data/pg_hba.conf"), &format!("local all all trust\n{access}\n"));
        for (name, text) in files {
            let path = folder.join("data").join(name);
            write(&path, text);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            own(&path);
        }
        let mut server = Self { folder, port, network: network.map(str::to_owned), holder: None };
        server.resume_service();
        server
    }

    /// Its port, on loopback or the address given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The address of a database, over the Unix socket, as the superuser.
    pub fn address(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgresql://{USER}@{folder}:{}/{database}", self.port)
    }

    /// The address of a database over TCP, without TLS.
    pub fn tcp_address(&self, user: &str, database: &str) -> String {
        format!("postgresql://{user}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Makes an empty database and returns its name.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        name
    }

    /// Runs statements as the superuser and returns what they say, a row on each line.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut command = Command::new(program("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database]);
        command.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string(), "-c", statements]);
        let output = command.output().expect("psql is installed by deploy/setup");
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The process of the server; its children end soon after it.
    pub fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        text.lines().next().unwrap().trim().parse().unwrap()
    }

    /// Kills the server and every process of it, as a power cut would.
    pub fn kill(&mut self) {
        let pids = self.pids();
        signal("-KILL", &pids);
        self.wait_for_the_end(&pids);
    }

    /// Stops the server: connections are cut, what is committed stays.
    pub fn stop(&mut self) {
        let pids = self.pids();
        signal("-INT", &[self.pid()]);
        self.wait_for_the_end(&pids);
    }

    /// Freezes the server and every process of it: it is there, and says nothing.
    pub fn pause(&self) {
        // The one that makes the others first, and then those that it had made by then.
        signal("-STOP", &[self.pid()]);
        signal("-STOP", &self.pids());
    }

    /// Ends a pause.
    pub fn unpause(&self) {
        signal("-CONT", &self.pids());
    }

    /// Starts the server again on its port after [`TestServer::kill`] or [`TestServer::stop`].
    pub fn resume_service(&mut self) {
        self.holder = None;
        // A killed server leaves its file behind, whose number may be another process by now.
        let _ = std::fs::remove_file(self.folder.join("data/postmaster.pid"));
        let mut server = vec![program("postgres").display().to_string(), "-D".to_owned()];
        server.push(self.folder.join("data").display().to_string());
        let mut words = as_user(&server);
        if let Some(network) = &self.network {
            words.splice(0..0, ["ip", "netns", "exec", network].map(str::to_owned));
        }
        // `$0` is the folder, the rest is the server.
        let script = "trap '' INT HUP TERM; \"$@\" >>\"$0/log\" 2>&1 & server=$!; \
                      while read -r word; do [ \"$word\" = leave ] && exec sleep 0; done; \
                      kill -CONT $server 2>/dev/null; kill -QUIT $server 2>/dev/null; wait $server; rm -rf \"$0\"";
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(&self.folder).args(&words);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut holder = command.spawn().unwrap();
        let pipe = holder.stdin.take().unwrap();
        self.holder = Some((holder, pipe));
        self.wait_for_the_start();
    }

    fn wait_for_the_start(&self) {
        let end = Instant::now() + START;
        loop {
            let mut ready = Command::new(program("pg_isready"));
            ready.args(["-q", "-p", &self.port.to_string()]).arg("-h").arg(&self.folder);
            if ready.status().expect("PostgreSQL is installed by deploy/setup").success() {
                return;
            }
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "PostgreSQL does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for_the_end(&mut self, pids: &[u32]) {
        let end = Instant::now() + START;
        let is_there = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
        };
        while pids.iter().any(is_there) {
            assert!(Instant::now() < end, "PostgreSQL does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        // The shell must not remove the folder: the server will be back.
        if let Some((mut holder, mut pipe)) = self.holder.take() {
            let _ = std::io::Write::write_all(&mut pipe, b"leave\n");
            drop(pipe);
            let _ = holder.wait();
        }
    }

    /// The server and its children.
    pub fn pids(&self) -> Vec<u32> {
        let main = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap_or_default();
        std::iter::once(main).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        match self.holder.take() {
            Some((mut holder, pipe)) => {
                drop(pipe);
                let _ = holder.wait();
            }
            None => drop(std::fs::remove_dir_all(&self.folder)),
        }
    }
}

fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    // Some may have ended by themselves meanwhile.
    let _ = Command::new("kill").arg(name).args(pids).stderr(Stdio::null()).status();
}

/// The newest version that is installed.
fn version() -> &'static str {
    let is_there = |version: &&str| Path::new("/usr/lib/postgresql").join(version).join("bin/postgres").exists();
    VERSIONS.into_iter().find(is_there).expect("PostgreSQL is installed by deploy/setup")
}

fn program(name: &str) -> PathBuf {
    Path::new("/usr/lib/postgresql").join(version()).join("bin").join(name)
}

/// The owner of a file that this process makes is who it is.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn as_user(words: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    if is_root() {
        all.extend(["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "--"].map(str::to_owned));
    }
    all.extend_from_slice(words);
    all
}

fn run(words: &[String]) {
    let output = Command::new(&words[0]).args(&words[1..]).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder of its own that the server's user owns.
fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("causeway-pg-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    // The socket is for whoever runs the test.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    own(&folder);
    folder
}

fn own(path: &Path) {
    if is_root() {
        run(&["chown".to_owned(), "-R".to_owned(), format!("{USER}:"), path.display().to_string()]);
    }
}

/// The cluster that servers are copies of. Whoever is first makes it; if two are, one of the two results stays.
fn template() -> PathBuf {
    let kept = std::env::temp_dir().join(format!(
        "causeway-pg-template-{}-{}",
        version(),
        if is_root() { "root" } else { "user" }
    ));
    if kept.join("PG_VERSION").exists() {
        return kept;
    }
    let folder = new_folder();
    let data = folder.join("data");
    let mut words = vec![program("initdb").display().to_string(), "-D".to_owned(), data.display().to_string()];
    words.extend(["-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-A", "trust"].map(str::to_owned));
    run(&as_user(&words));
    if std::fs::rename(&data, &kept).is_err() {
        assert!(kept.join("PG_VERSION").exists(), "{} cannot be made", kept.display());
    }
    let _ = std::fs::remove_dir_all(&folder);
    kept
}

fn copy(from: &Path, to: &Path) {
    run(&["cp".to_owned(), "-a".to_owned(), from.display().to_string(), to.display().to_string()]);
}

fn append(path: &Path, text: &str) {
    let before = std::fs::read_to_string(path).unwrap();
    write(path, &format!("{before}\n{text}"));
}

/// Writes a file that keeps its owner.
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
