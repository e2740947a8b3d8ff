//! Results of any size and any bytes come to a model as a text of a bounded size.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use statewright_nodes_ports::{BoxFuture, SideEffect, Tool, ToolError, ToolInput, ToolOutput, ToolSpec};
use statewright_nodes_tools::{
    Alone, Bounded, NoArguments, OUTPUT_BYTES_MAX, ToolCx, Toolbox, bounded, bounded_bytes, function,
};

use crate::common::call_tool;

const MIB: u64 = 1024 * 1024;

#[test]
fn a_result_of_200_mb_is_cut_where_it_lies() {
    let whole = 200 * 1024 * 1024;
    let tool =
        function(
            "huge",
            "",
            SideEffect::Read,
            move |_: NoArguments, _: ToolCx| async move { "x".repeat(whole) },
        );
    let tool = Bounded::new(tool.shared(), OUTPUT_BYTES_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut content = String::new();
    let counted = allocation_counter::measure(|| {
        let arguments = json!({});
        let input = ToolInput { arguments: &arguments, key: "k", host: &Alone };
        content = runtime.block_on(tool.call(input)).unwrap().content;
    });
    assert!(content.len() <= OUTPUT_BYTES_MAX, "{}", content.len());
    assert!(content.ends_with("of 209715200 bytes are shown; ask for less, or for a part]"));
    // The tool makes it once; nobody makes it again.
    assert!(counted.bytes_total < whole as u64 + MIB, "{counted:?}");
    assert!(content.capacity() < 2 * OUTPUT_BYTES_MAX, "{}", content.capacity());
}

#[test]
fn bytes_of_200_mb_are_cut_before_they_are_looked_at() {
    let whole = 200 * 1024 * 1024;
    let mut text = String::new();
    let counted = allocation_counter::measure(|| text = bounded_bytes(vec![0xff; whole], OUTPUT_BYTES_MAX));
    assert!(text.len() <= OUTPUT_BYTES_MAX, "{}", text.len());
    assert!(
        text.contains("[cut: ") && text.ends_with("this may be no text]"),
        "{}",
        &text[text.len() - 300..]
    );
    assert!(counted.bytes_total < whole as u64 + MIB, "{counted:?}");
}

#[test]
fn what_is_not_utf_8_is_shown_and_noted() {
    let text = bounded_bytes(b"gr\xfc\xdfe\xe2\x82".to_vec(), 1_000);
    assert_eq!(
        text,
        "gr\u{fffd}\u{fffd}e\u{fffd}\n[3 places are not UTF-8 and are shown as \u{fffd}: this may be no text]"
    );
    assert_eq!(bounded_bytes("grüße".into(), 1_000), "grüße");
    // A character that the cut goes through is no broken one.
    let long = "ü".repeat(1_000);
    for bytes_max in 400..410 {
        let text = bounded_bytes(long.clone().into_bytes(), bytes_max);
        assert!(!text.contains('\u{fffd}') && text.contains("of 2000 bytes"), "{text}");
    }
}

#[test]
fn a_cut_goes_between_lines_where_one_ends_nearby() {
    let text = bounded("a line\n".repeat(1_000), 1_000);
    let (shown, note) = text.rsplit_once('\n').unwrap();
    assert!(shown.ends_with("a line"), "{shown}");
    assert_eq!(note, "[cut: 839 of 7000 bytes are shown; ask for less, or for a part]");
    assert_eq!(bounded("short".to_owned(), 5), "short");
    assert!(bounded("ü".repeat(100), 21).len() <= 21);
}

#[test]
fn a_bounded_tool_is_otherwise_the_same() {
    struct Stepping(Arc<dyn Tool>);

    impl Tool for Stepping {
        fn spec(&self) -> &ToolSpec {
            self.0.spec()
        }

        fn side_effect(&self) -> SideEffect {
            SideEffect::Irreversible
        }

        fn has_own_steps(&self) -> bool {
            true
        }

        fn call<'a>(&'a self, input: ToolInput<'a>) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
            self.0.call(input)
        }
    }

    let plain = || function("t", "about", SideEffect::External, |_: NoArguments, _: ToolCx| async { "x" });
    for tool in [plain().shared(), plain().idempotent().shared(), Arc::new(Stepping(plain().shared()))] {
        let same = Bounded::new(Arc::clone(&tool), 100);
        assert_eq!(same.spec(), tool.spec());
        assert_eq!(
            (same.side_effect(), same.is_idempotent(), same.has_own_steps()),
            (tool.side_effect(), tool.is_idempotent(), tool.has_own_steps())
        );
        assert_eq!(call_tool(&same, &json!({})).unwrap().content, "x");
    }
    assert!(plain().idempotent().is_idempotent() && !plain().is_idempotent());
}

#[test]
fn errors_are_bounded_too_and_keep_their_code() {
    let tool = function("t", "", SideEffect::Write, |_: NoArguments, _: ToolCx| async {
        Err::<String, _>(ToolError { code: "SW-N356", message: "x".repeat(1_000_000) })
    });
    let toolbox = Toolbox::new([tool.shared()]).unwrap().bounded(1_000);
    let tool = Arc::clone(toolbox.find("t").unwrap());
    assert_eq!(tool.side_effect(), SideEffect::Write);
    let error = call_tool(&*tool, &json!({})).unwrap_err();
    assert_eq!(error.code, "SW-N356");
    assert!(error.message.len() <= 1_000, "{}", error.message.len());
}

proptest! {
    #[test]
    fn any_text_and_any_bytes_fit(
        text in "(.|\n){0,300}", bytes in prop::collection::vec(any::<u8>(), 0..400), bytes_max in 0_usize..500,
    ) {
        let cut = bounded(text.clone(), bytes_max);
        prop_assert!(cut.len() <= bytes_max);
        prop_assert!(text.len() > bytes_max || cut == text);
        let cut = bounded_bytes(bytes.clone(), bytes_max);
        prop_assert!(cut.len() <= bytes_max);
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(text.len() > bytes_max || cut == text);
        }
    }
}
