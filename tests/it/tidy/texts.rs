//! The texts that clients read: pairs of Chinese and English in the sources. Each is a sentence,
//! and both name the same fields and variables.

use proc_macro2::TokenTree;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, ExprLit, ExprTuple, Lit, Token};

use super::files::{File, sources};
use super::report;

/// A text in both languages, and its line.
struct BilingualText {
    line: usize,
    zh: String,
    en: String,
}

/// Finds them: a Chinese literal, or a `format!` of one, with another literal behind it in one call
/// or tuple.
struct PairFinder<'a> {
    file: &'a File,
    found: Vec<BilingualText>,
}

impl PairFinder<'_> {
    fn add_pairs(&mut self, list: &Punctuated<Expr, Token![,]>) {
        let texts: Vec<Option<String>> = list.iter().map(literal).collect();
        for (pair, at) in texts.windows(2).zip(list) {
            let [Some(zh), Some(en)] = pair else { continue };
            let span = at.span();
            if is_chinese(zh) && !self.file.syntax.is_test(span.byte_range().start) {
                let (zh, en) = (zh.clone(), en.clone());
                self.found.push(BilingualText { line: span.start().line, zh, en });
            }
        }
    }
}

impl<'ast> Visit<'ast> for PairFinder<'_> {
    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        self.add_pairs(&call.args);
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_tuple(&mut self, tuple: &'ast ExprTuple) {
        self.add_pairs(&tuple.elems);
        visit::visit_expr_tuple(self, tuple);
    }
}

/// The text of a literal, or of the literal that `format!` begins with.
fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        Expr::Macro(call) if call.mac.path.is_ident("format") => {
            let Some(TokenTree::Literal(first)) = call.mac.tokens.clone().into_iter().next() else {
                return None;
            };
            match Lit::new(first) {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            }
        }
        _ => None,
    }
}

fn pairs(file: &File) -> Vec<BilingualText> {
    let tree = syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut finder = PairFinder { file, found: Vec::new() };
    finder.visit_file(&tree);
    finder.found
}

fn is_han(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

fn is_chinese(text: &str) -> bool {
    text.contains(is_han)
}

/// Punctuation between Chinese words is of full width; a mark of ASCII is right inside a list of
/// characters or names.
fn has_narrow_punctuation(zh: &str) -> bool {
    let chars: Vec<char> = zh.chars().collect();
    chars.windows(2).any(|pair| {
        let is_narrow = |c: char| ",;:?!()".contains(c);
        is_han(pair[0]) && is_narrow(pair[1]) || is_narrow(pair[0]) && is_han(pair[1])
    })
}

/// The names in a text that stand in both languages: fields, variables, headers, values, what is
/// filled in.
fn names(text: &str) -> Vec<&str> {
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || "_-{}.".contains(c);
    let words = text.split(move |c: char| !is_name_char(c));
    let words = words.map(|word| word.trim_matches(['.', '-']));
    let is_name = |word: &&str| {
        let inner = word.get(1..).unwrap_or_default();
        word.contains(['_', '{'])
            || inner.contains(|c: char| c.is_ascii_uppercase())
            || word.chars().count() > 1 && word.chars().all(|c| c.is_ascii_digit())
    };
    let mut names: Vec<&str> =
        words.filter(is_name).filter(|name| !PROPER.contains(name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What makes a pair of texts no pair of sentences.
fn faults(zh: &str, en: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut refuse = |is_wrong: bool, why: &str| is_wrong.then(|| faults.push(why.to_owned()));
    let is_trimmed = |text: &str| text.trim() == text && !text.is_empty();
    refuse(!is_trimmed(zh) || !is_trimmed(en), "one begins or ends with white space");
    refuse(is_chinese(en), "the English one has Chinese words");
    refuse(has_narrow_punctuation(zh), "the Chinese one has punctuation of half width");
    refuse(en.contains(|c: char| !c.is_ascii()), "the English one has punctuation of full width");
    refuse(zh.ends_with(['。', '，', '：', '；']), "the Chinese one ends with a mark");
    refuse(en.ends_with(['.', ',', ':', ';']), "the English one ends with a mark");
    let first = en.split(' ').next().unwrap_or_default();
    let is_lower = first.starts_with(|c: char| c.is_ascii_lowercase() || c == '{');
    let is_named = first.contains('_') || PROPER.contains(&first.trim_end_matches("'s"));
    let is_name = is_named || first.chars().all(|c| c.is_ascii_uppercase());
    refuse(!is_lower && !is_name, "the English one does not begin like a clause");
    let mut words = en.split(|c: char| !c.is_ascii_alphabetic());
    refuse(!words.any(|word| VERBS.contains(&word)), "the English one has no verb");
    let (in_zh, in_en) = (names(zh), names(en));
    if in_zh != in_en {
        faults.push(format!("they name different things: {in_zh:?} and {in_en:?}"));
    }
    faults
}

/// What one of the languages has a word for.
const PROPER: [&str; 5] = ["WeChat", "H5", "Alipay", "IP", "A-Z"];

/// Finite verbs, and the auxiliaries, of the texts.
const VERBS: [&str; 25] = [
    "is", "are", "was", "has", "must", "may", "cannot", "does", "do", "did", "came", "differs",
    "exceeds", "needs", "need", "lacks", "refused", "sent", "gave", "breaks", "can", "changed",
    "stands", "sends", "sets",
];

#[test]
fn what_clients_read_is_sentences_that_name_the_same_in_both_languages() {
    let mut broken = Vec::new();
    let mut count = 0;
    // The simulated providers speak as the real ones do.
    for file in sources().into_iter().filter(|file| file.part() != "mock") {
        for BilingualText { line, zh, en } in pairs(file) {
            count += 1;
            let faults = faults(&zh, &en).into_iter();
            broken.extend(faults.map(|why| format!("{}:{line}: {why}: {zh} | {en}", file.path)));
        }
    }
    assert!(count > 100, "only {count} texts were found");
    report("texts that are no sentences", &broken);
}

#[test]
fn a_fragment_or_a_text_that_names_less_than_its_pair_is_recognised() {
    for (zh, en) in [
        ("验签失败", "not verifiable"),
        ("请使用 POST", "use POST"),
        ("订单不存在。", "there is no such order."),
        ("没有 {name} 这个字段", "there is no such field"),
        ("缺少 openid,请重试", "the openid is missing"),
        ("refund_fee 必须是整数", "the fee must be a whole number"),
        ("请求体超过 64 字节", "the body is larger than 65 bytes"),
        ("订单不存在", "the order 不存在 is"),
        ("订单不存在", "There is no such order"),
        ("订单不存在 ", "there is no such order"),
    ] {
        assert!(!faults(zh, en).is_empty(), "{zh} | {en}");
    }
    assert_eq!(faults("没有 {name}（exp）", "there is no {name} (exp)"), Vec::<String>::new());
}
