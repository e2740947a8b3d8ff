//! Finds out under which name the user's crate knows the engine, so that expansions work for users of the façade and
//! for the engine's own rooms alike.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

/// The path of the module with everything that expansions name.
pub(crate) fn private() -> TokenStream {
    for candidate in ["statewright", "statewright-engine-runtime", "statewright-engine-core"] {
        let name = match crate_name(candidate) {
            Ok(FoundCrate::Itself) => candidate.replace('-', "_"),
            Ok(FoundCrate::Name(name)) => name,
            Err(_) => continue,
        };
        let name = Ident::new(&name, Span::call_site());
        return quote!(::#name::__private);
    }
    quote!(::statewright::__private)
}
