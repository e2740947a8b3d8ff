//! What `#[derive(State)]` reads about versions: on the struct its number, the dropped fields and the migration function,
//! on a field what it was called, by what it was folded, and what older threads hold in it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parse;
use syn::{Attribute, Error, Expr, Lit, LitInt, LitStr, Path, Result, Token};

/// A change, and the version since which it is so.
struct Since<T> {
    what: T,
    since: u32,
    span: Span,
}

/// What the struct says.
pub(crate) struct Versions {
    version: u32,
    dropped: Vec<LitStr>,
    migrate: Option<Path>,
}

/// What one field says.
#[derive(Default)]
pub(crate) struct FieldVersions {
    renamed: Vec<Since<String>>,
    reducer_changed: Vec<Since<()>>,
    default: Vec<Since<Expr>>,
}

/// The words of one `#[state(…)]` about a version, before it is known whether they belong together.
#[derive(Default)]
pub(crate) struct Words {
    since: Option<LitInt>,
    renamed: Option<LitStr>,
    reducer_changed: Option<Span>,
    default: Option<Expr>,
}

impl Words {
    /// Takes a word of a field's attribute; false if it says nothing about versions.
    pub(crate) fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<bool> {
        if meta.path.is_ident("since") {
            self.since = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("renamed_from") {
            self.renamed = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("default") {
            self.default = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("reducer_changed") {
            self.reducer_changed = Some(meta.path.get_ident().map_or_else(Span::call_site, Ident::span));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Puts the words of one attribute together.
    pub(crate) fn finish(self, field: &mut FieldVersions, attribute: &Attribute) -> Result<()> {
        let Words { since, renamed, reducer_changed, default } = self;
        let said = usize::from(renamed.is_some())
            + usize::from(reducer_changed.is_some())
            + usize::from(default.is_some());
        let since = match (since, said) {
            (None, 0) => return Ok(()),
            (Some(since), 1) => since,
            _ => {
                return Err(Error::new_spanned(
                    attribute,
                    "say one thing, and since which version, as in `#[state(renamed_from = \"topic\", since = 2)]`",
                ));
            }
        };
        let (span, since) = (since.span(), since.base10_parse()?);
        if let Some(name) = renamed {
            field.renamed.push(Since { what: name.value(), since, span });
        }
        if reducer_changed.is_some() {
            field.reducer_changed.push(Since { what: (), since, span });
        }
        if let Some(value) = default {
            field.default.push(Since { what: value, since, span });
        }
        Ok(())
    }
}

impl Versions {
    /// Reads the attributes of the struct.
    pub(crate) fn of(attrs: &[Attribute]) -> Result<Self> {
        let mut found = Self { version: 1, dropped: Vec::new(), migrate: None };
        for attribute in attrs.iter().filter(|attribute| attribute.path().is_ident("state")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("version") {
                    found.version = meta.value()?.parse::<LitInt>()?.base10_parse()?;
                } else if meta.path.is_ident("migrate") {
                    found.migrate = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("dropped") {
                    let names;
                    syn::parenthesized!(names in meta.input);
                    found.dropped.extend(names.parse_terminated(<LitStr as Parse>::parse, Token![,])?);
                } else {
                    return Err(
                        meta.error("expected `version = N`, `dropped(\"field\", …)` or `migrate = function`")
                    );
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Refuses a field that is dropped and there: it would be emptied of all that was written in earlier versions.
    pub(crate) fn refuse_dropped(&self, ident: &Ident, label: &str) -> Result<()> {
        if self.dropped.iter().all(|name| name.value() != label) {
            return Ok(());
        }
        Err(Error::new_spanned(
            ident,
            "this field is listed as dropped; if a new one took its name, remove the old values by `migrate = function`",
        ))
    }

    /// A change belongs to a version after the first and up to the present one.
    fn check<T>(&self, change: &Since<T>) -> Result<()> {
        if (2..=self.version).contains(&change.since) {
            return Ok(());
        }
        let words = match self.version {
            0 | 1 => "a change needs a later version; raise `#[state(version = N)]` on the struct".to_owned(),
            version => format!(
                "this struct has the versions 1 to {version}, and a change comes with one after the first"
            ),
        };
        Err(Error::new(change.span, words))
    }

    /// What one field declares, as items of the list of changes, and what older threads hold in it.
    pub(crate) fn of_field(
        &self,
        krate: &TokenStream,
        ident: &Ident,
        label: &str,
        mut field: FieldVersions,
    ) -> Result<(Vec<TokenStream>, Option<TokenStream>)> {
        field.renamed.iter().try_for_each(|change| self.check(change))?;
        field.reducer_changed.iter().try_for_each(|change| self.check(change))?;
        field.default.iter().try_for_each(|change| self.check(change))?;
        field.renamed.sort_by_key(|change| change.since);
        let mut changes = Vec::new();
        for (place, Since { what: from, since, .. }) in field.renamed.iter().enumerate() {
            let to = field.renamed.get(place + 1).map_or(label, |next| next.what.as_str());
            changes.push(quote! {
                #krate::FieldChange { since: #since, kind: #krate::FieldChangeKind::Renamed { from: #from, to: #to } }
            });
        }
        for Since { since, .. } in &field.reducer_changed {
            changes.push(quote! {
                #krate::FieldChange { since: #since, kind: #krate::FieldChangeKind::ReducerChanged { name: #label } }
            });
        }
        let older = field.default.pop().map(|Since { what, since, .. }| {
            // A text may stand for a `String`; the type of a number would not be known behind a conversion.
            let is_text = matches!(&what, Expr::Lit(literal) if matches!(literal.lit, Lit::Str(_)));
            let value = if is_text { quote!(::core::convert::Into::into(#what)) } else { quote!(#what) };
            quote! { if stored < #since { self.#ident = #value; } }
        });
        Ok((changes, older))
    }

    /// The number of the version.
    pub(crate) fn number(&self) -> TokenStream {
        let version = self.version;
        quote!(#version)
    }

    /// What the implementation of `State` says about versions. Since which version a dropped field is gone does not matter:
    /// no later one writes it.
    pub(crate) fn members(
        &self,
        krate: &TokenStream,
        mut changes: Vec<TokenStream>,
        begin_older: &[TokenStream],
    ) -> TokenStream {
        let since = self.version;
        changes.extend(self.dropped.iter().map(|name| {
            quote! {
                #krate::FieldChange { since: #since, kind: #krate::FieldChangeKind::Dropped { name: #name } }
            }
        }));
        let migrate = self.migrate.as_ref().map(|function| {
            quote! {
                fn migrate(update: #krate::StoredUpdate, from: u32) -> #krate::Migrated { #function(update, from) }
            }
        });
        quote! {
            const CHANGES: &'static [#krate::FieldChange] = &[#(#changes),*];
            #migrate
            fn begin_older(&mut self, stored: u32) { let _ = stored; #(#begin_older)* }
        }
    }
}

impl FieldVersions {
    /// A field that grows is stored by what was added to it, so it begins empty.
    pub(crate) fn default_span(&self) -> Option<Span> {
        self.default.first().map(|default| default.span)
    }
}
