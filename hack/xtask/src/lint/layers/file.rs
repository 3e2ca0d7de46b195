//! What one source file names: modules, and paths within its crate.

use std::str::FromStr;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// `mod name;`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    /// The modules in this file that it stands in.
    pub(super) within: Vec<String>,
    /// What `#[path]` says.
    pub(super) path: Option<String>,
    pub(super) is_test: bool,
}

/// A path as it is written, such as `super::scope::Reach`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) names: Vec<String>,
    /// The modules in this file that it stands in.
    pub(super) within: Vec<String>,
    /// From 1.
    pub(super) line: usize,
}

/// What a file names. Paths are those of code that is not only for tests.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) modules: Vec<Declared>,
    pub(super) paths: Vec<Written>,
}

/// Reads the text of a file.
///
/// # Errors
/// It is no sequence of Rust's tokens.
pub(super) fn read(text: &str) -> Result<Named> {
    let tokens = TokenStream::from_str(text).map_err(|error| anyhow!("line {}: {error}", error.span().start().line))?;
    let mut named = Named::default();
    named.block(&trees(tokens), &[], false);
    Ok(named)
}

fn trees(tokens: TokenStream) -> Vec<TokenTree> {
    tokens.into_iter().collect()
}

impl Named {
    /// What stands between two braces, or in a file.
    fn block(&mut self, mut tokens: &[TokenTree], within: &[String], is_test: bool) {
        while !tokens.is_empty() {
            let (attributes, item) = Attributes::before(tokens);
            let is_test = is_test || attributes.is_test;
            let inner = without_visibility(item);
            tokens = if is_word(inner.first(), "mod") {
                self.module(inner, within, attributes.path, is_test)
            } else if attributes.is_test {
                after_item(inner)
            } else if is_word(inner.first(), "use") {
                let (tree, rest) = until_semicolon(&inner[1..]);
                if !is_test {
                    self.tree(tree, &[], within);
                }
                rest
            } else {
                self.token(item, within, is_test)
            };
        }
    }

    fn module<'a>(
        &mut self,
        tokens: &'a [TokenTree],
        within: &[String],
        path: Option<String>,
        is_test: bool,
    ) -> &'a [TokenTree] {
        let Some(TokenTree::Ident(name)) = tokens.get(1) else { return &tokens[1..] };
        let name = name.to_string();
        if let Some(TokenTree::Group(group)) = tokens.get(2) {
            let within = [within, &[name]].concat();
            self.block(&trees(group.stream()), &within, is_test);
        } else {
            self.modules.push(Declared { name, within: within.to_vec(), path, is_test });
        }
        tokens.get(3..).unwrap_or_default()
    }

    /// One tree of a `use`, behind what stands before its brace.
    fn tree(&mut self, tokens: &[TokenTree], before: &[String], within: &[String]) {
        let mut names = before.to_vec();
        let mut line = None;
        let mut tokens = tokens.iter();
        while let Some(token) = tokens.next() {
            line = line.or(Some(token.span().start().line));
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    tokens.next();
                }
                TokenTree::Ident(word) if word == "self" && !names.is_empty() => {}
                TokenTree::Ident(word) => names.push(word.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => names.push("*".to_owned()),
                // The paths of other crates may begin with a colon.
                TokenTree::Punct(_) if names.is_empty() => names.push(String::new()),
                TokenTree::Group(group) => {
                    let parts = trees(group.stream());
                    let parts = parts.split(|token| is_punct(Some(token), ','));
                    return parts.filter(|part| !part.is_empty()).for_each(|part| self.tree(part, &names, within));
                }
                _ => {}
            }
        }
        if let Some(line) = line {
            self.paths.push(Written { names, within: within.to_vec(), line });
        }
    }

    /// Any other token: a group, or the beginning of a path.
    fn token<'a>(&mut self, tokens: &'a [TokenTree], within: &[String], is_test: bool) -> &'a [TokenTree] {
        let Some((first, mut rest)) = tokens.split_first() else { return tokens };
        if let TokenTree::Group(group) = first {
            self.block(&trees(group.stream()), within, is_test);
        }
        let TokenTree::Ident(word) = first else { return rest };
        if is_test || ![Some("crate"), Some("super"), Some("self")].contains(&Some(word.to_string().as_str())) {
            return rest;
        }
        let mut names = vec![word.to_string()];
        while let [TokenTree::Punct(one), TokenTree::Punct(two), TokenTree::Ident(name), after @ ..] = rest
            && one.as_char() == ':'
            && two.as_char() == ':'
        {
            names.push(name.to_string());
            rest = after;
        }
        if names.len() > 1 {
            self.paths.push(Written { names, within: within.to_vec(), line: first.span().start().line });
        }
        rest
    }
}

/// What the attributes of an item say.
#[derive(Debug, Default)]
struct Attributes {
    is_test: bool,
    path: Option<String>,
}

impl Attributes {
    /// Those at the beginning, and what comes behind them.
    fn before(mut tokens: &[TokenTree]) -> (Self, &[TokenTree]) {
        let mut attributes = Self::default();
        while let [TokenTree::Punct(hash), TokenTree::Group(group), rest @ ..] = tokens
            && hash.as_char() == '#'
            && group.delimiter() == Delimiter::Bracket
        {
            attributes.add(&trees(group.stream()));
            tokens = rest;
        }
        (attributes, tokens)
    }

    fn add(&mut self, tokens: &[TokenTree]) {
        match tokens {
            [TokenTree::Ident(name), TokenTree::Group(condition)] if name == "cfg" => {
                self.is_test |= needs_test(&trees(condition.stream()));
            }
            [TokenTree::Ident(name), TokenTree::Punct(_), TokenTree::Literal(path)] if name == "path" => {
                self.path = Some(path.to_string().trim_matches('"').to_owned());
            }
            _ => {}
        }
    }
}

/// Whether a condition holds in tests only: `test`, or `all` with it.
fn needs_test(condition: &[TokenTree]) -> bool {
    match condition {
        [TokenTree::Ident(name)] => name == "test",
        [TokenTree::Ident(name), TokenTree::Group(parts)] if name == "all" => {
            trees(parts.stream()).split(|token| is_punct(Some(token), ',')).any(needs_test)
        }
        _ => false,
    }
}

fn is_word(token: Option<&TokenTree>, text: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if word == text)
}

fn is_punct(token: Option<&TokenTree>, text: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == text)
}

fn without_visibility(tokens: &[TokenTree]) -> &[TokenTree] {
    match tokens {
        [TokenTree::Ident(word), TokenTree::Group(group), rest @ ..]
            if word == "pub" && group.delimiter() == Delimiter::Parenthesis =>
        {
            rest
        }
        [TokenTree::Ident(word), rest @ ..] if word == "pub" => rest,
        _ => tokens,
    }
}

fn until_semicolon(tokens: &[TokenTree]) -> (&[TokenTree], &[TokenTree]) {
    let end = tokens.iter().position(|token| is_punct(Some(token), ';')).unwrap_or(tokens.len());
    (&tokens[..end], tokens.get(end + 1..).unwrap_or_default())
}

/// What comes behind an item or a statement: it ends with a semicolon or a body.
fn after_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let is_function = tokens.iter().take(3).any(|token| is_word(Some(token), "fn"));
    let has_value = ["use", "const", "static", "type", "let"].iter().any(|word| is_word(tokens.first(), word));
    if has_value && !is_function {
        return until_semicolon(tokens).1;
    }
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        other => is_punct(Some(other), ';'),
    };
    let end = tokens.iter().position(is_end).unwrap_or(tokens.len());
    tokens.get(end + 1..).unwrap_or_default()
}
