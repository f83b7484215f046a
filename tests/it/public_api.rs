//! What the library shows its users is in `public_api.txt`, so that it does not grow unnoticed.
//! After a change that is meant: `UPDATE=1 cargo test --test it public_api`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, Type, UseTree, Visibility, parse_file};

use crate::tidy::files::{File, ROOT, sources};
use crate::tidy::modules::{Modules, Target};
use crate::tidy::syntax::{attributes_of, is_test_only, plain};

/// An item, by its module and its name there.
type Key = (Vec<String>, String);

#[test]
fn the_public_api_is_what_the_list_says() {
    let path = Path::new(ROOT).join("tests/it/public_api.txt");
    let found = public_api(&sources());
    assert!(found.len() > 100, "the library was not found");
    if is_update() {
        fs::write(&path, found.join("\n") + "\n").unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    let listed: BTreeSet<_> = text.lines().collect();
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let added: Vec<_> = found.difference(&listed).map(|line| format!("  + {line}")).collect();
    let removed: Vec<_> = listed.difference(&found).map(|line| format!("  - {line}")).collect();
    let changes = [added, removed].concat().join("\n");
    assert!(changes.is_empty(), "\nthe public API has changed:\n{changes}\n");
}

#[expect(clippy::disallowed_methods, reason = "an argument of this test, which has no other way")]
fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Every item that is reachable from the root by `pub`, with its fields, variants, methods and
/// associated items, in order. An item that is reachable by several paths has its members under
/// the one where it is defined, or the first.
fn public_api(files: &[&File]) -> Vec<String> {
    let files: Vec<_> = files.iter().copied().filter(|it| it.path != "src/main.rs").collect();
    let modules = Modules::of(&files);
    let mut reader = Reader { modules: &modules, found: Found::default() };
    for file in &files {
        if !file.path.ends_with("/tests.rs") {
            let syntax = parse_file(&file.text).unwrap_or_else(|it| panic!("{}: {it}", file.path));
            reader.read(&file.module(), &syntax.items);
        }
    }
    reader.found.lines(&modules)
}

/// What is `pub` where it is defined.
#[derive(Default)]
struct Found {
    modules: BTreeSet<Vec<String>>,
    /// What each item is.
    items: BTreeMap<Key, &'static str>,
    /// The members of each item: a name, and what it is.
    members: BTreeMap<Key, Vec<(String, &'static str)>>,
    /// The module, the name there (none for `*`), and the path as it is written.
    exports: Vec<(Vec<String>, Option<String>, Vec<String>)>,
}

impl Found {
    fn is_public(&self, module: &[String]) -> bool {
        (1..=module.len()).all(|end| self.modules.contains(&module[..end]))
    }

    /// The paths by which items are reachable, that of their definition first.
    fn reachable(&self, modules: &Modules, lines: &mut Vec<String>) -> BTreeMap<Key, Vec<String>> {
        let mut paths: BTreeMap<Key, Vec<String>> = BTreeMap::new();
        for key in self.items.keys().filter(|(module, _)| self.is_public(module)) {
            paths.entry(key.clone()).or_default().push(path_of(&key.0, &key.1));
        }
        let exports = self.exports.iter().filter(|(module, ..)| self.is_public(module));
        for (module, name, path) in exports {
            match (name, modules.resolve_import(module, path)) {
                (Some(name), Some(Target::Item(from, item))) => {
                    paths.entry((from, item)).or_default().push(path_of(module, name));
                }
                (None, Some(Target::Module(from))) => {
                    for key in self.items.keys().filter(|(it, _)| *it == from) {
                        paths.entry(key.clone()).or_default().push(path_of(module, &key.1));
                    }
                }
                (name, _) => {
                    let name = name.as_deref().unwrap_or("*");
                    lines.push(format!("{}: use {}", path_of(module, name), path.join("::")));
                }
            }
        }
        paths
    }

    fn lines(&self, modules: &Modules) -> Vec<String> {
        let mut lines = Vec::new();
        let public = self.modules.iter().filter(|module| self.is_public(module));
        lines.extend(public.map(|module| format!("paygate::{}: mod", module.join("::"))));
        for (key, paths) in self.reachable(modules, &mut lines) {
            // The macro of an item that is hidden is none of ours to list.
            let Some(kind) = self.items.get(&key) else { continue };
            let first = &paths[0];
            lines.push(format!("{first}: {kind}"));
            lines.extend(paths[1..].iter().map(|path| format!("{path}: use {first}")));
            let members = self.members.get(&key).into_iter().flatten();
            lines.extend(members.map(|(name, kind)| format!("{first}::{name}: {kind}")));
        }
        lines.sort();
        lines.dedup();
        lines
    }
}

fn path_of(module: &[String], name: &str) -> String {
    let names = module.iter().map(String::as_str).chain([name]);
    ["paygate"].into_iter().chain(names).collect::<Vec<_>>().join("::")
}

struct Reader<'a> {
    modules: &'a Modules,
    found: Found,
}

impl Reader<'_> {
    fn read(&mut self, module: &[String], items: &[Item]) {
        for item in items.iter().filter(|item| is_shown(attributes_of(item))) {
            match item {
                Item::Mod(it) => {
                    let path = [module, &[plain(&it.ident)]].concat();
                    if is_pub(&it.vis) {
                        self.found.modules.insert(path.clone());
                    }
                    let content = it.content.as_ref().map(|(_, items)| &items[..]);
                    self.read(&path, content.unwrap_or_default());
                }
                Item::Use(it) if is_pub(&it.vis) => self.export(module, &it.tree, &[]),
                Item::Impl(it) if it.trait_.is_none() => self.methods(module, it),
                item => self.item(module, item),
            }
        }
    }

    fn item(&mut self, module: &[String], item: &Item) {
        let (visibility, name, kind) = match item {
            Item::Const(it) => (&it.vis, &it.ident, "const"),
            Item::Enum(it) => (&it.vis, &it.ident, "enum"),
            Item::Fn(it) => (&it.vis, &it.sig.ident, "fn"),
            Item::Static(it) => (&it.vis, &it.ident, "static"),
            Item::Struct(it) => (&it.vis, &it.ident, "struct"),
            Item::Trait(it) => (&it.vis, &it.ident, "trait"),
            Item::Type(it) => (&it.vis, &it.ident, "type"),
            Item::Union(it) => (&it.vis, &it.ident, "union"),
            _ => return,
        };
        if is_pub(visibility) {
            let key = (module.to_vec(), plain(name));
            self.found.items.insert(key.clone(), kind);
            self.found.members.entry(key).or_default().extend(members(item));
        }
    }

    /// The public methods and constants of a type.
    fn methods(&mut self, module: &[String], block: &ItemImpl) {
        let Type::Path(path) = &*block.self_ty else { return };
        let segments: Vec<_> = path.path.segments.iter().map(|it| plain(&it.ident)).collect();
        let Some(Target::Item(from, name)) = self.modules.resolve(module, &segments) else {
            return;
        };
        let public = block.items.iter().filter_map(|item| match item {
            ImplItem::Fn(it) if is_pub(&it.vis) && is_shown(&it.attrs) => {
                Some((plain(&it.sig.ident), "fn"))
            }
            ImplItem::Const(it) if is_pub(&it.vis) && is_shown(&it.attrs) => {
                Some((plain(&it.ident), "const"))
            }
            _ => None,
        });
        self.found.members.entry((from, name)).or_default().extend(public);
    }

    fn export(&mut self, module: &[String], tree: &UseTree, prefix: &[String]) {
        let below = |ident: &syn::Ident| [prefix, &[plain(ident)]].concat();
        let (name, path) = match tree {
            UseTree::Path(it) => return self.export(module, &it.tree, &below(&it.ident)),
            UseTree::Group(it) => {
                return it.items.iter().for_each(|tree| self.export(module, tree, prefix));
            }
            UseTree::Glob(_) => (None, prefix.to_vec()),
            UseTree::Name(it) if it.ident == "self" => (prefix.last().cloned(), prefix.to_vec()),
            UseTree::Name(it) => (Some(plain(&it.ident)), below(&it.ident)),
            UseTree::Rename(it) => (Some(plain(&it.rename)), below(&it.ident)),
        };
        self.found.exports.push((module.to_vec(), name, path));
    }
}

/// The public fields, the variants, and the items of a trait.
fn members(item: &Item) -> Vec<(String, &'static str)> {
    let fields = |fields: &Fields| -> Vec<_> {
        let numbered = fields.iter().enumerate();
        let public = numbered.filter(|(_, field)| is_pub(&field.vis) && is_shown(&field.attrs));
        let name = |n: usize, field: &syn::Field| field.ident.as_ref().map_or(n.to_string(), plain);
        public.map(|(n, field)| (name(n, field), "field")).collect()
    };
    match item {
        Item::Struct(it) => fields(&it.fields),
        Item::Enum(it) => {
            let shown = it.variants.iter().filter(|variant| is_shown(&variant.attrs));
            shown.map(|variant| (plain(&variant.ident), "variant")).collect()
        }
        Item::Trait(it) => {
            let named = it.items.iter().filter_map(|item| match item {
                syn::TraitItem::Fn(it) => Some((&it.attrs, &it.sig.ident, "fn")),
                syn::TraitItem::Const(it) => Some((&it.attrs, &it.ident, "const")),
                syn::TraitItem::Type(it) => Some((&it.attrs, &it.ident, "type")),
                _ => None,
            });
            let shown = named.filter(|(attributes, ..)| is_shown(attributes));
            shown.map(|(_, name, kind)| (plain(name), kind)).collect()
        }
        _ => Vec::new(),
    }
}

fn is_pub(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Whether the documentation shows it.
fn is_shown(attributes: &[Attribute]) -> bool {
    let is_hidden = attributes.iter().any(|attribute| {
        let tokens = attribute.meta.require_list().map(|list| list.tokens.to_string());
        attribute.path().is_ident("doc") && tokens.is_ok_and(|tokens| tokens == "hidden")
    });
    !is_hidden && !is_test_only(attributes)
}

#[test]
fn what_is_reachable_is_listed_once_with_its_members() {
    let lib = "pub mod a; mod b; pub use a::Shown; pub use b::{Private as Renamed, c};
        pub use http::Request; #[doc(hidden)] pub mod hidden { pub struct Not; }
        #[cfg(test)] pub mod tests { pub struct Not; } pub(crate) struct Not;";
    let a = "use super::b::Private; pub struct Shown { pub a: u8, b: u8 } pub(super) fn not() {}
        impl Private { pub fn d(&self) {} fn not(&self) {} } impl Clone for Shown {}
        pub enum E { F(u8) } pub trait G { type H; fn i(); }";
    let b = "pub struct Private(pub u8, u8); pub struct Not; pub fn c() {}";
    let files = [("lib", lib), ("a", a), ("b", b)]
        .map(|(name, text)| File::new(&format!("src/{name}.rs"), text));
    let expected = [
        "paygate::Renamed: struct",
        "paygate::Renamed::0: field",
        "paygate::Renamed::d: fn",
        "paygate::Request: use http::Request",
        "paygate::Shown: use paygate::a::Shown",
        "paygate::a: mod",
        "paygate::a::E: enum",
        "paygate::a::E::F: variant",
        "paygate::a::G: trait",
        "paygate::a::G::H: type",
        "paygate::a::G::i: fn",
        "paygate::a::Shown: struct",
        "paygate::a::Shown::a: field",
        "paygate::c: fn",
    ];
    assert_eq!(public_api(&files.iter().collect::<Vec<_>>()), expected);
}
