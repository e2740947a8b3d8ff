//! The expansion of `#[derive(State)]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DataStruct, DeriveInput, Error, Field, Fields, Result, Type};

use crate::field::{Attributes, Reduce, attributes, option_inner, refuse_ambiguous_option};
use crate::krate;
use crate::versions::Versions;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Struct(DataStruct { fields: Fields::Named(fields), .. }) = &input.data else {
        return Err(Error::new_spanned(name, "#[derive(State)] needs a struct with named fields"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a state has no generic parameters"));
    }
    let versions = Versions::of(&input.attrs)?;
    let krate = krate::private();
    let mut parts = Parts::default();
    let mut errors: Option<Error> = None;
    for (number, field) in fields.named.iter().enumerate() {
        if let Err(error) =
            attributes(field).and_then(|found| parts.add(&krate, &versions, number, field, found))
        {
            match &mut errors {
                Some(all) => all.combine(error),
                None => errors = Some(error),
            }
        }
    }
    match errors {
        Some(error) => Err(error),
        None => Ok(parts.finish(&krate, input, &versions)),
    }
}

#[derive(Default)]
struct Parts {
    channels: Vec<TokenStream>,
    fields: Vec<TokenStream>,
    setters: Vec<TokenStream>,
    apply: Vec<TokenStream>,
    to_update: Vec<TokenStream>,
    restore: Vec<TokenStream>,
    begin_superstep: Vec<TokenStream>,
    begin_run: Vec<TokenStream>,
    empty: Vec<TokenStream>,
    written: Vec<TokenStream>,
    retain: Vec<TokenStream>,
    overwritten: Vec<TokenStream>,
    changes: Vec<TokenStream>,
    begin_older: Vec<TokenStream>,
}

impl Parts {
    fn add(
        &mut self,
        krate: &TokenStream,
        versions: &Versions,
        number: usize,
        field: &Field,
        found: Attributes,
    ) -> Result<()> {
        let Some(ident) = &field.ident else { return Ok(()) };
        refuse_ambiguous_option(&field.ty)?;
        let label = ident.unraw().to_string();
        let Attributes { reduce, ephemeral, reset_on_run, versions: declared } = found;
        let grows = matches!(reduce, Reduce::Append | Reduce::Union | Reduce::Upsert(_));
        if let Some(span) = declared.default_span().filter(|_| grows) {
            return Err(Error::new(span, "a field that grows begins empty; leave the default away"));
        }
        versions.refuse_dropped(ident, &label)?;
        let (changes, older) = versions.of_field(krate, ident, &label, declared)?;
        self.changes.extend(changes);
        self.begin_older.extend(older);
        let reducer = reducer_name(&reduce);
        self.channels.push(quote! {
            #krate::Channel {
                name: #label,
                reducer: #krate::Reducer::#reducer,
                ephemeral: #ephemeral,
                reset_on_run: #reset_on_run,
            }
        });
        let reset = quote! { self.#ident = <Self as ::core::default::Default>::default().#ident; };
        if ephemeral {
            self.begin_superstep.push(reset.clone());
        }
        if reset_on_run {
            self.begin_run.push(reset);
        }
        match reduce {
            Reduce::Append => {
                let ty = &field.ty;
                let kind = quote_spanned!(ty.span()=> <#ty as #krate::Appendable>);
                self.collection(krate, number, ident, ty, &kind, &quote!(push_item), &quote!(append_all));
            }
            Reduce::Union => {
                let ty = &field.ty;
                let kind = quote_spanned!(ty.span()=> <#ty as #krate::Unionable>);
                self.collection(krate, number, ident, ty, &kind, &quote!(insert_item), &quote!(union_all));
            }
            Reduce::Upsert(key) => {
                let ty = &field.ty;
                let kind = quote_spanned!(ty.span()=> <#ty as #krate::Appendable>);
                self.collection(krate, number, ident, ty, &kind, &quote!(push_item), &quote!(append_all));
                self.apply.pop();
                self.apply.push(quote! {
                    if !#kind::has_no_items(&update.#ident) { #krate::upsert(&mut self.#ident, update.#ident, #key); }
                });
            }
            other => self.value(krate, number, ident, &field.ty, &other)?,
        }
        Ok(())
    }

    /// A channel that holds one value: the update has a `Write<T>`.
    fn value(
        &mut self,
        krate: &TokenStream,
        number: usize,
        ident: &Ident,
        ty: &Type,
        reduce: &Reduce,
    ) -> Result<()> {
        let keep = format!("{krate}::Write::is_keep");
        self.fields
            .push(quote! { #[serde(default, skip_serializing_if = #keep)] pub #ident: #krate::Write<#ty> });
        let inner = option_inner(ty);
        let fold = fold(krate, reduce, ident, ty, inner)?;
        self.apply.push(quote! { if let #krate::Write::Set(value) = update.#ident { #fold } });
        self.to_update.push(quote! { #ident: #krate::Write::Set(::core::clone::Clone::clone(&self.#ident)) });
        self.restore.push(quote! {
            if let (true, #krate::Write::Set(value)) = (only(#number), image.#ident) { self.#ident = value; }
        });
        self.empty.push(quote! { self.#ident.is_keep() });
        self.written.push(quote! { if !self.#ident.is_keep() { visit(#number); } });
        self.retain.push(quote! { if !keep(#number) { self.#ident = #krate::Write::Keep; } });
        self.value_setters(krate, ident, ty, inner, reduce);
        Ok(())
    }

    fn value_setters(
        &mut self,
        krate: &TokenStream,
        ident: &Ident,
        ty: &Type,
        inner: Option<&Type>,
        reduce: &Reduce,
    ) {
        let name = ident.unraw();
        let set = match reduce {
            Reduce::Sum => {
                let add = add(krate, &quote!(present), ty);
                quote! {
                match &mut self.#ident {
                    #krate::Write::Set(present) => { #add }
                    keep => *keep = #krate::Write::Set(value),
                }
                }
            }
            Reduce::Min | Reduce::Max => {
                let keeps = keeps(reduce, inner);
                quote! {
                    if let #krate::Write::Set(present) = &self.#ident {
                        let present_wins = #keeps;
                        if present_wins {
                            return self;
                        }
                    }
                    self.#ident = #krate::Write::Set(value);
                }
            }
            _ => quote! { self.#ident = #krate::Write::Set(value); },
        };
        let plain = matches!(reduce, Reduce::Replace | Reduce::Last);
        let (argument, convert) = match (inner, plain) {
            (Some(inner), true) => (
                quote!(impl ::core::convert::Into<#inner>),
                quote!(::core::option::Option::Some(value.into())),
            ),
            (Some(inner), false) => (quote!(#inner), quote!(::core::option::Option::Some(value))),
            (None, true) => (quote!(impl ::core::convert::Into<#ty>), quote!(value.into())),
            (None, false) => (quote!(#ty), quote!(value)),
        };
        let doc = format!("Writes `{name}`.");
        self.setters.push(quote! {
            #[doc = #doc]
            #[must_use]
            pub fn #ident(mut self, value: #argument) -> Self {
                let value: #ty = #convert;
                #set
                self
            }
        });
        if inner.is_some() {
            self.option_setters(krate, ident, ty, &set, plain);
        }
    }

    /// What an option has beside the setter of the value in it.
    fn option_setters(
        &mut self,
        krate: &TokenStream,
        ident: &Ident,
        ty: &Type,
        set: &TokenStream,
        plain: bool,
    ) {
        let name = ident.unraw();
        let maybe = format_ident!("maybe_{name}");
        let doc = format!("Writes an option into `{name}` as it is; `{name}` takes what is in it.");
        self.setters.push(quote! {
            #[doc = #doc]
            #[must_use]
            pub fn #maybe(mut self, value: #ty) -> Self {
                #set
                self
            }
        });
        if plain {
            let clear = format_ident!("clear_{name}");
            let doc = format!("Writes nothing into `{name}`: it is `None` afterwards.");
            self.setters.push(quote! {
                #[doc = #doc]
                #[must_use]
                pub fn #clear(mut self) -> Self {
                    self.#ident = #krate::Write::Set(::core::option::Option::None);
                    self
                }
            });
        }
    }

    /// A channel that grows: the update has a collection of the same type with what is added, and now and then one that
    /// takes the place of everything before.
    #[expect(clippy::too_many_arguments, reason = "the three growing reducers differ in these")]
    fn collection(
        &mut self,
        krate: &TokenStream,
        number: usize,
        ident: &Ident,
        ty: &Type,
        kind: &TokenStream,
        push: &TokenStream,
        fold: &TokenStream,
    ) {
        let name = ident.unraw();
        let overwrite = format_ident!("overwrite_{name}");
        let empty = format!("{kind}::has_no_items");
        self.fields.push(quote! { #[serde(default, skip_serializing_if = #empty)] pub #ident: #ty });
        self.overwrite(krate, number, ident, ty);
        self.apply.push(quote! { #kind::#fold(&mut self.#ident, update.#ident); });
        self.to_update.push(quote! { #ident: ::core::clone::Clone::clone(&self.#ident) });
        self.restore.push(quote! { if only(#number) { self.#ident = image.#ident; } });
        self.empty.push(quote! { #kind::has_no_items(&self.#ident) });
        self.written.push(quote! {
            if !#kind::has_no_items(&self.#ident) || !self.#overwrite.is_keep() { visit(#number); }
        });
        self.retain.push(quote! { if !keep(#number) { self.#ident = ::core::default::Default::default(); } });
        let (extend, item) = (format_ident!("extend_{name}"), quote!(#kind::Item));
        let (doc_one, doc_many) =
            (format!("Adds one item to `{name}`."), format!("Adds items to `{name}`, in order."));
        self.setters.push(quote! {
            #[doc = #doc_one]
            #[must_use]
            pub fn #ident(mut self, item: impl ::core::convert::Into<#item>) -> Self {
                #kind::#push(&mut self.#ident, item.into());
                self
            }

            #[doc = #doc_many]
            #[must_use]
            pub fn #extend(mut self, items: impl ::core::iter::IntoIterator<Item = #item>) -> Self {
                for item in items {
                    #kind::#push(&mut self.#ident, item);
                }
                self
            }
        });
    }

    /// What takes the place of everything that a growing channel holds. Stored under a name that no field can have.
    fn overwrite(&mut self, krate: &TokenStream, number: usize, ident: &Ident, ty: &Type) {
        let name = ident.unraw();
        let (field, stored) = (format_ident!("overwrite_{name}"), format!("{name}:overwrite"));
        let keep = format!("{krate}::Write::is_keep");
        self.fields.push(quote! {
            #[serde(rename = #stored, default, skip_serializing_if = #keep)] pub #field: #krate::Write<#ty>
        });
        self.apply.push(quote! { if let #krate::Write::Set(value) = update.#field { self.#ident = value; } });
        self.to_update.push(quote! { #field: #krate::Write::Keep });
        self.empty.push(quote! { self.#field.is_keep() });
        self.overwritten.push(quote! { if !self.#field.is_keep() { visit(#number); } });
        self.retain.push(quote! { if !keep(#number) { self.#field = #krate::Write::Keep; } });
        let doc = format!(
            "Replaces all that `{name}` holds; what this update adds to it besides comes behind. No other node may \
             write `{name}` in the same superstep."
        );
        self.setters.push(quote! {
            #[doc = #doc]
            #[must_use]
            pub fn #field(mut self, value: impl ::core::convert::Into<#ty>) -> Self {
                self.#field = #krate::Write::Set(value.into());
                self
            }
        });
    }

    fn finish(self, krate: &TokenStream, input: &DeriveInput, versions: &Versions) -> TokenStream {
        let Parts {
            channels,
            fields,
            setters,
            apply,
            to_update,
            restore,
            begin_superstep,
            begin_run,
            empty,
            written,
            retain,
            overwritten,
            changes,
            begin_older,
        } = self;
        let (version, members) = (versions.number(), versions.members(krate, changes, &begin_older));
        let (name, vis) = (&input.ident, &input.vis);
        let update = Ident::new(&format!("{}Update", name.unraw()), Span::call_site());
        let (label, command) = (name.unraw().to_string(), into_command(krate, name, &update));
        let serde_path = format!("{krate}::serde");
        let doc = format!(
            "A partial write to [`{label}`]: what a node returns. Fields that are not set stay as they are."
        );
        let empty = if empty.is_empty() { quote!(true) } else { quote!(#(#empty)&&*) };
        quote! {
            #[doc = #doc]
            #[derive(
                ::core::clone::Clone, ::core::fmt::Debug, ::core::default::Default,
                #krate::serde::Serialize, #krate::serde::Deserialize,
            )]
            #[serde(crate = #serde_path, deny_unknown_fields)]
            #[must_use = "an update does nothing until a node returns it"]
            #[allow(missing_docs)]
            #vis struct #update { #(#fields,)* }

            #[allow(dead_code)]
            impl #update { #(#setters)* }

            #[automatically_derived]
            impl #krate::Update for #update {
                fn is_empty(&self) -> bool { #empty }
                fn written(&self, visit: &mut dyn ::core::ops::FnMut(usize)) { let _ = &visit; #(#written)* }
                fn overwritten(&self, visit: &mut dyn ::core::ops::FnMut(usize)) { let _ = &visit; #(#overwritten)* }
                fn retain(&mut self, keep: &dyn ::core::ops::Fn(usize) -> bool) { let _ = keep; #(#retain)* }
            }

            #[automatically_derived]
            impl #krate::State for #name {
                type Update = #update;
                const SCHEMA: &'static #krate::StateSchema = &#krate::StateSchema {
                    name: #label,
                    version: #version,
                    channels: &[#(#channels),*],
                };
                #members
                fn apply(&mut self, update: #update) { let _ = &update; #(#apply)* }
                fn to_update(&self) -> #update { #update { #(#to_update,)* } }
                fn restore(&mut self, image: #update, only: &dyn ::core::ops::Fn(usize) -> bool) {
                    let _ = (&image, only);
                    #(#restore)*
                }
                fn begin_superstep(&mut self) { #(#begin_superstep)* }
                fn begin_run(&mut self) { #(#begin_run)* }
            }

            #command
        }
    }
}

/// An update alone is a command, too.
fn into_command(krate: &TokenStream, name: &Ident, update: &Ident) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl #krate::IntoCommand<#name> for #update {
            type Route = ();
            fn into_command(self) -> #krate::Command<#update, ()> { #krate::Command::new(self, ()) }
        }
    }
}

fn reducer_name(reduce: &Reduce) -> Ident {
    let name = match reduce {
        Reduce::Replace => "Replace",
        Reduce::Last => "Last",
        Reduce::Append => "Append",
        Reduce::Union => "Union",
        Reduce::Upsert(_) => "Upsert",
        Reduce::Sum => "Sum",
        Reduce::Min => "Min",
        Reduce::Max => "Max",
        Reduce::With(_) => "Custom",
    };
    Ident::new(name, Span::call_site())
}

/// The statement that folds `value` into the field.
fn fold(
    krate: &TokenStream,
    reduce: &Reduce,
    ident: &Ident,
    ty: &Type,
    inner: Option<&Type>,
) -> Result<TokenStream> {
    let span = ty.span();
    Ok(match (reduce, inner) {
        (Reduce::Sum, _) => {
            let add = add(krate, &quote!(sum), ty);
            quote_spanned!(span=> let sum = &mut self.#ident; #add)
        }
        (Reduce::With(function), _) => quote!(#function(&mut self.#ident, value);),
        (Reduce::Min, None) => {
            return Err(Error::new_spanned(
                ty,
                "`min` needs an Option, since the default of a number would always win",
            ));
        }
        (Reduce::Min | Reduce::Max, _) => {
            let keeps = keeps(reduce, inner);
            quote_spanned! {span=>
                let present = &self.#ident;
                let present_wins = #keeps;
                if !present_wins { self.#ident = value; }
            }
        }
        _ => quote!(self.#ident = value;),
    })
}

/// Whether `present` stays beside a new `value`, for `min` and `max`. Nothing loses against something.
fn keeps(reduce: &Reduce, inner: Option<&Type>) -> TokenStream {
    let stays = if matches!(reduce, Reduce::Min) { quote!(<=) } else { quote!(>=) };
    match inner {
        Some(_) => quote! {
            match (present, &value) {
                (Some(present), Some(value)) => present #stays value,
                (_, None) => true,
                (None, Some(_)) => false,
            }
        },
        None => quote!(*present #stays value),
    }
}

/// The statement that adds `value` to the place. Whole numbers of the language must not wrap around unseen.
fn add(krate: &TokenStream, place: &TokenStream, ty: &Type) -> TokenStream {
    const WHOLE: [&str; 12] =
        ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];
    let whole = matches!(ty, Type::Path(path) if WHOLE.iter().any(|name| path.path.is_ident(name)));
    if whole {
        quote! {
            *#place = ::core::option::Option::expect((*#place).checked_add(value), "the sum is too large for its field");
        }
    } else {
        quote! { #krate::Summable::sum_in(#place, value); }
    }
}
