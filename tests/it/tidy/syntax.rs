//! What the rules need of one file of Rust, read with `syn` into plain data.

use std::ops::Range;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{
    Attribute, FnArg, ImplItemFn, Item, ItemFn, ItemMod, ItemUse, Signature, TraitItemFn, UseTree,
    Visibility,
};

/// One leaf of the token trees, and the bytes where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) range: Range<usize>,
    pub(super) line: usize,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// An identifier or a keyword.
    Word(String),
    Mark(char),
    Literal,
    /// A doc comment, which is an attribute to the compiler.
    Doc,
}

/// One line of a comment.
#[derive(Clone, Debug)]
pub(super) struct CommentLine {
    pub(super) line: usize,
    pub(super) text: String,
}

/// A module, a type, a trait or a function that is defined here.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) line: usize,
    pub(super) keyword: &'static str,
    pub(super) name: String,
    pub(super) is_test: bool,
}

/// A function and its size; a receiver is no parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) lines: usize,
    pub(super) parameters: usize,
}

/// One leaf of a `use` tree.
#[derive(Clone, Debug)]
pub(super) struct Import {
    pub(super) line: usize,
    /// The inline modules around it.
    pub(super) module: Vec<String>,
    /// The path as it is written; of `a::{self}` it is `a`.
    pub(super) path: Vec<String>,
    /// The name that it has here; none for `*`.
    pub(super) name: Option<String>,
    /// Whether it is exported at all: `pub`, `pub(crate)`, `pub(super)`.
    pub(super) is_exported: bool,
}

/// An inline module, by its path below the file's.
#[derive(Clone, Debug)]
pub(super) struct InlineModule {
    pub(super) path: Vec<String>,
    pub(super) range: Range<usize>,
}

/// Everything that is read of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Syntax {
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<CommentLine>,
    pub(super) definitions: Vec<Definition>,
    pub(super) functions: Vec<Function>,
    pub(super) imports: Vec<Import>,
    pub(super) inline_modules: Vec<InlineModule>,
    /// Names of the items at the top of a module: the inline modules around it, and the name.
    pub(super) items: Vec<(Vec<String>, String)>,
    /// The bytes of items that only tests have.
    pub(super) tests: Vec<Range<usize>>,
    /// The bytes of `use` items.
    pub(super) uses: Vec<Range<usize>>,
}

impl Syntax {
    /// Reads `text`; its tokens and comments only where a rule asks for them.
    ///
    /// # Panics
    ///
    /// If it is no Rust.
    pub(super) fn read(path: &str, text: &str, with_tokens: bool) -> Syntax {
        let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let file = syn::parse2(stream.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut reader = Reader::default();
        reader.visit_file(&file);
        let mut syntax = reader.syntax;
        if with_tokens {
            flatten(stream, text, &mut syntax.tokens);
            syntax.tokens.sort_by_key(|token| token.range.start);
            syntax.comments = comments(text, &syntax.tokens);
        }
        syntax
    }

    /// Whether only tests have what stands at byte `at`.
    pub(super) fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }

    /// The inline modules around byte `at`.
    pub(super) fn module_at(&self, at: usize) -> &[String] {
        let around = self.inline_modules.iter().filter(|module| module.range.contains(&at));
        around.max_by_key(|module| module.path.len()).map_or(&[], |module| &module.path)
    }

    /// The code without its tests, with comments and literals blanked; lines stay in place.
    pub(super) fn code(&self, text: &str) -> String {
        let mut code: Vec<u8> =
            text.bytes().map(|byte| if byte == b'\n' { byte } else { b' ' }).collect();
        for token in &self.tokens {
            let is_code = matches!(token.kind, TokenKind::Word(_) | TokenKind::Mark(_));
            if is_code && !self.is_test(token.range.start) {
                let range = token.range.clone();
                code[range.clone()].copy_from_slice(&text.as_bytes()[range]);
            }
        }
        String::from_utf8(code).expect("whole tokens were copied")
    }

    /// How many lines the tests in it have.
    pub(super) fn test_lines(&self, text: &str) -> usize {
        self.tests.iter().map(|range| text[range.clone()].lines().count()).sum()
    }
}

/// Collects what has a place in the syntax tree.
#[derive(Default)]
struct Reader {
    syntax: Syntax,
    module: Vec<String>,
    /// How many items around are for tests only.
    tests_around: usize,
}

impl Reader {
    fn define(&mut self, keyword: &'static str, name: &syn::Ident) {
        let (line, is_test) = (name.span().start().line, self.tests_around > 0);
        self.syntax.definitions.push(Definition { line, keyword, name: plain(name), is_test });
    }

    fn measure(&mut self, signature: &Signature, end_line: usize) {
        let line = signature.fn_token.span.start().line;
        let is_parameter = |argument: &&FnArg| matches!(argument, FnArg::Typed(_));
        self.define("fn", &signature.ident);
        self.syntax.functions.push(Function {
            line,
            name: plain(&signature.ident),
            lines: end_line + 1 - line,
            parameters: signature.inputs.iter().filter(is_parameter).count(),
        });
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String], is_exported: bool) {
        let mut path = prefix.to_vec();
        let (ident, name) = match tree {
            UseTree::Path(it) => {
                path.push(plain(&it.ident));
                return self.import(&it.tree, &path, is_exported);
            }
            UseTree::Group(it) => {
                return it.items.iter().for_each(|tree| self.import(tree, &path, is_exported));
            }
            UseTree::Name(it) if it.ident == "self" => (it.ident.span(), prefix.last().cloned()),
            UseTree::Name(it) => {
                path.push(plain(&it.ident));
                (it.ident.span(), Some(plain(&it.ident)))
            }
            UseTree::Rename(it) => {
                if it.ident != "self" {
                    path.push(plain(&it.ident));
                }
                (it.ident.span(), Some(plain(&it.rename)))
            }
            UseTree::Glob(it) => (it.star_token.span(), None),
        };
        let (line, module) = (ident.start().line, self.module.clone());
        self.syntax.imports.push(Import { line, module, path, name, is_exported });
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let is_test = is_test_only(attributes_of(item));
        if is_test && self.tests_around == 0 {
            self.syntax.tests.push(item.span().byte_range());
        }
        self.tests_around += usize::from(is_test);
        let named = match item {
            Item::Struct(it) => Some(("struct", &it.ident)),
            Item::Enum(it) => Some(("enum", &it.ident)),
            Item::Union(it) => Some(("union", &it.ident)),
            Item::Trait(it) => Some(("trait", &it.ident)),
            Item::Type(it) => Some(("type", &it.ident)),
            Item::Mod(it) => Some(("mod", &it.ident)),
            _ => None,
        };
        if let Some((keyword, name)) = named {
            self.define(keyword, name);
        }
        let item_name = named.map(|(_, name)| name).or(match item {
            Item::Fn(it) => Some(&it.sig.ident),
            Item::Const(it) => Some(&it.ident),
            Item::Static(it) => Some(&it.ident),
            Item::Macro(it) => it.ident.as_ref(),
            _ => None,
        });
        if let Some(name) = item_name.filter(|_| self.tests_around == 0) {
            self.syntax.items.push((self.module.clone(), plain(name)));
        }
        visit::visit_item(self, item);
        self.tests_around -= usize::from(is_test);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() {
            self.module.push(plain(&item.ident));
            let (path, range) = (self.module.clone(), item.span().byte_range());
            self.syntax.inline_modules.push(InlineModule { path, range });
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.syntax.uses.push(item.span().byte_range());
        if self.tests_around == 0 {
            self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.measure(&item.sig, item.block.span().end().line);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.measure(&item.sig, item.block.span().end().line);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        self.measure(&item.sig, item.span().end().line);
        visit::visit_trait_item_fn(self, item);
    }
}

/// A name without the `r#` of a raw one.
pub(crate) fn plain(ident: &syn::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

/// Whether an item with these attributes is there for tests only.
pub(crate) fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        let tokens = attribute.meta.require_list().map(|list| list.tokens.to_string());
        let is_test = |tokens: &str| tokens == "test" || tokens.starts_with("all (test");
        attribute.path().is_ident("test") || is_cfg && tokens.is_ok_and(|it| is_test(&it))
    })
}

pub(crate) fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// Adds the leaves of `stream`, delimiters included.
fn flatten(stream: TokenStream, text: &str, tokens: &mut Vec<Token>) {
    for tree in stream {
        let span = tree.span();
        let mut add = |span: proc_macro2::Span, kind: TokenKind| {
            let (range, line) = (span.byte_range(), span.start().line);
            tokens.push(Token { range, line, kind });
        };
        if ["//", "/*"].iter().any(|start| text[span.byte_range()].starts_with(start)) {
            add(span, TokenKind::Doc);
            continue;
        }
        match tree {
            TokenTree::Ident(it) => add(span, TokenKind::Word(plain(&it))),
            TokenTree::Punct(it) => add(span, TokenKind::Mark(it.as_char())),
            TokenTree::Literal(_) => add(span, TokenKind::Literal),
            TokenTree::Group(it) => {
                for delimiter in [it.span_open(), it.span_close()] {
                    let mark = text[delimiter.byte_range()].chars().next();
                    mark.into_iter().for_each(|mark| add(delimiter, TokenKind::Mark(mark)));
                }
                flatten(it.stream(), text, tokens);
            }
        }
    }
}

/// The lines of what stands between the tokens, and of doc comments.
fn comments(text: &str, tokens: &[Token]) -> Vec<CommentLine> {
    let mut found = Vec::new();
    let mut add = |range: Range<usize>| {
        let first = text[..range.start].matches('\n').count() + 1;
        for (line, comment) in (first..).zip(text[range].lines()) {
            if !comment.trim().is_empty() {
                found.push(CommentLine { line, text: comment.trim().to_owned() });
            }
        }
    };
    let mut end = 0;
    for token in tokens {
        // The tokens of one doc comment all stand at the same place.
        if token.range.start >= end {
            add(end..token.range.start);
            if token.kind == TokenKind::Doc {
                add(token.range.clone());
            }
            end = token.range.end;
        }
    }
    add(end..text.len());
    found
}

#[cfg(test)]
mod tests {
    use super::{Function, Syntax};

    fn code_of(text: &str) -> String {
        Syntax::read("a.rs", text, true).code(text)
    }

    #[test]
    fn comments_literals_and_tests_are_no_code() {
        assert_eq!(code_of("mod a; // {\nmod b;"), "mod a;     \nmod b;");
        assert_eq!(code_of("/// A \"b\".\nmod a;"), "          \nmod a;");
        assert_eq!(code_of("const A: &str = r#\"//\"#;"), "const A: &str =        ;");
        assert_eq!(code_of("mod a;\n#[cfg(test)]\nmod tests { mod b; }").trim(), "mod a;");
    }

    #[test]
    fn comments_are_read_line_by_line() {
        let text = "//! One\n\n/// Two\nmod a; // three\n/* four\nfive */\nconst B: u8 = 1;";
        let syntax = Syntax::read("a.rs", text, true);
        let read: Vec<_> = syntax.comments.iter().map(|it| (it.line, it.text.as_str())).collect();
        let expected =
            [(1, "//! One"), (3, "/// Two"), (4, "// three"), (5, "/* four"), (6, "five */")];
        assert_eq!(read, expected);
    }

    #[test]
    fn use_trees_are_read_to_their_leaves() {
        let syntax = Syntax::read("a.rs", "pub use a::{self, b::{C, D as E}, f::*};", false);
        let read = |it: &super::Import| (it.path.join("::"), it.name.clone());
        let imports: Vec<_> = syntax.imports.iter().map(read).collect();
        let expected =
            [("a", Some("a")), ("a::b::C", Some("C")), ("a::b::D", Some("E")), ("a::f", None)];
        let owned = |(path, name): (&str, Option<&str>)| (path.to_owned(), name.map(str::to_owned));
        assert_eq!(imports, expected.map(owned));
        assert!(syntax.imports.iter().all(|it| it.is_exported));
    }

    #[test]
    fn functions_are_measured() {
        let text = "impl A {\n  #[must_use]\n  fn a(&self, b: [u8; 2], c: F<(), ()>) -> X {\n    \
                    b\n  }\n}\ntrait B { fn d(); }";
        let function = |line, name: &str, lines, parameters| {
            let name = name.to_owned();
            Function { line, name, lines, parameters }
        };
        let functions = Syntax::read("a.rs", text, false).functions;
        assert_eq!(functions, [function(3, "a", 3, 2), function(7, "d", 1, 0)]);
    }
}
