//! The modules of a crate: which file a path leads to.

use std::collections::{BTreeMap, BTreeSet};

use super::files::File;

/// How many names a path may go through before it is taken for endless.
const RENAMES_MAX: usize = 16;

/// One module, a file's or an inline one.
#[derive(Debug, Default)]
struct Module {
    /// The index of its file.
    file: usize,
    items: BTreeSet<String>,
    /// Its imports, each by the name it has here, with the path as it is written.
    imports: BTreeMap<String, Vec<String>>,
    /// The paths of its `*` imports, as they are written.
    globs: Vec<Vec<String>>,
}

/// The modules of the library.
#[derive(Debug)]
pub(crate) struct Modules(BTreeMap<Vec<String>, Module>);

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the module with this path.
    Module(Vec<String>),
    /// To an item: its module, and its name there.
    Item(Vec<String>, String),
}

impl Modules {
    /// Those of `files`, whose indexes are the targets.
    pub(crate) fn of(files: &[&File]) -> Modules {
        let mut modules: BTreeMap<Vec<String>, Module> = BTreeMap::new();
        for (file, source) in files.iter().enumerate() {
            let base = source.module();
            let below = |path: &[String]| [&base[..], path].concat();
            modules.insert(base.clone(), Module { file, ..Module::default() });
            for inline in &source.syntax.inline_modules {
                if !source.syntax.is_test(inline.range.start) {
                    modules.insert(below(&inline.path), Module { file, ..Module::default() });
                }
            }
            for (path, name) in &source.syntax.items {
                let module = modules.entry(below(path)).or_default();
                module.items.insert(name.clone());
            }
            for import in &source.syntax.imports {
                let module = modules.entry(below(&import.module)).or_default();
                match &import.name {
                    Some(name) => {
                        module.imports.insert(name.clone(), import.path.clone());
                    }
                    None => module.globs.push(import.path.clone()),
                }
            }
        }
        Modules(modules)
    }

    /// Where `segments`, written in `module`, lead; `None` is outside of the crate, or a local.
    pub(crate) fn resolve(&self, module: &[String], segments: &[String]) -> Option<Target> {
        self.follow(&self.absolute(module, segments, RENAMES_MAX)?, RENAMES_MAX)
    }

    /// The same for what an import names: not by the import's own name.
    pub(crate) fn resolve_import(&self, module: &[String], path: &[String]) -> Option<Target> {
        let absolute = self.absolute_import(module, path, RENAMES_MAX)?;
        self.follow(&absolute, RENAMES_MAX)
    }

    /// The path below the crate that `segments`, written in `module`, mean, if they begin at the
    /// crate or climb.
    pub(super) fn below_crate(
        &self,
        module: &[String],
        segments: &[String],
    ) -> Option<Vec<String>> {
        let is_rooted = segments.len() > 1
            && segments.first().is_some_and(|first| first == "crate" || first == "super");
        if is_rooted { self.absolute_import(module, segments, RENAMES_MAX) } else { None }
    }

    /// The index of the file where the module is.
    pub(super) fn file(&self, module: &[String]) -> usize {
        self.0[module].file
    }

    /// The path below the crate.
    fn absolute(&self, module: &[String], segments: &[String], left: usize) -> Option<Vec<String>> {
        let left = left.checked_sub(1)?;
        let first = segments.first()?;
        let imports = self.0.get(module).map(|module| &module.imports);
        match imports.and_then(|imports| imports.get(first)) {
            Some(path) => {
                let path = self.absolute_import(module, path, left)?;
                Some([&path[..], &segments[1..]].concat())
            }
            None => self.absolute_import(module, segments, left),
        }
    }

    /// The same, where the first segment is none of the module's own imports, or their whole path.
    fn absolute_import(
        &self,
        module: &[String],
        segments: &[String],
        left: usize,
    ) -> Option<Vec<String>> {
        let first = segments.first()?;
        match first.as_str() {
            "crate" => Some(segments[1..].to_vec()),
            "self" => Some([module, &segments[1..]].concat()),
            "super" => {
                let mut parent = module;
                let climbs = segments.iter().take_while(|it| *it == "super").count();
                for _ in 0..climbs {
                    parent = parent.split_last()?.1;
                }
                Some([parent, &segments[climbs..]].concat())
            }
            _ => {
                let below = [module, &segments[..1]].concat();
                let here = self.0.get(module);
                let is_own = here.is_some_and(|here| here.items.contains(first));
                if self.0.contains_key(&below) || is_own {
                    return Some([module, segments].concat());
                }
                // `use Enum::Variant` of an enum that is imported here.
                let imported = here.is_some_and(|here| {
                    here.imports.get(first).is_some_and(|path| path.first() != Some(first))
                });
                if imported { self.absolute(module, segments, left) } else { None }
            }
        }
    }

    /// Where the path below the crate leads, through every import on its way.
    fn follow(&self, path: &[String], left: usize) -> Option<Target> {
        let left = left.checked_sub(1)?;
        let known = (0..=path.len()).rev().find(|end| self.0.contains_key(&path[..*end]))?;
        let (at, module) = (&path[..known], &self.0[&path[..known]]);
        let Some(name) = path.get(known) else { return Some(Target::Module(at.to_vec())) };
        let here = || Some(Target::Item(at.to_vec(), name.clone()));
        if module.items.contains(name) {
            return here();
        }
        if let Some(import) = module.imports.get(name) {
            let import = self.absolute_import(at, import, left);
            return match import {
                Some(import) => self.follow(&[&import[..], &path[known + 1..]].concat(), left),
                None => here(),
            };
        }
        let in_globs = module.globs.iter().find_map(|glob| {
            let glob = self.absolute_import(at, glob, left)?;
            let holds = self.0.get(&glob).is_some_and(|module| module.items.contains(name));
            if holds { self.follow(&[&glob[..], &path[known..]].concat(), left) } else { None }
        });
        in_globs.or_else(here)
    }
}
