//! The derives work where the prelude's names mean something else.

/// Names that a careless macro would trip over.
pub(crate) mod hostile {
    use statewright_engine_runtime::{Route, State};

    /// Not the standard one.
    #[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
    pub(crate) struct Write;

    /// Not the standard one.
    pub(crate) type Result<T> = std::result::Result<T, ()>;

    /// Not the standard one.
    #[derive(Debug)]
    pub(crate) enum Choice {
        /// Shadows `Option::Some`.
        Some,
        /// Shadows `Option::None`.
        None,
        /// Shadows `Result::Ok`.
        Ok,
    }
    pub(crate) use Choice::{None, Ok, Some};

    /// Not the standard one.
    pub(crate) trait Default {
        fn used() {}
    }

    /// Not the standard one.
    pub(crate) trait Clone {
        fn used() {}
    }

    impl Default for Write {}
    impl Clone for Write {}

    /// A state.
    #[derive(
        State, Debug, std::default::Default, std::clone::Clone, serde::Serialize, serde::Deserialize,
    )]
    pub(crate) struct Chat {
        /// A list.
        #[reduce(append)]
        pub(crate) messages: std::vec::Vec<std::string::String>,
        /// A type with a hostile name.
        pub(crate) write: Write,
        /// Perhaps something.
        pub(crate) answer: std::option::Option<std::string::String>,
    }

    /// A route.
    #[derive(Route)]
    pub(crate) enum Next {
        /// On.
        Some(std::string::String),
        /// Out.
        None,
    }

    /// Uses the names.
    pub(crate) fn used() -> Result<[Choice; 3]> {
        <Write as Default>::used();
        <Write as Clone>::used();
        std::result::Result::Ok([Some, None, Ok])
    }
}

#[test]
fn the_derives_name_everything_by_its_full_path() {
    use statewright_engine_runtime::{Route, State};
    let mut chat = hostile::Chat::default();
    chat.apply(hostile::Chat::update().messages("one").answer("two"));
    assert_eq!(chat.messages, ["one"]);
    assert!(hostile::used().is_ok());
    assert_eq!(hostile::Next::VARIANTS, ["Some", "None"]);
    assert!(hostile::Next::Some(String::new()).decide().is_some() && hostile::Next::None.decide().is_some());
}
