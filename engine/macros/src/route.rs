//! The expansion of `#[derive(Route)]`.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Fields, Result, Variant};

use crate::krate;

const SHAPES: &str = "a route variant carries nothing (`Done`), one payload (`Search(Query)`), or a list that fans out (`#[each] Review(Vec<Doc>)`)";

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(name, "#[derive(Route)] needs an enum: one variant for each way out"));
    };
    if data.variants.is_empty() {
        return Err(Error::new_spanned(name, "a route needs at least one variant"));
    }
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a route has no generic parameters"));
    }
    let krate = krate::private();
    let mut parts = Parts::default();
    for (number, variant) in data.variants.iter().enumerate() {
        parts.add(&krate, name, number as u16, variant)?;
    }
    let Parts { fields, arms, wirings, labels } = parts;
    let (vis, edges) = (&input.vis, format_ident!("{name}Edges"));
    let doc =
        format!("Where each variant of [`{name}`] leads. A variant that is not wired does not compile.");
    Ok(quote! {
        #[doc = #doc]
        #vis struct #edges<S> { #(#fields,)* }

        impl #krate::Route for #name {
            type Edges<S: #krate::State> = #edges<S>;
            const VARIANTS: &'static [&'static str] = &[#(#labels),*];

            fn decide(self) -> ::core::option::Option<#krate::Decision> {
                ::core::option::Option::Some(match self { #(#arms,)* })
            }

            fn wiring<S: #krate::State>(edges: #edges<S>) -> ::std::vec::Vec<#krate::VariantWiring> {
                ::std::vec![#(#wirings),*]
            }
        }

        impl<S: #krate::State> #krate::IntoCommand<S> for #name {
            type Route = #name;
            fn into_command(self) -> #krate::Command<S::Update, #name> {
                #krate::Command::new(::core::default::Default::default(), self)
            }
        }
    })
}

#[derive(Default)]
struct Parts {
    fields: Vec<TokenStream>,
    arms: Vec<TokenStream>,
    wirings: Vec<TokenStream>,
    labels: Vec<String>,
}

impl Parts {
    fn add(&mut self, krate: &TokenStream, name: &Ident, number: u16, variant: &Variant) -> Result<()> {
        let ident = &variant.ident;
        let label = ident.unraw().to_string();
        let field = Ident::new_raw(&snake(&label), ident.span());
        let field = if syn::parse_str::<Ident>(&snake(&label)).is_ok() {
            Ident::new(&snake(&label), ident.span())
        } else {
            field
        };
        let each = variant.attrs.iter().any(|attribute| attribute.path().is_ident("each"));
        let doc = format!("Where [`{name}::{label}`] leads.");
        match (&variant.fields, each) {
            (Fields::Unit, false) => {
                self.fields.push(quote! { #[doc = #doc] pub #field: #krate::To<S> });
                self.arms.push(quote! {
                    #name::#ident => #krate::Decision { variant: #number, payloads: #krate::Payloads::None }
                });
            }
            (Fields::Unnamed(fields), _) if fields.unnamed.len() == 1 => {
                let ty = &fields.unnamed[0].ty;
                if each {
                    self.fields.push(quote! {
                        #[doc = #doc] pub #field: #krate::To<S, <#ty as #krate::Many>::Item>
                    });
                    self.arms.push(quote! {
                        #name::#ident(items) => #krate::Decision {
                            variant: #number,
                            payloads: #krate::Payloads::Each(
                                #krate::Many::into_payloads(items)
                            ),
                        }
                    });
                } else {
                    self.fields.push(quote! { #[doc = #doc] pub #field: #krate::To<S, #ty> });
                    self.arms.push(quote! {
                        #name::#ident(value) => #krate::Decision {
                            variant: #number,
                            payloads: #krate::Payloads::One(#krate::Payload::live(value)),
                        }
                    });
                }
            }
            _ => return Err(Error::new_spanned(variant, SHAPES)),
        }
        self.wirings.push(quote! {
            #krate::VariantWiring { label: #label, each: #each, wires: edges.#field.into_wires() }
        });
        self.labels.push(label);
        Ok(())
    }
}

/// `TwoWords` to `two_words`, `HTTPError` to `http_error`.
fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (place, c) in chars.iter().enumerate() {
        if c.is_uppercase() {
            let after_lower = place > 0 && !chars[place - 1].is_uppercase();
            let before_lower = place > 0 && chars.get(place + 1).is_some_and(|next| next.is_lowercase());
            if (after_lower || before_lower) && !out.ends_with('_') {
                out.push('_');
            }
            out.extend(c.to_lowercase());
        } else {
            out.push(*c);
        }
    }
    out
}
