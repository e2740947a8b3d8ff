//! Loading, searching and citing folders, good and bad.

#![expect(clippy::expect_used, reason = "a helper of a test fails the test")]

use statewright_nodes_context::corpus::{BadFiles, Corpus, MAX_FILE_BYTES};
use statewright_nodes_context::{Citation, ContextError, DocsIndex};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, content).expect("a file");
    }
    folder
}

fn code<T: std::fmt::Debug>(result: Result<T, ContextError>) -> (&'static str, String) {
    let error = result.expect_err("an error");
    (error.code(), error.to_string())
}

#[test]
fn files_are_found_below_in_order() {
    let folder = folder(&[
        ("b.md", b"two"),
        ("a/z.MD", b"one"),
        ("a/notes.txt", b"no"),
        (".git/c.md", b"hidden"),
        (".d.md", b"hidden"),
        ("empty.md", b""),
    ]);
    let corpus = Corpus::load(folder.path(), BadFiles::Refuse).expect("a corpus");
    let docs: Vec<_> = corpus.chunks.iter().map(|chunk| (&*chunk.doc, chunk.text.as_str())).collect();
    assert_eq!(docs, [("a/z.MD", "one"), ("b.md", "two")]);
    assert_eq!((corpus.report.documents, corpus.report.bytes), (3, 6));
}

#[test]
fn a_missing_folder_and_a_file_are_refused() {
    let folder = folder(&[("a.md", b"x")]);
    let (number, message) = code(DocsIndex::open(&folder.path().join("nowhere")));
    assert_eq!(number, "SW-N310");
    assert!(message.contains("does not exist"), "{message}");
    let (number, message) = code(DocsIndex::open(&folder.path().join("a.md")));
    assert_eq!(number, "SW-N310");
    assert!(message.contains("is not a folder"), "{message}");
}

#[test]
fn one_bad_file_does_not_hide_the_others() {
    let large = vec![b'a'; usize::try_from(MAX_FILE_BYTES).expect("fits") + 1];
    let folder = folder(&[("bad.md", b"ab\xff\xfe"), ("good.md", b"good text"), ("large.md", &large)]);
    DocsIndex::check(folder.path()).expect("the good one is enough");
    let index = DocsIndex::open(folder.path()).expect("an index");
    assert_eq!(index.search("text", 3).len(), 1);
    let skipped: Vec<_> = index.report().skipped.iter().map(|e| (e.code(), e.to_string())).collect();
    assert!(matches!(skipped.as_slice(), [("SW-N311", _), ("SW-N312", _)]), "{skipped:?}");
    assert!(skipped[0].1.starts_with("`bad.md` is not UTF-8: the byte at offset 2"), "{skipped:?}");
    assert_eq!(code(DocsIndex::open_strict(folder.path())).0, "SW-N311");
}

#[test]
fn a_folder_without_text_is_an_error_that_says_why() {
    for (files, reason) in [
        (&[][..], "(0 Markdown files, 0 skipped)"),
        (&[("a.txt", &b"text"[..])][..], "(0 Markdown files, 0 skipped)"),
        (&[("a.md", b"\n \n"), ("b.md", b"# Only a heading")], "(2 Markdown files, 0 skipped)"),
        (&[("a.md", b"\xff")], "1 skipped, the first because `a.md` is not UTF-8"),
    ] {
        let folder = folder(files);
        let (number, message) = code(DocsIndex::open(folder.path()));
        assert_eq!(number, "SW-N316");
        assert!(message.contains(reason), "{message}");
        assert_eq!(code(DocsIndex::check(folder.path())), (number, message), "known before it is opened");
    }
}

#[cfg(unix)]
#[test]
fn links_are_reported_and_not_followed() {
    let outside = folder(&[("secret.md", b"secret")]);
    let folder = folder(&[("a.md", b"text"), ("sub/b.md", b"text")]);
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, folder.path().join(name)).expect("a link");
    };
    link(folder.path(), "sub/loop");
    link(&outside.path().join("secret.md"), "secret.md");
    link(Path::new("nowhere"), "other.txt");
    let index = DocsIndex::open(folder.path()).expect("an index");
    assert_eq!(index.len(), 2);
    let skipped: Vec<_> = index.report().skipped.iter().map(|e| (e.code(), e.to_string())).collect();
    assert_eq!(skipped.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["SW-N315"; 2], "{skipped:?}");
    let citation = Citation::new("secret.md", 0, "secret", "");
    assert_eq!(code(citation.resolve(folder.path())).0, "SW-N318");
}

#[test]
fn citations_resolve_until_the_bytes_change() {
    let folder = folder(&[("guide/a.md", "# Höhe\n\nÄpfel resume.\n".as_bytes())]);
    let index = DocsIndex::open(folder.path()).expect("an index");
    let passages = index.search("resuming", 1);
    let [passage] = passages.as_slice() else { panic!("{passages:?}") };
    let citation = &passage.citation;
    assert_eq!(citation.to_string(), "guide/a.md:9-23");
    assert_eq!(citation.heading, "Höhe");
    assert_eq!(citation.resolve(folder.path()).expect("resolves"), passage.text);
    let stored = serde_json::to_string(citation).expect("JSON");
    assert_eq!(&serde_json::from_str::<Citation>(&stored).expect("a citation"), citation);

    let path = folder.path().join("guide/a.md");
    for (content, number) in [
        ("# Höhe\n\nBirnen resume.\n", "SW-N317"),
        ("# Hö", "SW-N317"),
        ("# Hohe\n\nÄpfel resume.\n", "SW-N317"),
        ("# Höhe\n\nÄpfel resume.\nand more", ""),
    ] {
        fs::write(&path, content).expect("a file");
        let found = citation.resolve(folder.path()).map_or_else(|error| error.code(), |_| "");
        assert_eq!(found, number, "{content}");
    }
    fs::remove_file(&path).expect("removed");
    assert_eq!(code(citation.resolve(folder.path())).0, "SW-N318");
    for doc in ["../a.md", "/etc/hostname", "guide/../guide/a.md", "a\0b.md", ""] {
        let citation = Citation::new(doc, 0, "x", "");
        assert!(matches!(code(citation.resolve(folder.path())).0, "SW-N318" | "SW-N314"), "{doc:?}");
    }
}

#[test]
fn each_code_has_a_page_with_its_message() {
    let name = |file: &str| file.to_owned();
    let recovery = || name("guides/recovery.md");
    let (start, end) = (120, 480);
    for error in [
        ContextError::NoFolder { folder: name("./dosc"), problem: "does not exist" },
        ContextError::NotUtf8 { file: name("guides/old.md"), offset: 1042 },
        ContextError::FileTooLarge { file: name("export.md"), bytes: 73_400_320 },
        ContextError::FolderTooLarge { limit: name("10000 Markdown files") },
        ContextError::Unreadable {
            file: name("private/notes.md"),
            problem: name("Permission denied (os error 13)"),
        },
        ContextError::SymbolicLink { file: name("shared") },
        ContextError::NothingToSearch { folder: name("./docs"), documents: 0, skipped: 0, first: name("") },
        ContextError::CitationChanged { doc: recovery(), start, end },
        ContextError::CitationLost {
            doc: recovery(),
            problem: name("is gone (No such file or directory (os error 2))"),
        },
    ] {
        let code = error.code();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let page = fs::read_to_string(folder.join(format!("{code}.md"))).expect(code);
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        assert!(page.contains(&format!("error[{code}]: {error}\n")), "{code}: {error}");
    }
}
