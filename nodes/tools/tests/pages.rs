//! The pages of `docs/errors` show what the calculator really says.

use statewright_nodes_tools::calculator::evaluate;
use std::path::Path;

#[test]
fn each_code_has_a_page_with_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for (text, code) in [
        ("", "SW-N301"),
        ("150 × × 2", "SW-N302"),
        ("__import__('os')", "SW-N303"),
        ("12,34 + 1", "SW-N304"),
        ("1 ÷ (2 - 2)", "SW-N305"),
        ("2 ** 10 ** 10", "SW-N306"),
        ("(-8) ** (1/3)", "SW-N307"),
    ] {
        let error = evaluate(text).expect_err(text);
        assert_eq!(error.code(), code);
        let page = std::fs::read_to_string(folder.join(format!("{code}.md"))).expect(code);
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        assert!(page.contains(&format!("error[{code}]: {error}\n")), "{code}: {error}");
    }
}
