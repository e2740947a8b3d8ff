//! What `#[derive(State)]` reads from a field: its attributes and the shape of its type.

use proc_macro2::Ident;
use syn::meta::ParseNestedMeta;
use syn::{Error, Field, GenericArgument, Path, PathArguments, Result, Type};

use crate::versions::{FieldVersions, Words};

const REDUCERS: &str = "expected one of: replace (default), last, append, union, upsert = key_function, sum, min, max, with = function";

const STATE_WORDS: &str = "expected `ephemeral`, `reset = run`, or, with `since = N`, one of `renamed_from = \"old\"`, `default = value`, `reducer_changed`";

pub(crate) enum Reduce {
    Replace,
    Last,
    Append,
    Union,
    Upsert(Path),
    Sum,
    Min,
    Max,
    With(Path),
}

pub(crate) struct Attributes {
    pub(crate) reduce: Reduce,
    pub(crate) ephemeral: bool,
    pub(crate) reset_on_run: bool,
    pub(crate) versions: FieldVersions,
}

pub(crate) fn attributes(field: &Field) -> Result<Attributes> {
    let versions = FieldVersions::default();
    let mut found = Attributes { reduce: Reduce::Replace, ephemeral: false, reset_on_run: false, versions };
    let mut reduced = false;
    for attribute in &field.attrs {
        if attribute.path().is_ident("reduce") {
            attribute.parse_nested_meta(|meta| {
                if std::mem::replace(&mut reduced, true) {
                    return Err(meta.error("two reducers on one field; keep one"));
                }
                let word = meta.path.get_ident().map(Ident::to_string);
                found.reduce = match word.as_deref() {
                    Some("replace") => Reduce::Replace,
                    Some("last") => Reduce::Last,
                    Some("append") => Reduce::Append,
                    Some("union") => Reduce::Union,
                    Some("upsert") => Reduce::Upsert(function(&meta, "#[reduce(upsert = key_function)]")?),
                    Some("sum") => Reduce::Sum,
                    Some("min") => Reduce::Min,
                    Some("max") => Reduce::Max,
                    Some("with") => Reduce::With(function(&meta, "#[reduce(with = fold_function)]")?),
                    _ => return Err(meta.error(format!("unknown reducer; {REDUCERS}"))),
                };
                Ok(())
            })?;
        } else if attribute.path().is_ident("state") {
            let mut words = Words::default();
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("ephemeral") {
                    found.ephemeral = true;
                    return Ok(());
                }
                if meta.path.is_ident("reset") {
                    let word: Ident = meta.value()?.parse()?;
                    if word == "run" {
                        found.reset_on_run = true;
                        return Ok(());
                    }
                }
                if words.take(&meta)? {
                    return Ok(());
                }
                Err(meta.error(STATE_WORDS))
            })?;
            words.finish(&mut found.versions, attribute)?;
        }
    }
    Ok(found)
}

/// The path behind the equals sign.
fn function(meta: &ParseNestedMeta<'_>, example: &str) -> Result<Path> {
    let named = meta.value().and_then(|value| value.parse());
    named.map_err(|_| meta.error(format!("this reducer needs the name of a function: `{example}`")))
}

/// The inner type of an `Option`.
pub(crate) fn option_inner(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last()?;
    if segment.ident != "Option" {
        return None;
    }
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}

/// Refuses what comes back from a journal as something else. Only the names of the types are known here.
pub(crate) fn refuse_ambiguous_option(ty: &Type) -> Result<()> {
    let inner = option_inner(ty);
    if let Some(Type::Tuple(unit)) = inner
        && unit.elems.is_empty()
    {
        return Err(Error::new_spanned(
            ty,
            "a journal cannot tell `Some(())` from `None`, since MessagePack writes nil for both; use a `bool`",
        ));
    }
    if inner.and_then(option_inner).is_some() {
        return Err(Error::new_spanned(
            ty,
            "a journal cannot tell `Some(None)` from `None`, since MessagePack writes nil for both; \
             use an enum with a variant for each case",
        ));
    }
    match ty {
        Type::Path(path) => {
            for segment in &path.path.segments {
                let PathArguments::AngleBracketed(arguments) = &segment.arguments else { continue };
                for argument in &arguments.args {
                    if let GenericArgument::Type(inner) = argument {
                        refuse_ambiguous_option(inner)?;
                    }
                }
            }
            Ok(())
        }
        Type::Tuple(tuple) => tuple.elems.iter().try_for_each(refuse_ambiguous_option),
        Type::Array(array) => refuse_ambiguous_option(&array.elem),
        Type::Group(group) => refuse_ambiguous_option(&group.elem),
        Type::Paren(paren) => refuse_ambiguous_option(&paren.elem),
        _ => Ok(()),
    }
}
