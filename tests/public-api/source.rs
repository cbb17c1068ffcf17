//! The modules of a crate, read from its source files, and what the names in them mean.

use std::collections::BTreeMap;
use std::path::Path;

use syn::{Attribute, Item, ItemImpl, UseTree, Visibility};

/// Names from the root of the crate: `["omomi", "score"]`.
pub type Names = Vec<String>;

/// A module with its items. Items of tests are left out.
#[derive(Default)]
pub struct Module {
    /// Whether it and every module around it is public and not `#[doc(hidden)]`.
    pub reachable: bool,
    pub items: Vec<Item>,
    pub impls: Vec<ItemImpl>,
    pub uses: Vec<Use>,
}

/// One name that a `use` brings in. The name of a glob is `*`.
pub struct Use {
    pub public: bool,
    pub name: String,
    pub target: Names,
}

/// All modules of a crate, by their names.
pub struct Source {
    pub modules: BTreeMap<Names, Module>,
}

impl Source {
    /// Reads the crate `name` from `root`, its `lib.rs`, and from the files of its modules.
    pub fn read(name: &str, root: &Path) -> Self {
        let mut source = Self { modules: BTreeMap::new() };
        let file = parse(root);
        source.add(vec![name.to_owned()], true, file.items, root.parent().unwrap());
        source
    }

    /// Adds a module. The files of its child modules are in `folder`.
    fn add(&mut self, names: Names, reachable: bool, items: Vec<Item>, folder: &Path) {
        let mut module = Module { reachable, ..Module::default() };
        for item in items {
            if is_of_tests(attributes(&item)) {
                continue;
            }
            match item {
                Item::Mod(child) => {
                    let reachable = reachable && is_public(&child.vis) && !is_hidden(&child.attrs);
                    let name = child.ident.to_string();
                    let child_folder = folder.join(&name);
                    let child_names = joined(&names, &name);
                    match child.content {
                        Some((_, items)) => self.add(child_names, reachable, items, &child_folder),
                        None => {
                            let beside = folder.join(format!("{name}.rs"));
                            let path = if beside.is_file() { beside } else { child_folder.join("mod.rs") };
                            self.add(child_names, reachable, parse(&path).items, &child_folder);
                        }
                    }
                }
                Item::Use(item) => {
                    let public = is_public(&item.vis) && !is_hidden(&item.attrs);
                    let mut uses = Vec::new();
                    flatten(&item.tree, &mut Vec::new(), &mut uses);
                    module.uses.extend(uses.into_iter().map(|(name, target)| Use { public, name, target }));
                }
                Item::Impl(item) => module.impls.push(item),
                // The items that a `macro_rules!` of this module declares, without what it repeats.
                Item::Macro(item) if item.ident.is_some() => {
                    for item in items_of_macro(&item) {
                        match item {
                            Item::Impl(item) => module.impls.push(item),
                            item => module.items.push(item),
                        }
                    }
                }
                item => module.items.push(item),
            }
        }
        self.modules.insert(names, module);
    }

    /// Where an item is declared that `path` names in `module`: its module and its own name. Nothing if it is not of
    /// this crate.
    pub fn resolve(&self, module: &Names, path: &[String]) -> Option<(Names, String)> {
        let (last, front) = path.split_last()?;
        let home = self.resolve_module(module, front)?;
        self.item_named(&home, last, 0)
    }

    fn resolve_module(&self, module: &Names, path: &[String]) -> Option<Names> {
        let mut here = module.clone();
        for (index, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => here.truncate(1),
                "self" => {}
                "super" => _ = here.pop(),
                name if self.modules.contains_key(&joined(&here, name)) => here.push(name.to_owned()),
                name => {
                    let found = self.modules[&here].uses.iter().find(|used| used.name == name)?;
                    // A name without a meaning of its own in this crate is another crate: `use serde::de;`.
                    if index > 0 || found.target.first().is_some_and(|first| first == name) {
                        return None;
                    }
                    here = self.resolve_module(&here, &found.target)?;
                }
            }
        }
        Some(here)
    }

    fn item_named(&self, module: &Names, name: &str, depth: usize) -> Option<(Names, String)> {
        let found = self.modules.get(module)?;
        if found.items.iter().any(|item| name_of(item).is_some_and(|own| own == name)) {
            return Some((module.clone(), name.to_owned()));
        }
        // A chain of this length is a circle.
        if depth > 10 {
            return None;
        }
        let uses = found.uses.iter().filter(|used| used.name == name || used.name == "*");
        uses.filter_map(|used| {
            let (home, last) = match used.name.as_str() {
                "*" => (self.resolve_module(module, &used.target)?, name),
                _ => {
                    let (last, front) = used.target.split_last()?;
                    (self.resolve_module(module, front)?, last.as_str())
                }
            };
            // `use hex;` would look for itself.
            (home != *module || last != name).then(|| self.item_named(&home, last, depth + 1)).flatten()
        })
        .next()
    }

    /// The modules that a glob names, if it is a glob of this crate.
    pub fn glob(&self, module: &Names, target: &[String]) -> Option<Names> {
        self.resolve_module(module, target)
    }
}

/// The names with one more at the end.
pub fn joined(names: &[String], name: &str) -> Names {
    names.iter().cloned().chain([name.to_owned()]).collect()
}

pub fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Whether the attributes say `#[doc(hidden)]`.
pub fn is_hidden(attributes: &[Attribute]) -> bool {
    says(attributes, "doc", |argument| argument == "hidden")
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    says(attributes, "cfg", |argument| argument == "test" || argument.starts_with("all (test ,"))
}

fn says(attributes: &[Attribute], name: &str, wanted: impl Fn(&str) -> bool) -> bool {
    let mut lists = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
    lists.any(|attribute| attribute.meta.require_list().is_ok_and(|list| wanted(&list.tokens.to_string())))
}

pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name under which others use the item.
pub fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn parse(path: &Path) -> syn::File {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn flatten(tree: &UseTree, front: &mut Names, uses: &mut Vec<(String, Names)>) {
    match tree {
        UseTree::Path(path) => {
            front.push(path.ident.to_string());
            flatten(&path.tree, front, uses);
            front.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, front, uses)),
        UseTree::Glob(_) => uses.push(("*".to_owned(), front.clone())),
        UseTree::Name(name) if name.ident == "self" => uses.push((front.last().unwrap().clone(), front.clone())),
        UseTree::Name(name) => uses.push((name.ident.to_string(), joined(front, &name.ident.to_string()))),
        UseTree::Rename(name) => uses.push((name.rename.to_string(), joined(front, &name.ident.to_string()))),
    }
}

/// The items that the rules of a macro declare, without what they repeat (`$(...)*`). No items if a rule is of
/// another kind.
fn items_of_macro(item: &syn::ItemMacro) -> Vec<Item> {
    let groups = item.mac.tokens.clone().into_iter().filter_map(|tree| match tree {
        proc_macro2::TokenTree::Group(group) => Some(group.stream()),
        _ => None,
    });
    // Each rule is a matcher and a body.
    let bodies = groups.skip(1).step_by(2);
    bodies
        .filter_map(|body| syn::parse2::<syn::File>(without_repetitions(body)).ok())
        .flat_map(|file| file.items)
        .collect()
}

fn without_repetitions(tokens: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    use proc_macro2::{Delimiter, Group, TokenTree};
    let mut kept = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(tree) = tokens.next() {
        match tree {
            TokenTree::Punct(dollar) if dollar.as_char() == '$' => {
                let repeats = matches!(tokens.next(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
                // A separator, then how often.
                while repeats && !matches!(tokens.next(), Some(TokenTree::Punct(end)) if "*+?".contains(end.as_char()))
                {
                }
            }
            TokenTree::Group(group) => {
                kept.push(TokenTree::Group(Group::new(group.delimiter(), without_repetitions(group.stream()))));
            }
            tree => kept.push(tree),
        }
    }
    kept.into_iter().collect()
}
