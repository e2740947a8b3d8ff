//! Prompts: placeholders, versions, folders that override, and layers of a system prompt.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use statewright_nodes_context::prompt::layers::Cut;
use statewright_nodes_context::prompt::{
    Layer, PROMPT_BYTES_MAX, Prompt, PromptError, Prompts, SystemPrompt,
};

fn parse(text: &str) -> Prompt {
    Prompt::parse("p", text).unwrap()
}

#[test]
fn placeholders_are_filled_and_values_stay_what_they_are() {
    let prompt = parse("{{a}} and {{ b_2 }}, {{a}}. \\{{a}} {x} }} {");
    assert_eq!(prompt.placeholders(), ["a", "b_2"]);
    let text = prompt.render(&[("b_2", "{{a}} \\{{"), ("a", "1")]).unwrap();
    assert_eq!(text, "1 and {{a}} \\{{, 1. {{a}} {x} }} {");
    assert_eq!(parse("").render(&[]).unwrap(), "");
}

#[test]
fn a_missing_value_and_an_unknown_one_are_errors_that_list_the_names() {
    let prompt = parse("{{question}} in {{language}}");
    let missing = prompt.render(&[("question", "?")]).unwrap_err();
    assert_eq!(
        (missing.code(), missing.to_string().as_str()),
        (
            "SW-N342",
            "the prompt `p` needs a value for `{{language}}`; the values that were given are question"
        )
    );
    let unknown = prompt.render(&[("question", "?"), ("langauge", "x")]).unwrap_err();
    assert_eq!(
        (unknown.code(), unknown.to_string().as_str()),
        ("SW-N343", "the prompt `p` has no `{{langauge}}`; its placeholders are question, language")
    );
    assert!(parse("").render(&[("a", "b")]).unwrap_err().to_string().ends_with("its placeholders are none"));
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let cases = [
        ("a\nb {{\n", 2, "begins no placeholder"),
        ("{{ }}", 1, "begins no placeholder"),
        ("\n\n{{a b}}", 3, "begins no placeholder"),
        ("{{1a}}", 1, "begins no placeholder"),
        ("{{{a}}}", 1, "begins no placeholder"),
        ("---\ndescription: x\n---\n\n{{a", 5, "begins no placeholder"),
        ("---\nname: p\n", 1, "has no end"),
        ("---\nname: p\nmodel: m\n---\n", 3, "the fields are name and description"),
        ("---\nname a\n---\n", 2, "is no field"),
        ("---\nname: a/b\n---\n", 2, "is no name"),
    ];
    for (text, line, words) in cases {
        let error = Prompt::parse("p", text).unwrap_err();
        assert_eq!(error.code(), "SW-N341", "{text}");
        let said = error.to_string();
        assert!(said.contains(&format!("in line {line}:")) && said.contains(words), "{text:?}: {said}");
    }
    let long = "x".repeat(PROMPT_BYTES_MAX + 1);
    assert_eq!(Prompt::parse("p", &long).unwrap_err().code(), "SW-N346");
}

#[test]
fn the_version_is_the_hash_of_the_text_and_of_nothing_else() {
    let plain = parse("Say {{a}}.\nTwice.");
    let hash: String =
        Sha256::digest("Say {{a}}.\nTwice.").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((plain.version().full(), plain.version().to_string()), (hash.as_str(), hash[..12].to_owned()));
    for same in [
        "Say {{a}}.\nTwice.\n\n",
        "\u{feff}Say {{a}}.\r\nTwice.\r\n",
        "---\nname: other\ndescription: \"What it is for\"\n---\nSay {{a}}.\nTwice.\n",
        "---\n---\nSay {{a}}.\nTwice.",
    ] {
        assert_eq!(parse(same).version(), plain.version(), "{same:?}");
    }
    let named = parse("---\nname: other\ndescription: \"What it is for\"\n---\nSay {{a}}.\nTwice.\n");
    assert_eq!((named.name(), named.description()), ("other", Some("What it is for")));
    assert_ne!(parse("Say {{b}}.\nTwice.").version(), plain.version());
}

fn brought() -> Prompts {
    Prompts::new([("greet", "Greet {{name}}."), ("part", "Part.")]).unwrap()
}

#[test]
fn a_folder_overrides_prompts_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    write("greet.md", b"Hail {{name}}!\n");
    write("README.txt", b"not a prompt");
    write(".hidden.md", b"{{");
    let prompts = brought().with_folder(folder.path()).unwrap();
    assert_eq!(prompts.get("greet").unwrap().render(&[("name", "Ada")]).unwrap(), "Hail Ada!");
    assert_eq!(prompts.get("part").unwrap().render(&[]).unwrap(), "Part.");

    let refused = |name: &str, text: &[u8]| -> PromptError {
        write(name, text);
        let error = brought().with_folder(folder.path()).unwrap_err();
        std::fs::remove_file(folder.path().join(name)).unwrap();
        error
    };
    let unknown = refused("gret.md", b"Hail.");
    assert_eq!(unknown.code(), "SW-N344");
    assert!(unknown.to_string().contains("`gret`; the prompts are greet, part"), "{unknown}");
    let other = refused("part.md", b"Part, {{name}}.");
    assert_eq!(other.code(), "SW-N345");
    assert!(other.to_string().contains("its placeholders none, but has name"), "{other}");
    assert_eq!(refused("part.md", b"\xff").code(), "SW-N340");
    assert_eq!(refused("part.md", b"{{").code(), "SW-N341");
    assert_eq!(refused("part.md", "x".repeat(PROMPT_BYTES_MAX + 1).as_bytes()).code(), "SW-N346");
    let nowhere = brought().with_folder(&folder.path().join("nowhere")).unwrap_err();
    assert_eq!(nowhere.code(), "SW-N340");
}

#[test]
fn later_layers_win_where_a_heading_is_the_same_and_follow_where_it_is_not() {
    let composed = SystemPrompt::new()
        .layer(Layer::Skills, "## Skills\n- letters")
        .unwrap()
        .layer(Layer::Memory, "Ada likes tea.")
        .unwrap()
        .layer(
            Layer::Workspace,
            "Our project.\n\n##  style \nBrief.\n### Detail\nOf workspace.\n\n# Tests\nRun them.",
        )
        .unwrap()
        .layer(Layer::Agent, "You review.\n\n## Style\nPolite.\n### Detail\nOf agent.\n\n## Tools\nFew.")
        .unwrap()
        .layer(Layer::Runtime, "Never lie.\n\n## Style\nPlain.")
        .unwrap()
        .compose();
    assert_eq!(
        composed.text,
        "Never lie.\n\n##  style \nBrief.\n### Detail\nOf workspace.\n\nYou review.\n\n## Tools\nFew.\n\nOur project.\n\n\
         # Tests\nRun them.\n\nAda likes tea.\n\n## Skills\n- letters"
    );
    assert_eq!(composed.cut, []);
    let again = SystemPrompt::new().layer(Layer::Agent, "You review.").unwrap().compose();
    assert_ne!(again.version, composed.version);
    assert_eq!(again.version, parse("You review.").version().clone());
}

#[test]
fn a_heading_within_code_or_a_quote_begins_no_section() {
    let agent = "## Style\nPolite.\n\n```sh\n# Style\n```\n\n> # Style\n\nEnd.";
    let composed = SystemPrompt::new().layer(Layer::Agent, agent).unwrap().compose();
    assert_eq!(composed.text, agent);
    let over = SystemPrompt::new()
        .layer(Layer::Agent, agent)
        .unwrap()
        .layer(Layer::Memory, "# Style\nBrief.")
        .unwrap();
    assert_eq!(over.compose().text, "# Style\nBrief.");
}

#[test]
fn what_others_wrote_is_cut_to_its_limit_and_what_the_author_wrote_is_refused() {
    let line = "A line of forty bytes, with its break. \n";
    let long = line.repeat(Layer::Workspace.bytes_max() / line.len() + 10);
    let composed = SystemPrompt::new().layer(Layer::Workspace, &long).unwrap().compose();
    let [Cut { layer: Layer::Workspace, bytes }] = composed.cut[..] else { panic!("{:?}", composed.cut) };
    assert!(composed.text.len() < Layer::Workspace.bytes_max() + 80);
    let kept = composed.text.matches("with its break").count() * line.len();
    assert_eq!(kept + bytes, long.len() + 1, "cut at the end of a line, whose break goes too");
    assert!(
        composed.text.ends_with(&format!("[The last {bytes} bytes of the workspace layer are left out.]"))
    );
    let one = "é".repeat(Layer::Memory.bytes_max());
    assert_eq!(
        SystemPrompt::new().layer(Layer::Memory, &one).unwrap().compose().cut.len(),
        1,
        "within a character"
    );
    for layer in [Layer::Runtime, Layer::Agent] {
        let error = SystemPrompt::new().layer(layer, &"x".repeat(layer.bytes_max() + 1)).unwrap_err();
        assert_eq!(error.code(), "SW-N346");
        assert!(error.to_string().contains(layer.name()), "{error}");
    }
}

#[test]
fn the_workspace_speaks_by_its_file_and_no_link_leads_out() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    let text = || Ok::<_, PromptError>(SystemPrompt::new().workspace(&inside)?.compose().text);
    assert_eq!(text().unwrap(), "", "there need not be one");
    std::fs::write(inside.join("AGENTS.md"), "Be brief.\n").unwrap();
    assert_eq!(text().unwrap(), "Be brief.");
    std::fs::write(inside.join("AGENTS.md"), b"\xff").unwrap();
    assert_eq!(text().unwrap_err().code(), "SW-N340");
    std::fs::write(inside.join("AGENTS.md"), "Lines.\n".repeat(200_000)).unwrap();
    assert!(text().unwrap().len() < Layer::Workspace.bytes_max() + 80);
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        std::fs::write(folder.path().join("secret"), "Secret.").unwrap();
        std::fs::write(inside.join("OTHER.md"), "Other.").unwrap();
        for (target, expected) in [("../secret", None), ("OTHER.md", Some("Other."))] {
            std::fs::remove_file(inside.join("AGENTS.md")).unwrap();
            symlink(target, inside.join("AGENTS.md")).unwrap();
            assert_eq!(text().ok().as_deref(), expected, "{target}");
        }
    }
}

proptest! {
    #[test]
    fn a_text_without_braces_is_itself(text in "[^{\\\\\r\u{feff}]{0,60}") {
        prop_assume!(!text.starts_with("---\n"));
        let prompt = Prompt::parse("p", &text).unwrap();
        prop_assert_eq!(prompt.render(&[]).unwrap(), text.trim_end_matches('\n'));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a{}\\\\ \n#`-]{0,40}", layer in "[a# \n`>-]{0,40}") {
        if let Ok(prompt) = Prompt::parse("p", &text) {
            let values: Vec<(&str, &str)> = prompt.placeholders().into_iter().map(|name| (name, "v")).collect();
            prop_assert!(prompt.render(&values).is_ok());
        }
        let both = SystemPrompt::new().layer(Layer::Agent, &layer).unwrap().layer(Layer::Workspace, &text).unwrap();
        prop_assert_eq!(both.compose().cut, []);
    }
}
