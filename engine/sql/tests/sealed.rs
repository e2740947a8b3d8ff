//! A sealed journal on SQLite, with a real cipher: nothing of a state is in the file, and nothing that was changed, or
//! sealed with another key, is read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use statewright_engine_runtime::{
    Checkpointer, Ctx, Durability, Graph, Interrupt, MemoryCheckpointer, NodeError, Outcome, RunError,
    SealError, Sealed, Sealer, Seq, State, StateGraph, StoreError, ThreadId,
};
use statewright_engine_sql::{SqliteOptions, SqliteStore};
use statewright_engine_testkit::conformance;

const NONCE_BYTES: usize = 24;

/// XChaCha20-Poly1305 with a nonce drawn for each entry, which stands before the sealed bytes.
struct Cipher(XChaCha20Poly1305);

impl Cipher {
    fn with_key(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&Key::from(key)))
    }
}

fn place(thread: &ThreadId, seq: Seq) -> Vec<u8> {
    [&seq.to_le_bytes()[..], thread.as_str().as_bytes()].concat()
}

impl Sealer for Cipher {
    fn seal(&self, thread: &ThreadId, seq: Seq, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        if thread.as_str() == "without a key" {
            return Err(SealError::new("no key is known for this thread"));
        }
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| SealError::new(error.to_string()))?;
        let payload = Payload { msg: bytes, aad: &place(thread, seq) };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| SealError::new("the cipher refuses so many bytes"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    fn open(&self, thread: &ThreadId, seq: Seq, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let wrong = || SealError::new("the key does not fit, or the bytes were changed");
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(wrong)?;
        let payload = Payload { msg: sealed, aad: &place(thread, seq) };
        self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| wrong())
    }
}

/// What must not be found on the disk.
const SECRETS: [&str; 4] =
    ["the input is secret", "the node is secret", "the question is secret", "the answer is secret"];

#[derive(State, Clone, Debug, Default, PartialEq, Eq)]
struct Diary {
    #[reduce(append)]
    pages: Vec<String>,
}

fn graph() -> Graph<Diary> {
    let mut g = StateGraph::<Diary>::new("diary");
    let write =
        g.func("write", |_: Ctx<Diary>| async { Ok::<_, NodeError>(Diary::update().pages(SECRETS[1])) });
    let ask = g.func("ask", |ctx: Ctx<Diary>| async move {
        let said: String = ctx.ask("more", SECRETS[2]).await;
        Ok::<_, NodeError>(Diary::update().pages(said))
    });
    g.start(write);
    g.edge(write, ask);
    g.end(ask);
    g.build().unwrap()
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::default()).await.unwrap()
}

/// A thread `t` that waits for its answer, in a database in a folder of its own.
async fn paused() -> (tempfile::TempDir, SqliteStore, Vec<Interrupt>) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store.db")).await;
    let sealed = Sealed::new(store.clone(), Cipher::with_key([7; 32]));
    let runner = graph().runner().checkpointer(sealed);
    let report = runner.start("t", Diary::update().pages(SECRETS[0])).await.unwrap();
    let Outcome::Paused(questions) = report.outcome else { panic!("it should wait") };
    (folder, store, questions)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_journal_is_a_checkpointer() {
    let make = || Arc::new(Sealed::new(MemoryCheckpointer::new(), Cipher::with_key([1; 32]))) as _;
    conformance::checkpointer(make).await;
    conformance::resumes_after_every_entry(make).await;
}

#[tokio::test]
async fn a_sealed_run_goes_on_in_another_process_and_leaves_no_plain_text_in_the_file() {
    let (folder, store, questions) = paused().await;
    store.close().await;
    let store = open(&folder.path().join("store.db")).await;
    let runner = graph().runner().checkpointer(Sealed::new(store.clone(), Cipher::with_key([7; 32])));
    let report = runner.answer("t", questions[0].id.clone(), &SECRETS[3]).await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished);
    assert_eq!(report.state.pages, [SECRETS[0], SECRETS[1], SECRETS[3]]);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for secret in SECRETS {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "`{secret}` stands in {}", path.display());
        }
    }
    // The search finds what is there: without the seal all of it is.
    let plain = open(&folder.path().join("plain.db")).await;
    graph().runner().checkpointer(plain.clone()).start("t", Diary::update().pages(SECRETS[0])).await.unwrap();
    plain.close().await;
    let bytes = std::fs::read(folder.path().join("plain.db")).unwrap();
    for secret in &SECRETS[..3] {
        assert!(bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_a_code() {
    let (_folder, store, questions) = paused().await;
    let runner = graph().runner().checkpointer(Sealed::new(store.clone(), Cipher::with_key([8; 32])));
    let answered = runner.answer("t", questions[0].id.clone(), &SECRETS[3]).await;
    for error in [runner.load("t").await.unwrap_err(), answered.unwrap_err()] {
        assert!(matches!(&error, RunError::Store(StoreError::Unusable { code: "SW-S438", .. })), "{error}");
    }
    // A store that is not sealed makes nothing of it either, and says so.
    let plain = graph().runner().checkpointer(store);
    assert!(plain.load("t").await.unwrap_err().code().starts_with("SW-S41"));
}

#[tokio::test]
async fn a_sealed_entry_that_was_changed_or_moved_does_not_open() {
    for (tampering, thread) in [
        ("UPDATE entries SET bytes = substr(bytes, 1, length(bytes) - 1) WHERE id & 4294967295 = 2", "t"),
        (
            "UPDATE entries SET bytes = CAST(substr(bytes, 1, 9) || zeroblob(8) || substr(bytes, 18) AS BLOB)
             WHERE id & 4294967295 = 2",
            "t",
        ),
        (
            "UPDATE entries SET bytes = CAST(substr(bytes, 1, 40) || zeroblob(8) || substr(bytes, 49) AS BLOB)
             WHERE id & 4294967295 = 2",
            "t",
        ),
        ("UPDATE entries SET bytes = x'' WHERE id & 4294967295 = 2", "t"),
        (
            "UPDATE entries SET bytes = (SELECT bytes FROM entries WHERE id & 4294967295 = 1)
             WHERE id & 4294967295 = 2",
            "t",
        ),
        ("UPDATE entries SET kind = 1 - kind WHERE id & 4294967295 = 2", "t"),
        ("UPDATE threads SET thread = 'u'", "u"),
    ] {
        let (folder, store, _) = paused().await;
        let mut raw = <sqlx::SqliteConnection as sqlx::Connection>::connect(
            folder.path().join("store.db").to_str().unwrap(),
        )
        .await
        .unwrap();
        sqlx::raw_sql(tampering).execute(&mut raw).await.unwrap();
        let sealed = Sealed::new(store, Cipher::with_key([7; 32]));
        let refused = Checkpointer::entries(&sealed, &thread.into(), &[(1, 100)]).await.unwrap_err();
        assert_eq!(refused.code(), "SW-S438", "{tampering}: {refused}");
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_sealed_is_not_stored() {
    let store = MemoryCheckpointer::new();
    let sealed = Sealed::new(store.clone(), Cipher::with_key([7; 32]));
    let runner = graph().runner().checkpointer(sealed).durability(Durability::Power);
    let error = runner.start("without a key", Diary::update().pages(SECRETS[0])).await.unwrap_err();
    assert_eq!(error.code(), "SW-S439", "{error}");
    assert_eq!(store.all(&"without a key".into()), []);
}

#[tokio::test]
async fn a_sealed_thread_leaves_out_what_it_holds_and_shows_no_hash_of_it() {
    let store = MemoryCheckpointer::new();
    let runner = graph().runner().checkpointer(Sealed::new(store.clone(), Cipher::with_key([3; 32])));
    let page = "sixteen bytes...".repeat(1024);
    let report = runner.start("t", Diary::update().pages(page.clone())).await.unwrap();
    // The answer is the page once more, and what is then written is the same list of one page that the input was.
    let report = runner.answer("t", report.interrupts[0].id.clone(), &page).await.unwrap();
    assert_eq!(report.state.pages, [page.as_str(), SECRETS[1], page.as_str()]);
    let entries = store.all(&ThreadId::new("t"));
    let stored: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
    assert!(stored < 2 * page.len() + 10_000, "{stored} bytes are stored");
    assert_eq!(runner.load("t").await.unwrap().state, report.state);
    let hash = Sha256::digest(rmp_serde::to_vec(&[&page]).unwrap());
    let shown = entries.iter().any(|entry| entry.bytes.windows(32).any(|part| part == hash.as_slice()));
    assert!(!shown, "the hash of a value stands in a sealed entry");
}
