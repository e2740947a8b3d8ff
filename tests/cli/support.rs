//! A folder for data, the program in it, and a model server beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use statewright::nodes::models::Offline;
use statewright::nodes::models::wire::{Behaviour, WireOptions, WireServer, WordCounter};

/// A home, empty at first, that is gone with the test.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    env: HashMap<&'static str, String>,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: HashMap::new() }
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.insert(name, value.into());
        self
    }

    pub(crate) fn served_by(self, server: &Server) -> Self {
        self.env("OPENAI_BASE_URL", server.url.clone()).env("STATEWRIGHT_RETRY_BASE_MS", "1")
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("data/statewright.db")
    }

    /// The program in this home, in an empty working folder, without anybody's environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let work = self.path().join("work");
        std::fs::create_dir_all(&work).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_statewright"));
        command.args(args).current_dir(work).env("STATEWRIGHT_HOME", self.path().join("data"));
        command.env("RUST_BACKTRACE", "0");
        for name in [
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "OPENAI_MODEL",
            "TAVILY_API_KEY",
            "BRAVE_API_KEY",
            "SEARXNG_URL",
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            "ANTHROPIC_MODEL",
            "STATEWRIGHT_ALLOWED_MODELS",
            "STATEWRIGHT_CA_FILE",
            "STATEWRIGHT_PROXY",
            "STATEWRIGHT_DATABASE",
            "STATEWRIGHT_FAIL_AT",
            "STATEWRIGHT_LOG_CONTENT",
            "RUST_LOG",
        ] {
            command.env_remove(name);
        }
        command.envs(&self.env).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        Done::from(self.command(args).output().unwrap())
    }

    /// Runs with `--json`, demands the exit code, and gives the object.
    pub(crate) fn json(&self, code: i32, args: &[&str]) -> Value {
        let done = self.run(&[args, &["--json"]].concat());
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }

    /// The words of an error that ends with exit code 1, after its code was checked.
    pub(crate) fn error(&self, code: &str, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(1), "{args:?}: {done:?}");
        let start = format!("error[{code}]: ");
        let at = done.stderr.find(&start).unwrap_or_else(|| panic!("{args:?}: no {code} in {done:?}"));
        let words = done.stderr[at..].to_owned();
        assert!(words.contains(&format!("statewright explain {code}")), "no page: {words}");
        words
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A file in the working folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join("work").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

pub(crate) fn end(child: Child) -> Done {
    child.wait_with_output().unwrap().into()
}

/// Asks until it is so. There is nothing to wait on in another process but what it leaves behind.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::yield_now();
    }
}

/// A model server with a runtime of its own.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) wire: WireServer,
    _runtime: tokio::runtime::Runtime,
}

/// Plays these words once, then answers well.
pub(crate) fn server(script: &str) -> Server {
    let script: Vec<Behaviour> =
        script.split(',').filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect();
    serve(WireOptions::scripted(script))
}

/// Begins every answer and never ends one.
pub(crate) fn stalling_server() -> Server {
    serve(WireOptions { afterwards: Behaviour::Stall, ..WireOptions::default() })
}

/// Answers the first call with one text and all later ones with another.
pub(crate) fn texts(first: &str, then: &str) -> Server {
    let text = |text: &str| Behaviour::Text(text.to_owned());
    serve(WireOptions { afterwards: text(then), piece_bytes: 4096, ..WireOptions::scripted([text(first)]) })
}

/// A server of the offline model, if the options name no other.
pub(crate) fn serve(options: WireOptions) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let offline = || std::sync::Arc::new(Offline::new(std::sync::Arc::new(WordCounter))) as _;
    let options = WireOptions { model: Some(options.model.clone().unwrap_or_else(offline)), ..options };
    let wire = runtime.block_on(WireServer::start(options)).unwrap();
    Server { url: wire.base_url(), wire, _runtime: runtime }
}

/// The question of most tests: computed, so that nothing is searched and no vocabulary is loaded.
pub(crate) const SUM: &str = "What is 150 × 223.48?";
