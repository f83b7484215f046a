//! No file imports what imports it: the circles within a part of `src`.

use std::collections::BTreeMap;

use super::files::File;
use super::modules::{Modules, Target};

/// The first place where a file uses another one: the line, and the path as it is written there.
type Use = (usize, String);

/// What each file, by its index, uses of the others.
type Graph = Vec<BTreeMap<usize, Use>>;

/// The circles among the files of each part. A module that declares its children and exports
/// their items does not use them by that.
pub(super) fn circles(files: &[&File]) -> Vec<String> {
    let files: Vec<_> = files.iter().copied().filter(|it| it.path != "src/main.rs").collect();
    let graph = graph(&files);
    let reach: Vec<_> = (0..files.len()).map(|file| reached_from(&graph, file)).collect();
    let mut reported = vec![false; files.len()];
    let mut found = Vec::new();
    for file in 0..files.len() {
        if reported[file] || !reach[file][file] {
            continue;
        }
        let circle: Vec<_> =
            (0..files.len()).filter(|it| reach[file][*it] && reach[*it][file]).collect();
        let arrows = circle.iter().flat_map(|from| {
            let used = graph[*from].iter().filter(|(to, _)| circle.contains(to));
            used.map(|(to, (line, path))| {
                format!("\n    {}:{line} uses {path} of {}", files[*from].path, files[*to].path)
            })
        });
        let arrows: String = arrows.collect();
        found.push(format!("a circle of {} files:{arrows}", circle.len()));
        circle.iter().for_each(|it| reported[*it] = true);
    }
    found
}

fn graph(files: &[&File]) -> Graph {
    let modules = Modules::of(files);
    files.iter().enumerate().map(|(n, file)| uses(&modules, files, (n, file))).collect()
}

/// What the file uses of the others of its part.
fn uses(modules: &Modules, files: &[&File], (own, file): (usize, &File)) -> BTreeMap<usize, Use> {
    let mut found = BTreeMap::new();
    let mut add = |target: Option<Target>, line: usize, path: &[String]| {
        let Some(Target::Item(module, _)) = target else { return };
        let used = modules.file(&module);
        if used != own && files[used].part() == file.part() {
            found.entry(used).or_insert_with(|| (line, path.join("::")));
        }
    };
    let base = file.module();
    for import in file.syntax.imports.iter().filter(|import| !import.is_exported) {
        let module = [&base[..], &import.module].concat();
        let target = match (&import.name, modules.resolve_import(&module, &import.path)) {
            // All of a module is used, whatever it is.
            (None, Some(Target::Module(used))) => Some(Target::Item(used, "*".to_owned())),
            (_, target) => target,
        };
        add(target, import.line, &import.path);
    }
    for path in file.paths() {
        let module = [&base[..], file.syntax.module_at(path.at)].concat();
        add(modules.resolve(&module, &path.segments), path.line, &path.segments);
    }
    found
}

/// Which files are reached from `start` by at least one arrow.
fn reached_from(graph: &Graph, start: usize) -> Vec<bool> {
    let mut reached = vec![false; graph.len()];
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        for next in graph[file].keys() {
            if !std::mem::replace(&mut reached[*next], true) {
                open.push(*next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::{File, circles};

    /// How many files are in each circle among `files`.
    fn found(files: &[(&str, &str)]) -> Vec<usize> {
        let lib = [("src/lib.rs", "mod part;")];
        let files: Vec<_> =
            lib.iter().chain(files).map(|(path, text)| File::new(path, text)).collect();
        let found = circles(&files.iter().collect::<Vec<_>>());
        let size = |it: &String| it.split(' ').nth(3).unwrap().parse().unwrap();
        found.iter().map(size).collect()
    }

    const PARENT: (&str, &str) = ("src/part/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;");

    #[test]
    fn a_circle_of_siblings_is_found_however_they_are_named() {
        let a = ("src/part/a.rs", "use super::b::B; pub struct A(B);");
        for text in [
            "use super::a::A; pub struct B(A);",
            "use crate::part::{a::{self}}; pub struct B(a::A);",
            "use super::A; pub struct B(A);",
            "use super::A as Renamed; pub struct B(Renamed);",
            "pub struct B; fn f() { crate::part::a::A::new() }",
            "pub struct B; fn f() { format!(\"{}\", super::A::new()) }",
            "pub struct B; mod inner { use super::super::a::A; }",
            "use super::a::*; pub struct B;",
        ] {
            assert_eq!(found(&[PARENT, a, ("src/part/b.rs", text)]), [2], "{text}");
        }
    }

    #[test]
    fn what_is_no_use_makes_no_circle() {
        let a = ("src/part/a.rs", "use super::b::B; pub struct A(B);");
        for text in [
            "pub struct B;",
            "/// See [`super::a::A`].\npub struct B;",
            "pub struct B; #[cfg(test)] mod tests { use super::super::a::A; }",
            "pub struct B; fn f(a: u8) -> u8 { a.a::<u8>() }",
            "use crate::part::a; pub struct B; fn f() {}",
        ] {
            assert_eq!(found(&[PARENT, a, ("src/part/b.rs", text)]), [0; 0], "{text}");
        }
    }

    #[test]
    fn a_parent_that_uses_its_child_is_in_a_circle_with_a_child_that_uses_it() {
        let child = ("src/part/a.rs", "use super::LIMIT; pub struct A([u8; LIMIT]);");
        let only_declares = "mod a; pub use a::A; const LIMIT: usize = 1;";
        assert_eq!(found(&[("src/part/mod.rs", only_declares), child]), [0; 0]);
        for uses in [
            "mod a; pub use a::A; const LIMIT: usize = 1; fn f(a: A) {}",
            "mod a; use a::A; const LIMIT: usize = 1; fn f(a: A) {}",
            "mod a; const LIMIT: usize = 1; fn f(a: a::A) {}",
        ] {
            assert_eq!(found(&[("src/part/mod.rs", uses), child]), [2], "{uses}");
        }
    }

    #[test]
    fn a_long_circle_is_one() {
        let parent = ("src/part/mod.rs", "mod a; mod b; mod c;");
        let a = ("src/part/a.rs", "use super::b::B; pub struct A(B);");
        let b = ("src/part/b.rs", "use super::c::C; pub struct B(C);");
        let c = ("src/part/c.rs", "use super::a::A; pub struct C(A);");
        assert_eq!(found(&[parent, a, b, c]), [3]);
    }
}
