//! A PostgreSQL server of a test's own: in a temporary folder, reached by a socket in it, gone with the test.
//!
//! It is never the one of the system. Where no PostgreSQL is installed there is none, and with
//! `STATEWRIGHT_TEST_SERVICES` set that is a failure.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long the server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The superuser of the server.
const USER: &str = "statewright";

/// A running server. Dropping it, or the death of this process, ends it and removes its folder.
#[derive(Debug)]
pub struct PostgresServer {
    programs: PathBuf,
    folder: PathBuf,
    server: Mutex<Child>,
    /// Waits for the end of its input, which is the end of this process, and then tidies up.
    guard: Child,
}

impl PostgresServer {
    /// Starts a server. `None`, with the reason on standard error, where PostgreSQL is not installed.
    ///
    /// # Panics
    /// If there is none and `STATEWRIGHT_TEST_SERVICES` is set, and if one that is there does not start.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let missing =
                "PostgreSQL is not installed: `initdb` is neither in the PATH nor below /usr/lib/postgresql";
            assert!(
                std::env::var_os("STATEWRIGHT_TEST_SERVICES").is_none(),
                "STATEWRIGHT_TEST_SERVICES is set, and {missing}"
            );
            say(missing);
            return None;
        };
        let folder = new_folder();
        let made = unprivileged(&programs.join("initdb"))
            .arg("--pgdata")
            .arg(folder.join("data"))
            .args(["--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .stdout(Stdio::null())
            .status();
        assert!(succeeded(made), "initdb failed in {}", folder.display());
        let guard = guard(&folder);
        let server = Mutex::new(spawn(&programs, &folder));
        let server = Self { programs, folder, server, guard };
        server.wait_until_it_answers();
        Some(server)
    }

    /// The server that all tests of this process share.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<PostgresServer>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Makes an empty database and gives its address.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.client("createdb").arg(&name).status().map_or_else(
            |error| panic!("createdb cannot be started: {error}"),
            |status| assert!(status.success(), "the database {name} cannot be made"),
        );
        self.url(&name)
    }

    /// Ends the server and all its sessions by `kill -9`, as if the machine had lost its memory of them.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = children(server.id());
        let killed = server.kill().and_then(|()| server.wait());
        assert!(killed.is_ok(), "the server cannot be killed: {killed:?}");
        for session in sessions {
            // One that has noticed already is gone.
            let _ = Command::new("kill").args(["-9", &session.to_string()]).stderr(Stdio::null()).status();
        }
    }

    /// Starts it again where it was killed, and waits until it has recovered.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut started = spawn(&self.programs, &self.folder);
            // It ends at once while something of the last one is still there.
            let ended = loop {
                match started.try_wait() {
                    Ok(None) if self.answers() => break false,
                    Ok(None) => std::thread::yield_now(),
                    _ => break true,
                }
            };
            if !ended {
                *self.server.lock().unwrap_or_else(PoisonError::into_inner) = started;
                return;
            }
            assert!(Instant::now() < deadline, "the server does not start again: {}", self.log());
        }
    }

    fn url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}/{database}")
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("--host").arg(&self.folder).args(["--username", USER]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn answers(&self) -> bool {
        let mut asked = self.client("pg_isready");
        succeeded(asked.args(["--dbname", "postgres", "--timeout", "1"]).stderr(Stdio::null()).status())
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            let ended = self.server.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
            assert!(matches!(ended, Ok(None)), "the server ended at once: {}", self.log());
            assert!(Instant::now() < deadline, "the server does not answer: {}", self.log());
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.guard.stdin.take());
        // Before the guard, which waits until the server has gone.
        drop(server.wait());
        drop(self.guard.wait());
    }
}

fn succeeded(status: std::io::Result<std::process::ExitStatus>) -> bool {
    status.is_ok_and(|status| status.success())
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what they could not test")]
fn say(words: &str) {
    eprintln!("not tested: {words}");
}

/// The folder of the server's programs: of the newest version that is installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin"))))
        .collect();
    versions.sort();
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let newest = versions.pop().map(|(_, folder)| folder);
    newest.into_iter().chain(std::env::split_paths(&in_path)).find(|folder| folder.join("initdb").is_file())
}

/// A private folder of whoever runs the server, which refuses to be the superuser.
fn new_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name =
        format!("statewright-postgres-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    let made = unprivileged(Path::new("mkdir")).args(["-m", "700"]).arg(&folder).status();
    assert!(succeeded(made), "{} cannot be made", folder.display());
    folder
}

fn spawn(programs: &Path, folder: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log"));
    let Ok(log) = log else { panic!("there is no place for a log in {}", folder.display()) };
    let started = in_a_group_of_its_own(&mut unprivileged(&programs.join("postgres")))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "max_connections=200"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    started.unwrap_or_else(|error| panic!("the server cannot be started: {error}"))
}

/// When its input ends it ends the server, by the process that the server itself has written down.
fn guard(folder: &Path) -> Child {
    const GUARD: &str = r#"
        cat >/dev/null
        own=$1/data/postmaster.pid
        read -r server <"$own" && kill -QUIT "$server"
        for _ in $(seq 100); do
            [ -e "$own" ] && kill -0 "$server" || break
            sleep 0.05
        done
        rm -rf "$1""#;
    let started = in_a_group_of_its_own(Command::new("sh").args(["-c", GUARD, "guard"]).arg(folder))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.unwrap_or_else(|error| panic!("`sh` cannot be started: {error}"))
}

/// So that Ctrl-C does not reach it, which would leave nobody to tidy up.
fn in_a_group_of_its_own(command: &mut Command) -> &mut Command {
    std::os::unix::process::CommandExt::process_group(command, 0)
}

/// The superuser hands the program to the user `postgres`, which comes with the package.
fn unprivileged(program: &Path) -> Command {
    use std::os::unix::fs::MetadataExt;

    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let mut command = if is_root { Command::new("setpriv") } else { Command::new(program) };
    if is_root {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    }
    command.stdin(Stdio::null());
    command
}

/// The processes that a process has started, by the table of processes.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_child = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name in parentheses may hold anything; behind it stand the state and the parent.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1).and_then(|word| word.parse().ok()) == Some(parent)
    };
    processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}
