//! The public API of a crate, one line for each item.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::Span;
use syn::{
    Attribute, Expr, Fields, GenericArgument, Ident, ImplItem, Item, ItemConst, ItemFn, ItemImpl, Path, PathArguments,
    Signature, TraitItem, Type, Visibility, parse_quote,
};

use crate::source::{Names, Source, attributes, is_hidden, is_public, joined, name_of};

/// Where an item is declared: its module and its own name.
type Declared = (Names, String);

/// Placeholder for the path of an item until it is printed, because the printer accepts only a name.
const PLACEHOLDER: &str = "PLACEHOLDER";

/// All lines, sorted by path. Each begins with the kind of the item, as in Rust, and has the full path for its name.
pub fn lines(source: &Source) -> Vec<String> {
    let mut listing = Listing { source, paths: BTreeMap::new(), lines: BTreeSet::new() };
    listing.find_paths();
    for (declared, path) in &listing.paths.clone() {
        for item in &source.modules[&declared.0].items {
            if name_of(item).as_ref() == Some(&declared.1) {
                listing.item(path, item);
            }
        }
    }
    for (module, found) in &source.modules {
        found.impls.iter().for_each(|item| listing.implementation(module, item));
    }
    listing.lines.into_iter().map(|(_, line)| line).collect()
}

struct Listing<'a> {
    source: &'a Source,
    /// The path by which others reach an item.
    paths: BTreeMap<Declared, String>,
    /// Path and text.
    lines: BTreeSet<(String, String)>,
}

impl Listing<'_> {
    /// Finds the items of public modules, then those that a `pub use` takes from elsewhere. The deepest `pub use` gives
    /// the path; the others are aliases.
    fn find_paths(&mut self) {
        let source = self.source;
        let mut reachable: Vec<_> = source.modules.iter().filter(|(_, module)| module.reachable).collect();
        for (names, _) in &reachable {
            self.push(&names.join("::"), format!("pub mod {}", names.join("::")));
            self.find_items(names, names);
        }
        reachable.sort_by_key(|(names, _)| std::cmp::Reverse(names.len()));
        for (names, module) in reachable {
            for used in module.uses.iter().filter(|used| used.public) {
                if used.name == "*" {
                    match source.glob(names, &used.target) {
                        Some(home) if source.modules[&home].reachable => self.alias(names, "*", &home.join("::")),
                        Some(home) => self.find_items(&home, names),
                        None => self.alias(names, "*", &used.target.join("::")),
                    }
                    continue;
                }
                match source.resolve(names, &used.target) {
                    Some(declared) if self.paths.contains_key(&declared) => {
                        let path = self.paths[&declared].clone();
                        self.alias(names, &used.name, &path);
                    }
                    Some(declared) => _ = self.paths.insert(declared, joined(names, &used.name).join("::")),
                    None => self.alias(names, &used.name, &used.target.join("::")),
                }
            }
        }
    }

    /// The public items that `home` declares, reached as items of `module`.
    fn find_items(&mut self, home: &Names, module: &Names) {
        let items = self.source.modules[home].items.iter();
        for item in items.filter(|item| visibility(item).is_some_and(is_public) && !is_hidden(attributes(item))) {
            let name = name_of(item).unwrap();
            let path = joined(module, &name).join("::");
            self.paths.insert((home.clone(), name), path);
        }
    }

    fn alias(&mut self, module: &Names, name: &str, of: &str) {
        let path = joined(module, name).join("::");
        self.push(&path, format!("pub use {of} as {path}"));
    }

    fn push(&mut self, path: &str, line: String) {
        self.lines.insert((path.to_owned(), line));
    }

    fn item(&mut self, path: &str, item: &Item) {
        let own = attributes(item);
        let line = match item {
            Item::Const(item) => constant(&item.vis, &item.ty, Some(&item.expr)),
            Item::Fn(item) => function(&item.vis, &item.sig),
            item => printed(bare(item.clone())),
        };
        let mut line = line.replacen(PLACEHOLDER, path, 1);
        match item {
            Item::Struct(found) => line += &tuple(&found.fields),
            Item::Enum(found) => {
                for variant in found.variants.iter().filter(|variant| !is_hidden(&variant.attrs)) {
                    let path = format!("{path}::{}", variant.ident);
                    let number = variant.discriminant.as_ref().map(|(_, value)| format!(" = {}", value_text(value)));
                    let attributes = prefix(&variant.attrs);
                    let line = format!("{attributes}{path}{}{}", members(&variant.fields), number.unwrap_or_default());
                    self.push(&path, line);
                }
            }
            Item::Trait(found) => found.items.iter().for_each(|item| self.trait_item(path, item)),
            _ => {}
        }
        if let Item::Struct(syn::ItemStruct { fields: Fields::Named(fields), .. }) = item {
            let (public, other): (Vec<_>, Vec<_>) = fields.named.iter().partition(|field| is_public(&field.vis));
            if !other.is_empty() {
                line += " { private fields }";
            }
            for field in public.into_iter().filter(|field| !is_hidden(&field.attrs)) {
                let path = format!("{path}::{}", field.ident.as_ref().unwrap());
                self.push(&path, format!("pub {path}: {}", type_text(&field.ty)));
            }
        }
        let mut derived: Vec<String> = Vec::new();
        for attribute in own.iter().filter(|attribute| attribute.path().is_ident("derive")) {
            let separated = syn::punctuated::Punctuated::<Path, syn::Token![,]>::parse_terminated;
            let paths = attribute.parse_args_with(separated).unwrap();
            derived.extend(paths.iter().map(|path| path.segments.last().unwrap().ident.to_string()));
        }
        derived.sort();
        if !derived.is_empty() {
            line += &format!(" derives {}", derived.join(", "));
        }
        self.push(path, format!("{}{line}", prefix(own)));
    }

    fn trait_item(&mut self, path: &str, item: &TraitItem) {
        let (attributes, name, line) = match item {
            TraitItem::Fn(item) => {
                let provided = if item.default.is_some() { " { provided }" } else { "" };
                (&item.attrs, &item.sig.ident, function(&parse_quote!(), &item.sig) + provided)
            }
            TraitItem::Const(item) => (&item.attrs, &item.ident, constant(&parse_quote!(), &item.ty, None)),
            TraitItem::Type(item) => (&item.attrs, &item.ident, format!("type {PLACEHOLDER}")),
            _ => return,
        };
        if !is_hidden(attributes) {
            let path = format!("{path}::{name}");
            self.push(&path, line.replacen(PLACEHOLDER, &path, 1));
        }
    }

    fn implementation(&mut self, module: &Names, item: &ItemImpl) {
        if is_hidden(&item.attrs) {
            return;
        }
        let own = path_of(&item.self_ty).and_then(|path| self.source.resolve(module, &path));
        // A type of this crate that is not public has no public methods.
        let path = match &own {
            Some(declared) => match self.paths.get(declared) {
                Some(path) => Some(path.clone()),
                None => return,
            },
            None => None,
        };
        let Some((_, implemented, _)) = &item.trait_ else {
            path.iter().for_each(|path| item.items.iter().for_each(|item| self.method(path, item)));
            return;
        };
        let is_private = |path: &Names| {
            self.source.resolve(module, path).is_some_and(|declared| !self.paths.contains_key(&declared))
        };
        // A trait of this crate that is not public, or an argument that nobody else can name: `From<Private>`.
        if is_private(&names_of(implemented)) || arguments(implemented).any(|argument| is_private(&argument)) {
            return;
        }
        let implemented = self.source.resolve(module, &names_of(implemented));
        let mut header = item.clone();
        header.attrs.clear();
        header.items.retain(|item| matches!(item, ImplItem::Type(_)));
        if let (Some(_), Type::Path(own)) = (&path, &mut *header.self_ty) {
            let mut last = own.path.segments.pop().unwrap().into_value();
            last.ident = placeholder();
            own.path = Path::from(last);
        }
        let place =
            path.clone().or_else(|| self.paths.get(&implemented?).cloned()).unwrap_or_else(|| module[0].clone());
        let line = printed(Item::Impl(header)).replacen(PLACEHOLDER, &place, 1);
        self.push(&place, format!("{}{line}", prefix(&item.attrs)));
    }

    fn method(&mut self, path: &str, item: &ImplItem) {
        let (attributes, visibility, name, line) = match item {
            ImplItem::Fn(item) => (&item.attrs, &item.vis, &item.sig.ident, function(&item.vis, &item.sig)),
            ImplItem::Const(item) => {
                (&item.attrs, &item.vis, &item.ident, constant(&item.vis, &item.ty, Some(&item.expr)))
            }
            _ => return,
        };
        if is_public(visibility) && !is_hidden(attributes) {
            let path = format!("{path}::{name}");
            self.push(&path, format!("{}{}", prefix(attributes), line.replacen(PLACEHOLDER, &path, 1)));
        }
    }
}

/// The item with the placeholder for its name, and without what is listed separately or is not API.
fn bare(mut item: Item) -> Item {
    match &mut item {
        Item::Enum(found) => {
            (found.ident, found.attrs) = (placeholder(), Vec::new());
            found.variants.clear();
        }
        Item::Static(found) => (found.ident, found.attrs) = (placeholder(), Vec::new()),
        Item::Struct(found) => {
            (found.ident, found.attrs) = (placeholder(), Vec::new());
            (found.fields, found.semi_token) = (Fields::Unit, Some(parse_quote!(;)));
        }
        Item::Trait(found) => {
            (found.ident, found.attrs) = (placeholder(), Vec::new());
            found.items.clear();
        }
        Item::Type(found) => (found.ident, found.attrs) = (placeholder(), Vec::new()),
        Item::Union(found) => (found.ident, found.attrs) = (placeholder(), Vec::new()),
        _ => {}
    }
    item
}

/// The text of an item on one line.
fn printed(item: Item) -> String {
    let file = syn::File { shebang: None, attrs: Vec::new(), items: vec![item] };
    let text = prettyplease::unparse(&file);
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (from, to) in [("( ", "("), (", )", ")"), ("< ", "<"), (", >", ">")] {
        text = text.replace(from, to);
    }
    text.trim_end_matches(" {}").trim_end_matches([';', ',']).to_owned()
}

fn function(visibility: &Visibility, signature: &Signature) -> String {
    let mut sig = signature.clone();
    sig.ident = placeholder();
    // Names that only the body uses: `mut rows: Rows`.
    for input in &mut sig.inputs {
        if let syn::FnArg::Typed(input) = input
            && let syn::Pat::Ident(name) = &mut *input.pat
        {
            name.mutability = None;
        }
    }
    let (vis, block) = (visibility.clone(), parse_quote!({}));
    printed(Item::Fn(ItemFn { attrs: Vec::new(), vis, sig, block }))
}

/// A constant, with its value if that is a literal.
fn constant(vis: &Visibility, ty: &Type, value: Option<&Expr>) -> String {
    let value = value.map(value_text).filter(|value| value != "_");
    let item: ItemConst = parse_quote!(#vis const PLACEHOLDER: #ty = (););
    let line = printed(Item::Const(item)).trim_end_matches(" = ()").to_owned();
    value.map_or_else(|| line.clone(), |value| format!("{line} = {value}"))
}

/// A literal as it is written; `_` for anything else.
fn value_text(value: &Expr) -> String {
    let literal = match value {
        Expr::Unary(negative) => &*negative.expr,
        value => value,
    };
    match literal {
        Expr::Lit(_) => quote::ToTokens::to_token_stream(value).to_string().replace("- ", "-"),
        _ => "_".to_owned(),
    }
}

fn type_text(ty: &Type) -> String {
    let line = printed(parse_quote!(type PLACEHOLDER = #ty;));
    line.trim_start_matches("type PLACEHOLDER = ").to_owned()
}

/// The members of a tuple struct; a private one is `_`.
fn tuple(fields: &Fields) -> String {
    let Fields::Unnamed(fields) = fields else { return String::new() };
    let text = |field: &syn::Field| match is_public(&field.vis) {
        true => format!("pub {}", type_text(&field.ty)),
        false => "_".to_owned(),
    };
    format!("({})", fields.unnamed.iter().map(text).collect::<Vec<_>>().join(", "))
}

/// The members of a variant.
fn members(fields: &Fields) -> String {
    let list = |text: fn(&syn::Field) -> String| fields.iter().map(text).collect::<Vec<_>>().join(", ");
    match fields {
        Fields::Unit => String::new(),
        Fields::Unnamed(_) => format!("({})", list(|field| type_text(&field.ty))),
        Fields::Named(_) => {
            let text = |field: &syn::Field| format!("{}: {}", field.ident.as_ref().unwrap(), type_text(&field.ty));
            format!(" {{ {} }}", list(text))
        }
    }
}

/// The attributes that are part of the API, with a space behind each.
fn prefix(attributes: &[Attribute]) -> String {
    let kept = attributes
        .iter()
        .filter(|attribute| ["cfg", "non_exhaustive", "repr"].iter().any(|name| attribute.path().is_ident(name)));
    let text = |attribute: &Attribute| match &attribute.meta {
        syn::Meta::List(list) => format!("#[{}({})] ", attribute.path().require_ident().unwrap(), list.tokens),
        _ => format!("#[{}] ", attribute.path().require_ident().unwrap()),
    };
    kept.map(text).collect()
}

fn visibility(item: &Item) -> Option<&Visibility> {
    Some(match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Union(item) => &item.vis,
        _ => return None,
    })
}

fn placeholder() -> Ident {
    Ident::new(PLACEHOLDER, Span::call_site())
}

fn names_of(path: &Path) -> Names {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// The types among the arguments of a trait.
fn arguments(path: &Path) -> impl Iterator<Item = Names> {
    let last = path.segments.last().map(|segment| &segment.arguments);
    let arguments = match last {
        Some(PathArguments::AngleBracketed(list)) => list.args.iter().collect(),
        _ => Vec::new(),
    };
    arguments.into_iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => path_of(ty),
        _ => None,
    })
}

/// The path of a type, behind references.
fn path_of(ty: &Type) -> Option<Names> {
    match ty {
        Type::Path(ty) => Some(names_of(&ty.path)),
        Type::Reference(ty) => path_of(&ty.elem),
        _ => None,
    }
}
