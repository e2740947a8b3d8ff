//! What the derives accept, and that what they write behaves.

mod closures_and_captures;
mod every_reducer;
mod hundred_fields;
mod local_and_private;
mod names_like_methods;
mod option_fields;
mod raw_identifiers;
mod shadowed_names;
mod stored_updates;
