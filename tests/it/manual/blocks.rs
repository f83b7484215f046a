//! README and the manual's chapters, and the code blocks in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the chapters.
pub(crate) const MANUAL: &str = "src/manual";

/// README and every chapter, by their paths below the root.
pub(crate) fn documents() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    add_markdown(&root.join(MANUAL), &mut paths);
    let below_root = |path: &Path| {
        let path = path.strip_prefix(root).expect("a path below the root");
        path.to_str().expect("a path in UTF-8").replace('\\', "/")
    };
    let text = |path: &Path| fs::read_to_string(path).expect("a document in UTF-8");
    paths.iter().map(|path| (below_root(path), text(path))).collect()
}

fn add_markdown(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the manual's folder") {
        let path = entry.expect("a chapter").path();
        if path.is_dir() {
            add_markdown(&path, paths);
        } else if path.extension().is_some_and(|it| it == "md") {
            paths.push(path);
        }
    }
}

/// A fenced code block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodeBlock {
    /// The line of its first fence.
    pub(crate) line: usize,
    /// What stands after the fence: `rust,no_run`.
    pub(crate) language: String,
    pub(crate) text: String,
}

/// The code blocks of a document, in order.
pub(crate) fn code_blocks(document: &str) -> Vec<CodeBlock> {
    let mut blocks = Vec::new();
    let mut open: Option<CodeBlock> = None;
    for (line, text) in (1..).zip(document.lines()) {
        match (&mut open, text.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                let language = language.trim().to_owned();
                open = Some(CodeBlock { line, language, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{text}\n"),
            (None, None) => {}
        }
    }
    assert_eq!(open, None, "a code block without an end");
    blocks
}

/// The shell blocks of a document, each with the answer that the document shows: the JSON block
/// that follows a request, with nothing but text between.
pub(crate) fn shell_blocks(document: &str) -> Vec<(CodeBlock, Option<CodeBlock>)> {
    let mut shell: Vec<(CodeBlock, Option<CodeBlock>)> = Vec::new();
    let mut follows = false;
    for block in code_blocks(document) {
        let is_answer = block.language == "json" && follows;
        follows = block.language == "sh" && block.text.contains("curl ");
        match shell.last_mut() {
            Some((_, answer)) if is_answer => *answer = Some(block),
            _ if block.language == "sh" => shell.push((block, None)),
            _ => {}
        }
    }
    shell
}

#[test]
fn the_answer_of_a_command_is_the_json_after_it() {
    let document = "a\n```sh\ncurl x\n```\nit answers\n```json\n{}\n```\nand\n```json\n[]\n```\n";
    let block = |line, language: &str, text: &str| CodeBlock {
        line,
        language: language.to_owned(),
        text: text.to_owned(),
    };
    let (command, answer) = (block(2, "sh", "curl x\n"), block(6, "json", "{}\n"));
    assert_eq!(code_blocks(document).len(), 3);
    assert_eq!(shell_blocks(document), [(command, Some(answer))]);
}
