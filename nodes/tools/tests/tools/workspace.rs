//! Files of a workspace, and every way that we know out of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use statewright_nodes_ports::{SideEffect, Tool, ToolError};
use statewright_nodes_tools::OUTPUT_BYTES_MAX;
use statewright_nodes_tools::workspace::{ENTRIES_MAX, FILE_BYTES_MAX, Workspace};

use crate::common::call_tool;

/// A workspace in a folder that has a secret beside it.
struct Place {
    folder: tempfile::TempDir,
    workspace: Workspace,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inside")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("outside/secret.txt"), "secret").unwrap();
        let workspace = Workspace::open(&folder.path().join("inside")).unwrap();
        Self { folder, workspace }
    }

    fn inside(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join("inside").join(path)
    }

    fn outside(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join("outside").join(path)
    }

    fn read(&self, path: &str) -> Result<String, ToolError> {
        self.call(&self.workspace.read_file(), &json!({ "path": path }))
    }

    fn write(&self, path: &str, content: &str) -> Result<String, ToolError> {
        self.call(&self.workspace.write_file(), &json!({ "path": path, "content": content }))
    }

    fn list(&self, arguments: &Value) -> Result<String, ToolError> {
        self.call(&self.workspace.list_files(), arguments)
    }

    fn delete(&self, path: &str) -> Result<String, ToolError> {
        self.call(&self.workspace.delete_file(), &json!({ "path": path }))
    }

    fn call(&self, tool: &dyn Tool, arguments: &Value) -> Result<String, ToolError> {
        call_tool(tool, arguments).map(|output| output.content)
    }

    /// What each tool says to a path.
    fn each(&self, path: &str) -> [Result<String, ToolError>; 4] {
        [
            self.read(path),
            self.write(path, "overwritten"),
            self.list(&json!({ "path": path })),
            self.delete(path),
        ]
    }

    fn assert_outside_is_untouched(&self) {
        assert_eq!(fs::read_to_string(self.outside("secret.txt")).unwrap(), "secret");
        assert_eq!(fs::read_dir(self.outside("")).unwrap().count(), 1);
    }
}

#[test]
fn files_are_written_read_listed_and_deleted() {
    let place = Place::new();
    let effects = place.workspace.tools().map(|tool| tool.side_effect());
    assert_eq!(effects, [SideEffect::Read, SideEffect::Read, SideEffect::Write, SideEffect::Write]);
    assert_eq!(place.list(&json!({})).unwrap(), "There are no files.");
    assert_eq!(
        place.write("notes/deep/plan.md", "# Plan\n").unwrap(),
        "7 bytes written to notes/deep/plan.md"
    );
    assert_eq!(place.write("./a.txt", "ä").unwrap(), "2 bytes written to a.txt");
    assert_eq!(fs::read_to_string(place.inside("notes/deep/plan.md")).unwrap(), "# Plan\n");
    assert_eq!(place.read("notes//deep/./plan.md").unwrap(), "# Plan\n");
    assert_eq!(place.list(&json!({})).unwrap(), "a.txt (2 bytes)\nnotes/deep/plan.md (7 bytes)");
    assert_eq!(place.list(&json!({"path": "notes"})).unwrap(), "notes/deep/plan.md (7 bytes)");
    place.write("a.txt", "replaced").unwrap();
    assert_eq!(place.read("a.txt").unwrap(), "replaced");
    assert_eq!(place.delete("a.txt").unwrap(), "a.txt deleted");
    assert_eq!(place.read("a.txt").unwrap_err().code, "SW-N362");
    // Nothing is left of the files beside, by which others are replaced.
    assert_eq!(fs::read_dir(place.inside("")).unwrap().count(), 1);
}

#[test]
fn a_path_that_is_not_plainly_inside_is_refused_by_every_tool() {
    let place = Place::new();
    let absolute = place.outside("secret.txt").display().to_string();
    let long = "x/".repeat(1_000);
    for path in [
        "..",
        "../outside/secret.txt",
        "a/../../outside/secret.txt",
        "a/..",
        absolute.as_str(),
        "/",
        "/etc/passwd",
        "//x",
        "a\0b",
        "\0",
        "a\nb",
        "..\\outside\\secret.txt",
        "C:\\x",
        long.as_str(),
    ] {
        for said in place.each(path) {
            let error = said.unwrap_err();
            assert_eq!(error.code, "SW-N361", "{path:?}: {error}");
            assert!(error.message.len() < 400 && !error.message.contains('\0'), "{error}");
        }
    }
    for path in ["", ".", "a/", "./"] {
        for said in [place.read(path), place.write(path, "x"), place.delete(path)] {
            assert_eq!(said.unwrap_err().code, "SW-N362", "{path:?}");
        }
    }
    place.assert_outside_is_untouched();
}

#[test]
fn what_is_no_file_is_told_apart() {
    let place = Place::new();
    place.write("folder/file", "x").unwrap();
    for (said, words) in [
        (place.read("gone"), "there is no `gone`"),
        (place.delete("gone"), "there is no `gone`"),
        (place.list(&json!({"path": "gone"})), "there is no `gone`"),
        (place.read("folder"), "`folder` is a folder"),
        (place.write("folder", "x"), "`folder` is a folder"),
        (place.delete("folder"), "`folder` is a folder"),
        (place.read("folder/file/deeper"), "goes through a file"),
    ] {
        let error = said.unwrap_err();
        assert_eq!(error.code, "SW-N362", "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    let missing = Workspace::open(&place.inside("gone")).unwrap_err();
    assert_eq!(missing.code(), "SW-N360");
    assert!(missing.to_string().contains("cannot be opened"), "{missing}");
}

#[test]
fn a_file_is_read_by_lines_and_in_pieces_that_fit() {
    let place = Place::new();
    let read = |arguments: Value| place.call(&place.workspace.read_file(), &arguments).unwrap();
    place.write("f", "one\ntwo\nthree\nfour").unwrap();
    assert_eq!(
        read(json!({"path": "f", "first_line": 2, "lines": 2})),
        "two\nthree\n\n[there is more: go on with first_line 4]"
    );
    assert_eq!(read(json!({"path": "f", "first_line": 4})), "four");
    assert_eq!(read(json!({"path": "f", "first_line": 5})), "[there is no line 5: the file has 4 lines]");
    place.write("empty", "").unwrap();
    assert_eq!(read(json!({"path": "empty"})), "");

    let lines: String = (1..=50_000).map(|n| format!("line {n}\n")).collect();
    place.write("long", &lines).unwrap();
    let (mut first, mut whole) = (1, String::new());
    loop {
        let piece = read(json!({"path": "long", "first_line": first}));
        assert!(piece.len() <= OUTPUT_BYTES_MAX, "{}", piece.len());
        let Some((text, next)) = piece.split_once("\n[there is more: go on with first_line ") else {
            whole.push_str(&piece);
            break;
        };
        whole.push_str(text);
        first = next.trim_end_matches(']').parse().unwrap();
    }
    assert_eq!(whole, lines);

    place.write("one-line", &"x".repeat(1_000_000)).unwrap();
    let piece = read(json!({"path": "one-line"}));
    assert!(
        piece.len() <= OUTPUT_BYTES_MAX && piece.contains("of 1000000 bytes are shown"),
        "{}",
        piece.len()
    );
    fs::write(place.inside("latin"), b"gr\xfc\xdfe").unwrap();
    assert!(read(json!({"path": "latin"})).starts_with("gr\u{fffd}\u{fffd}e\n[2 places are not UTF-8"));
}

#[test]
fn a_file_that_is_too_large_is_neither_read_nor_written() {
    let place = Place::new();
    let file = fs::File::create(place.inside("huge")).unwrap();
    // A hole: it takes no room on the disk.
    file.set_len(FILE_BYTES_MAX + 1).unwrap();
    assert_eq!(place.read("huge").unwrap_err().code, "SW-N363");
    let error = place.write("new", &"x".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() + 1)).unwrap_err();
    assert_eq!(error.code, "SW-N363");
    assert!(!place.inside("new").exists());
}

#[test]
fn a_list_is_bounded_in_length_and_depth() {
    let place = Place::new();
    for n in 0..ENTRIES_MAX + 5 {
        fs::write(place.inside(&format!("f{n}")), "").unwrap();
    }
    let list = place.list(&json!({})).unwrap();
    assert_eq!(list.lines().count(), ENTRIES_MAX + 1);
    assert!(list.ends_with("list a folder]"), "{list}");

    let place = Place::new();
    fs::create_dir_all(place.inside(&"d/".repeat(40))).unwrap();
    let list = place.list(&json!({})).unwrap();
    assert!(list.contains("32 levels"), "{list}");
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_that_lead_out_are_not_followed() {
        let place = Place::new();
        symlink(place.outside("secret.txt"), place.inside("absolute")).unwrap();
        symlink("../outside/secret.txt", place.inside("relative")).unwrap();
        symlink("../outside", place.inside("folder")).unwrap();
        symlink("folder", place.inside("twice")).unwrap();
        for path in ["absolute", "relative", "folder/secret.txt", "twice/secret.txt"] {
            let error = place.read(path).unwrap_err();
            assert_eq!(error.code, "SW-N361", "{path}: {error}");
        }
        for path in ["folder/new.txt", "twice/secret.txt", "folder/deep/new.txt"] {
            assert!(place.write(path, "overwritten").is_err(), "{path}");
            assert!(place.delete(path).is_err(), "{path}");
            assert!(place.list(&json!({"path": "folder"})).is_err());
        }
        // A list does not look behind a link, and what is written over a link takes its place.
        let list = place.list(&json!({})).unwrap();
        assert!(!list.contains("secret"), "{list}");
        place.write("absolute", "mine").unwrap();
        assert_eq!(place.read("absolute").unwrap(), "mine");
        place.delete("relative").unwrap();
        assert!(!place.inside("relative").is_symlink());
        place.assert_outside_is_untouched();
    }

    #[test]
    fn links_within_the_workspace_work_and_circles_end() {
        let place = Place::new();
        place.write("real/file", "x").unwrap();
        symlink("real", place.inside("link")).unwrap();
        symlink("..", place.inside("real/up")).unwrap();
        symlink("loop", place.inside("loop")).unwrap();
        assert_eq!(place.read("link/file").unwrap(), "x");
        assert!(place.read("loop").is_err());
        assert!(place.list(&json!({})).unwrap().contains("real/file (1 bytes)"));
    }

    #[test]
    fn a_pipe_holds_nobody_up() {
        let place = Place::new();
        let made = std::process::Command::new("mkfifo").arg(place.inside("pipe")).status().unwrap();
        assert!(made.success());
        let error = place.read("pipe").unwrap_err();
        assert_eq!(error.code, "SW-N362", "{error}");
        assert!(place.list(&json!({})).unwrap().contains("pipe (no regular file)"));
    }

    /// Somebody swaps a folder for a link that leads out, over and over, while the tools use it.
    #[test]
    fn a_race_for_a_folder_does_not_lead_out() {
        let place = Place::new();
        fs::create_dir(place.inside("folder")).unwrap();
        fs::write(place.inside("folder/secret.txt"), "mine").unwrap();
        symlink(place.outside(""), place.inside("link")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let swapper = std::thread::spawn({
            let (stop, root) = (Arc::clone(&stop), place.inside(""));
            move || swap(&stop, &root)
        });
        let mut said = [0_u32; 2];
        for n in 0..300 {
            match place.read("folder/secret.txt") {
                Ok(text) => assert_eq!(text, "mine"),
                Err(_) => said[0] += 1,
            }
            said[1] += u32::from(place.write(&format!("folder/new-{n}"), "x").is_ok());
            drop(place.delete("folder/secret.txt.gone"));
            drop(
                place
                    .list(&json!({"path": "folder"}))
                    .map(|list| assert!(!list.contains("(6 bytes)"), "{list}")),
            );
        }
        stop.store(true, Ordering::SeqCst);
        swapper.join().unwrap();
        assert!(said[1] > 0, "the race was lost every time: {said:?}");
        place.assert_outside_is_untouched();
    }

    /// Puts the link in the place of the folder and back. A write that comes in between may make the folder anew.
    fn swap(stop: &AtomicBool, root: &Path) {
        let (folder, link, aside) = (root.join("folder"), root.join("link"), root.join("aside"));
        while !stop.load(Ordering::SeqCst) {
            fs::rename(&folder, &aside).unwrap();
            if fs::rename(&link, &folder).is_ok() {
                fs::rename(&folder, &link).unwrap();
            }
            while fs::rename(&aside, &folder).is_err() {
                drop(fs::remove_dir_all(&folder));
            }
        }
    }
}
