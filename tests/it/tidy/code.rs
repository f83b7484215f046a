//! Reads Rust roughly, as far as the house rules need it.

use std::ops::Range;

/// `text` with comments and the insides of strings and characters blanked; lines stay in place.
pub(super) fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_word = false;
    while let Some(c) = rest.chars().next() {
        let inside = if rest.starts_with("//") {
            0..rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            0..comment_end(rest)
        } else if c == '\'' {
            char_inside(rest)
        } else if c == '"' {
            1..string_end(&rest[1..]) + 1
        } else if !in_word {
            raw_string_inside(rest)
        } else {
            0..0
        };
        let quote = if inside.start > 0 { inside.end + 1 } else { inside.end };
        let taken = quote.clamp(c.len_utf8(), rest.len());
        for (at, c) in rest[..taken].char_indices() {
            code.push(if inside.contains(&at) && c != '\n' { ' ' } else { c });
        }
        in_word = is_word(c);
        rest = &rest[taken..];
    }
    code
}

/// Where a block comment ends; they nest.
fn comment_end(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        let step = if here.starts_with(b"/*") {
            depth += 1;
            2
        } else if here.starts_with(b"*/") {
            depth -= 1;
            2
        } else {
            1
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Where the closing quote stands in what follows an opening one.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == '"' && !escaped {
            return at;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// The inside of a character literal; a lifetime has none.
fn char_inside(text: &str) -> Range<usize> {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((after, _))) => {
            // The escaped character itself may be a quote.
            let from = after + 1;
            1..text[from..].find('\'').map_or(text.len(), |at| from + at)
        }
        (Some(_), Some((end, '\''))) => 1..end,
        _ => 0..0,
    }
}

/// The inside of a raw string that starts here (`r"`, `br##"`), if one does.
fn raw_string_inside(text: &str) -> Range<usize> {
    let Some(opened) = text.strip_prefix('r').or_else(|| text.strip_prefix("br")) else {
        return 0..0;
    };
    let hashes = opened.bytes().take_while(|byte| *byte == b'#').count();
    if opened.as_bytes().get(hashes) != Some(&b'"') {
        return 0..0;
    }
    let start = text.len() - opened.len() + hashes + 1;
    let closing = format!("\"{}", "#".repeat(hashes));
    start..text[start..].find(&closing).map_or(text.len(), |at| start + at)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Code up to its own tests, which the house style puts last.
pub(super) fn without_tests(code: &str) -> String {
    let end = ["\nmod tests {", "\nmod tests;"].iter().filter_map(|start| code.find(start)).min();
    code[..end.unwrap_or(code.len())].to_owned()
}

/// The number of the line in which `at` stands.
fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The lines that have `word`, not as a part of a longer one.
pub(super) fn word_lines(code: &str, word: &str) -> Vec<usize> {
    let bounded = |at: usize| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let is_bound = |c: Option<char>, edge: Option<char>| {
            !(edge.is_some_and(is_word) && c.is_some_and(is_word))
        };
        is_bound(before, word.chars().next()) && is_bound(after, word.chars().next_back())
    };
    let hits = code.match_indices(word).filter(|(at, _)| bounded(*at));
    hits.map(|(at, _)| line_of(code, at)).collect()
}

/// Whether `path` is `prefix` or goes on from it.
pub(super) fn starts_path(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that begins with `root`, without it, and its line; `use` trees are unfolded.
pub(super) fn paths_below(code: &str, root: &str) -> Vec<(usize, String)> {
    let start = format!("{root}::");
    let mut found = Vec::new();
    for (at, _) in code.match_indices(&start) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| is_word(c) || c == ':') {
            continue;
        }
        let mut leaves = Vec::new();
        unfold("", &code[at + start.len()..], &mut leaves);
        found.extend(leaves.into_iter().map(|leaf| (line_of(code, at), leaf)));
    }
    found
}

/// Reads one path or tree at the head of `text` into its leaves; returns what follows it.
fn unfold<'a>(prefix: &str, text: &'a str, leaves: &mut Vec<String>) -> &'a str {
    let mut rest = text.trim_start();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner.trim_start();
        while !rest.is_empty() && !rest.starts_with('}') {
            let after = unfold(prefix, rest, leaves);
            // Past a rename and the comma, to the next branch.
            let next = after.find([',', '}']).unwrap_or(after.len());
            rest = after[next..].trim_start_matches(',').trim_start();
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let path = format!("{prefix}{}", &rest[..end]);
    match rest[end..].strip_prefix("::") {
        Some(below) if below.starts_with(|c| is_word(c) || c == '{') => {
            unfold(&format!("{path}::"), below, leaves)
        }
        _ => {
            leaves.push(path);
            &rest[end..]
        }
    }
}

/// Lines that define a module, a type, a trait or a function: number, keyword, name. The
/// associated types of a trait, which it names itself, are left out.
pub(super) fn definitions(code: &str) -> Vec<(usize, &str, String)> {
    const KEYWORDS: [&str; 6] = ["mod", "struct", "enum", "trait", "type", "fn"];
    let mut found = Vec::new();
    for (n, line) in (1..).zip(code.lines()) {
        let words: Vec<_> = line.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2).filter(|pair| KEYWORDS.contains(&pair[0])) {
            if pair[0] != "type" || !line.starts_with(' ') {
                found.push((n, pair[0], pair[1].to_owned()));
            }
        }
    }
    found
}

/// A function and its size.
pub(super) struct Function {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) lines: usize,
    pub(super) parameters: usize,
}

/// Every function of `code`; a receiver is no parameter.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let name: String = code[at + 3..].chars().take_while(|c| is_word(*c)).collect();
        if name.is_empty() || code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let Some(parameters_at) = parameters_start(code, at + 3 + name.len()) else { continue };
        let parameters_end = closing(code, parameters_at, ['(', ')']);
        let signature_end = code[parameters_end..].find(['{', ';']).map(|it| parameters_end + it);
        let end = match signature_end {
            Some(it) if code[it..].starts_with('{') => closing(code, it, ['{', '}']),
            Some(it) => it,
            None => continue,
        };
        let line = line_of(code, at);
        let lines = line_of(code, end) - line + 1;
        let parameters = count_parameters(&code[parameters_at + 1..parameters_end]);
        found.push(Function { line, name, lines, parameters });
    }
    found
}

/// Where the parameter list opens after a function's name, generics passed over.
fn parameters_start(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    let mut last = ' ';
    for (at, c) in code[from..].char_indices() {
        match c {
            '<' => depth += 1,
            '>' if last != '-' => depth -= 1,
            '(' if depth == 0 => return Some(from + at),
            _ => {}
        }
        last = c;
    }
    None
}

/// Where the bracket that opens at `from` is closed.
fn closing(code: &str, from: usize, [open, close]: [char; 2]) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code[from..].char_indices() {
        depth += i32::from(c == open) - i32::from(c == close);
        if depth == 0 {
            return from + at;
        }
    }
    code.len()
}

fn count_parameters(list: &str) -> usize {
    let mut depth = 0_i32;
    let mut last = ' ';
    let mut parameters = vec![String::new()];
    for c in list.chars() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if last != '-' => depth -= 1,
            _ => {}
        }
        last = c;
        if c == ',' && depth == 0 {
            parameters.push(String::new());
        } else if let Some(parameter) = parameters.last_mut() {
            parameter.push(c);
        }
    }
    let is_receiver = |it: &str| it.split(|c| !is_word(c)).any(|word| word == "self");
    parameters.iter().filter(|it| !it.trim().is_empty() && !is_receiver(it)).count()
}

#[test]
fn comments_and_texts_are_no_code() {
    let check = |text: &str, code: &str| assert_eq!(code_of(text), code, "{text}");
    check("a // {\nb", "a     \nb");
    check("a /* { /* } */ { */ b", "a                   b");
    check(r#"x("{\"}", '{', '\'', 'a')"#, r#"x("    ", ' ', '  ', ' ')"#);
    check("f::<'a>(r#\"{\"#, br\"}\")", "f::<'a>(r#\" \"#, br\" \")");
    check("for\"{\"", "for\" \"");
}

#[test]
fn use_trees_are_read_to_their_leaves() {
    let code = "use crate::a::{self, b::{C, D as E}, f};\nlet x = crate::g::h(std::env::VAR);\n";
    let found = paths_below(code, "crate");
    let expected = [(1, "a::self"), (1, "a::b::C"), (1, "a::b::D"), (1, "a::f"), (2, "g::h")];
    assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
    assert_eq!(paths_below(code, "std"), [(2, "env::VAR".to_owned())]);
}

#[test]
fn functions_are_measured() {
    let code =
        "impl A {\n  fn a(&self, b: [u8; 2], c: F<(), ()>) -> X {\n    {}\n  }\n  fn d();\n}";
    let measured = functions(code);
    let told = measured.iter().map(|it| (it.line, it.name.as_str(), it.lines, it.parameters));
    assert_eq!(told.collect::<Vec<_>>(), [(2, "a", 3, 2), (5, "d", 1, 0)]);
}
