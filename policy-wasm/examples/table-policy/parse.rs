//! Reads a table. Every error says line and column, what was found and what was wanted. Nothing is guessed, and what a table may cost
//! is bound here: its size, its rules, its tests and how deep conditions stand within one another.

use crate::bindings::{Endpoint, Method, OutcomeKind};
use crate::table::*;

const MAX_BYTES: usize = 64 * 1024;
const MAX_RULES: usize = 1000;
const MAX_TESTS: usize = 5000;
const MAX_DEPTH: usize = 16;
const MAX_NAME: usize = 64;

const ENDPOINTS: [(&str, Endpoint); 3] = [("wireserver", Endpoint::Wireserver), ("hostga", Endpoint::Hostga), ("imds", Endpoint::Imds)];
const METHODS: [(&str, Method); 7] = [
    ("get", Method::Get),
    ("head", Method::Head),
    ("post", Method::Post),
    ("put", Method::Put),
    ("delete", Method::Delete),
    ("options", Method::Options),
    ("patch", Method::Patch),
];
const KINDS: [(&str, OutcomeKind); 3] = [("allow", OutcomeKind::Allow), ("deny", OutcomeKind::Deny), ("abstain", OutcomeKind::Abstain)];
const DECISIONS: [(&str, Decision); 3] = [("allow", Decision::Allow), ("deny", Decision::Deny), ("abstain", Decision::Abstain)];
const TESTS: &str = "not, \"(\", endpoint, method, path, query, header, user, group, executable, process, sha256, cgroup, elevated, uptime or so-far";

pub fn parse_table(settings: &[u8]) -> Result<Table, String> {
    if settings.len() > MAX_BYTES {
        return Err(format!("found {} bytes, want at most {}", settings.len(), MAX_BYTES));
    }
    let text = std::str::from_utf8(settings).map_err(|error| format!("byte {}: found no UTF-8", error.valid_up_to() + 1))?;
    let mut parser = Parser { tokens: tokenize(text)?, at: 0, tests: 0 };
    parser.table()
}

#[derive(Clone, PartialEq, Debug)]
enum Kind {
    Word,
    Text,
    Number(u64),
    Sign,
    End,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    text: String,
    line: usize,
    column: usize,
}

impl Token {
    fn refuse(&self, wanted: &str) -> String {
        let found = match self.kind {
            Kind::End => "the end".to_string(),
            Kind::Text => format!("the text \"{}\"", shorten(&self.text)),
            _ => format!("\"{}\"", shorten(&self.text)),
        };
        format!("line {}, column {}: found {}, want {}", self.line, self.column, found, wanted)
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_default).collect()
}

fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let chars: Vec<char> = line.strip_suffix('\r').unwrap_or(line).chars().collect();
        let mut at = 0;
        while at < chars.len() {
            let column = at + 1;
            let mut push = |kind, text| tokens.push(Token { kind, text, line: index + 1, column });
            let c = chars[at];
            if c == ' ' || c == '\t' {
                at += 1;
            } else if c == '#' {
                break;
            } else if matches!(c, '(' | ')' | ',') {
                push(Kind::Sign, c.to_string());
                at += 1;
            } else if c == '"' {
                let mut value = String::new();
                at += 1;
                loop {
                    match chars.get(at) {
                        None => return Err(format!("line {}, column {}: found a text without end, want '\"'", index + 1, column)),
                        Some('"') => break,
                        Some('\\') => match chars.get(at + 1) {
                            Some(escaped) if matches!(escaped, '"' | '\\') => {
                                value.push(*escaped);
                                at += 2;
                            }
                            _ => return Err(format!("line {}, column {}: found '\\', want '\\\\' or '\\\"'", index + 1, at + 1)),
                        },
                        Some(c) if c.is_control() => return Err(format!("line {}, column {}: found a control character", index + 1, at + 1)),
                        Some(c) => {
                            value.push(*c);
                            at += 1;
                        }
                    }
                }
                at += 1;
                push(Kind::Text, value);
            } else if c.is_ascii_digit() || c.is_ascii_lowercase() {
                let word: String = chars[at..].iter().take_while(|c| matches!(c, 'a'..='z' | '0'..='9' | '-')).collect();
                at += word.len();
                let kind = if word.bytes().all(|byte| byte.is_ascii_digit()) {
                    Kind::Number(word.parse().map_err(|_| format!("line {}, column {}: found a number above 64 bits", index + 1, column))?)
                } else {
                    Kind::Word
                };
                push(kind, word);
            } else {
                let found: String = c.escape_default().collect();
                return Err(format!("line {}, column {}: found \"{}\", want a word, a \"text\", a number or a sign", index + 1, column, found));
            }
        }
    }
    let line = text.split('\n').count();
    tokens.push(Token { kind: Kind::End, text: String::new(), line, column: text.rsplit('\n').next().map_or(1, |last| last.chars().count() + 1) });
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    tests: usize,
}

impl Parser {
    fn table(&mut self) -> Result<Table, String> {
        let mut rules: Vec<Rule> = Vec::new();
        loop {
            let token = self.take();
            if token.kind == Kind::Word && token.text == "default" {
                let default = self.choice(&DECISIONS)?;
                let end = self.take();
                return if end.kind == Kind::End { Ok(Table { rules, default }) } else { Err(end.refuse("nothing after the default")) };
            }
            let decision = find(&DECISIONS, &token).ok_or_else(|| token.refuse("allow, deny, abstain or default"))?;
            if rules.len() == MAX_RULES {
                return Err(token.refuse(&format!("at most {} rules", MAX_RULES)));
            }
            let name = self.take();
            if name.kind != Kind::Word || name.text.len() > MAX_NAME {
                return Err(name.refuse(&format!("a name of a-z, 0-9 and -, not a number, at most {} long", MAX_NAME)));
            }
            if rules.iter().any(|rule| rule.name == name.text) {
                return Err(name.refuse("each name once"));
            }
            self.word("when")?;
            let condition = self.any(0)?;
            rules.push(Rule { decision, name: name.text, condition });
        }
    }

    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.all(depth)?];
        while self.skip("or") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.part(depth)?];
        while self.skip("and") {
            parts.push(self.part(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
    }

    fn part(&mut self, depth: usize) -> Result<Condition, String> {
        let token = self.take();
        if depth == MAX_DEPTH {
            return Err(token.refuse(&format!("conditions at most {} deep", MAX_DEPTH)));
        }
        if token.kind == Kind::Word && token.text == "not" {
            return Ok(Condition::Not(Box::new(self.part(depth + 1)?)));
        }
        if token.kind == Kind::Sign && token.text == "(" {
            let inner = self.any(depth + 1)?;
            let close = self.take();
            return if close.kind == Kind::Sign && close.text == ")" { Ok(inner) } else { Err(close.refuse("and, or or \")\"")) };
        }
        self.tests += 1;
        if self.tests > MAX_TESTS {
            return Err(token.refuse(&format!("at most {} tests", MAX_TESTS)));
        }
        Ok(Condition::Test(self.test(&token)?))
    }

    fn test(&mut self, subject: &Token) -> Result<Test, String> {
        if subject.kind != Kind::Word {
            return Err(subject.refuse(TESTS));
        }
        match subject.text.as_str() {
            "elevated" => Ok(Test::Elevated),
            "endpoint" => Ok(Test::Endpoint(self.choices(&ENDPOINTS)?)),
            "method" => Ok(Test::Method(self.choices(&METHODS)?)),
            "so-far" => Ok(Test::SoFar(self.choices(&KINDS)?)),
            "path" => self.paths(|c| c.is_ascii_graphic() && !c.is_ascii_uppercase() && !matches!(c, '?' | '%' | ';' | '\\'), "/path in lower case, as it is after decoding").map(|(compare, paths)| Test::Path(compare, paths)),
            "executable" => self.paths(|c| !c.is_control(), "/path").map(|(compare, paths)| Test::Executable(compare, paths)),
            "cgroup" => self.paths(|c| !c.is_control(), "/path").map(|(compare, paths)| Test::Cgroup(compare, paths)),
            "user" => Ok(Test::User(self.texts(|_| true, "a name")?)),
            "group" => Ok(Test::Group(self.texts(|_| true, "a name")?)),
            "process" => Ok(Test::Process(self.texts(|text| !text.contains('/'), "a name without /")?)),
            "sha256" => Ok(Test::Sha256(self.texts(|text| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "64 digits of lower-case hex")?)),
            "query" => {
                let name = self.text(is_folded, "a name in lower case")?;
                if self.skip("exists") {
                    return Ok(Test::QueryExists(name));
                }
                Ok(Test::QueryIs(name, self.folded_or_empty()?))
            }
            "header" => {
                let name = self.text(is_folded, "a name in lower case")?;
                Ok(Test::HeaderIs(name, self.texts(|_| true, "a value")?))
            }
            "uptime" => {
                let compare = self.take();
                let number = self.take();
                let seconds = if let Kind::Number(seconds) = number.kind { seconds } else { return Err(number.refuse("seconds")) };
                match compare.text.as_str() {
                    "below" => Ok(Test::UptimeBelow(seconds)),
                    "above" => Ok(Test::UptimeAbove(seconds)),
                    _ => Err(compare.refuse("below or above")),
                }
            }
            _ => Err(subject.refuse(TESTS)),
        }
    }

    /// `is` or `under`, then paths.
    fn paths(&mut self, allowed: fn(char) -> bool, wanted: &str) -> Result<(Compare, Vec<Vec<String>>), String> {
        let compare = if self.skip("under") {
            Compare::Under
        } else if self.skip("is") {
            Compare::Is
        } else {
            return Err(self.peek().refuse("is or under"));
        };
        let wanted = format!("\"{}\", without //, . and .. in it and without / at its end", wanted);
        let mut paths = Vec::new();
        loop {
            let token = self.take();
            let rest = match token.text.strip_prefix('/') {
                Some(rest) if token.kind == Kind::Text && rest.chars().all(allowed) => rest,
                _ => return Err(token.refuse(&wanted)),
            };
            let segments: Vec<String> = if rest.is_empty() { Vec::new() } else { rest.split('/').map(str::to_string).collect() };
            if segments.iter().any(|segment| matches!(segment.as_str(), "" | "." | "..")) {
                return Err(token.refuse(&wanted));
            }
            paths.push(segments);
            if !self.skip(",") {
                return Ok((compare, paths));
            }
        }
    }

    /// `is`, then texts that are not empty.
    fn texts(&mut self, fits: fn(&str) -> bool, wanted: &str) -> Result<Vec<String>, String> {
        self.word("is")?;
        let mut texts = vec![self.text(fits, wanted)?];
        while self.skip(",") {
            texts.push(self.text(fits, wanted)?);
        }
        Ok(texts)
    }

    /// Values of the query: A-Z are folded before a module sees them, so one with capitals would never fit.
    fn folded_or_empty(&mut self) -> Result<Vec<String>, String> {
        self.word("is")?;
        let mut texts = Vec::new();
        loop {
            let token = self.take();
            if token.kind != Kind::Text || token.text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(token.refuse("a \"text\" in lower case"));
            }
            texts.push(token.text);
            if !self.skip(",") {
                return Ok(texts);
            }
        }
    }

    fn text(&mut self, fits: fn(&str) -> bool, wanted: &str) -> Result<String, String> {
        let token = self.take();
        if token.kind == Kind::Text && !token.text.is_empty() && fits(&token.text) {
            return Ok(token.text);
        }
        Err(token.refuse(&format!("{} in \"\"", wanted)))
    }

    /// `is`, then words.
    fn choices<T: Copy>(&mut self, known: &[(&str, T)]) -> Result<Vec<T>, String> {
        self.word("is")?;
        let mut values = vec![self.choice(known)?];
        while self.skip(",") {
            values.push(self.choice(known)?);
        }
        Ok(values)
    }

    fn choice<T: Copy>(&mut self, known: &[(&str, T)]) -> Result<T, String> {
        let token = self.take();
        find(known, &token).ok_or_else(|| token.refuse(&known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")))
    }

    fn word(&mut self, text: &str) -> Result<(), String> {
        let token = self.take();
        if token.kind == Kind::Word && token.text == text {
            return Ok(());
        }
        Err(token.refuse(text))
    }

    fn skip(&mut self, text: &str) -> bool {
        let found = matches!(self.peek().kind, Kind::Word | Kind::Sign) && self.peek().text == text;
        if found {
            self.at += 1;
        }
        found
    }

    fn peek(&self) -> &Token {
        // INVARIANT: the last token is the end, and it is never passed.
        &self.tokens[self.at]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }
}

fn find<T: Copy>(known: &[(&str, T)], token: &Token) -> Option<T> {
    known.iter().find(|(name, _)| token.kind == Kind::Word && token.text == *name).map(|(_, value)| *value)
}

fn is_folded(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_uppercase())
}
