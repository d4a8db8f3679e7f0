//! Writes a document as Markdown that means nothing but the document: CommonMark and its usual extensions find
//! nothing active in it that is not a link of the document's.

use super::layout::{self, Leaves};
use super::{CodeText, Document, Inline, Span};
use std::borrow::Cow;

/// Ends with a line feed, unless it is empty.
pub fn write(document: &Document) -> String {
    layout::write(document, &Dialect::CommonMark)
}

/// Whose Markdown: all of them read CommonMark, but for what stands here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    CommonMark,
    /// Reads `&`, `<` and `>` before it reads Markdown, in code too; see [`super::slack`].
    Slack,
    /// Has no code, and ends a line by an empty one; see [`super::card`].
    Card,
}

impl Leaves for Dialect {
    fn line(&self, text: &[Inline]) -> String {
        line(text, *self)
    }

    fn heading(&self, level: u8, text: &[Inline]) -> String {
        format!("{} {}", "#".repeat(usize::from(level)), line(text, *self))
    }

    fn code(&self, code: &CodeText) -> String {
        let fence = "`".repeat(longest_run(code.as_str(), '`').max(2) + 1);
        format!("{fence}\n{}\n{fence}", self.verbatim(code.as_str()))
    }
}

impl Dialect {
    /// How text stands where Markdown means nothing, in code.
    fn verbatim(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::CommonMark | Self::Card => text.into(),
            Self::Slack => super::slack::unmentioned(text)
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .into(),
        }
    }

    fn url(self, url: &str) -> Cow<'_, str> {
        match self {
            Self::CommonMark | Self::Card => url.into(),
            // Nobody is mentioned; to a server it is the same.
            Self::Slack => url.replace('@', "%40").into(),
        }
    }

    fn line_break(self) -> &'static str {
        match self {
            Self::CommonMark => "\\\n",
            // Not documented which of CommonMark's two it takes; this one does not show.
            Self::Slack => "  \n",
            Self::Card => "\n\n",
        }
    }
}

fn longest_run(text: &str, of: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

fn line(inlines: &[Inline], dialect: Dialect) -> String {
    let mut line = Writer::new(dialect);
    for inlines in inlines.chunk_by(|a, b| matches!((a, b), (Inline::Text(_), Inline::Text(_)))) {
        match inlines {
            [Inline::Break] => line.break_line(),
            [Inline::Link { url, text }] => line.link(url.as_str(), text.iter()),
            texts => line.spans(texts.iter().filter_map(|inline| match inline {
                Inline::Text(span) => Some(span),
                Inline::Link { .. } | Inline::Break => None,
            })),
        }
    }
    line.finish()
}

/// A line in the making. Whether an emphasis can be written depends on what comes to stand beside its marks, so
/// they are decided on last.
struct Writer {
    dialect: Dialect,
    tokens: Vec<Token>,
    /// Of each emphasis, whether it is written.
    written: Vec<bool>,
    /// What of the line has been written, as far as it could begin a block.
    at: At,
}

enum Token {
    Text(String),
    /// Of the emphasis of this number.
    Open(&'static str, usize),
    Close(&'static str, usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// Behind digits, and nothing else.
    Number,
    Inside,
}

const STRONG: &str = "**";
/// Another character than strong's: two marks that meet never run into one.
const EMPHASIS: &str = "_";

impl Writer {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, tokens: Vec::new(), written: Vec::new(), at: At::Start }
    }

    fn break_line(&mut self) {
        self.tokens.push(Token::Text(self.dialect.line_break().to_owned()));
        self.at = At::Start;
    }

    fn link<'a>(&mut self, url: &str, text: impl Iterator<Item = &'a Span>) {
        let last = self.tokens.iter_mut().rev().find_map(|token| match token {
            Token::Text(text) => Some(text),
            Token::Open(..) | Token::Close(..) => None,
        });
        if let Some(text) = last
            && text.ends_with('!')
        {
            // It would make an image of the link.
            text.truncate(text.len() - 1);
            text.push_str("\\!");
        }
        self.at = At::Inside;
        self.tokens.push(Token::Text("[".to_owned()));
        self.spans(text);
        self.tokens.push(Token::Text(format!("]({})", self.dialect.url(url))));
    }

    fn spans<'a>(&mut self, spans: impl Iterator<Item = &'a Span>) {
        let (mut strong, mut emphasis) = (None, None);
        for span in spans {
            let style = span.style();
            if style.strong != strong.is_some() {
                self.close(EMPHASIS, &mut emphasis);
                self.close(STRONG, &mut strong);
                self.open(STRONG, style.strong, &mut strong);
            }
            if style.emphasis != emphasis.is_some() {
                self.close(EMPHASIS, &mut emphasis);
                self.open(EMPHASIS, style.emphasis, &mut emphasis);
            }
            let code = style.code && self.dialect != Dialect::Card;
            let text = if code { self.code(span.text()) } else { self.escaped(span.text()) };
            self.tokens.push(Token::Text(text));
        }
        self.close(EMPHASIS, &mut emphasis);
        self.close(STRONG, &mut strong);
    }

    fn open(&mut self, mark: &'static str, wanted: bool, number: &mut Option<usize>) {
        if wanted {
            *number = Some(self.written.len());
            self.tokens.push(Token::Open(mark, self.written.len()));
            self.written.push(true);
        }
    }

    fn close(&mut self, mark: &'static str, number: &mut Option<usize>) {
        if let Some(number) = number.take() {
            self.tokens.push(Token::Close(mark, number));
        }
    }

    /// Inside code nothing has a meaning but its end.
    fn code(&mut self, text: &str) -> String {
        self.at = At::Inside;
        let fence = "`".repeat(longest_run(text, '`') + 1);
        let edge = |c| c == '`' || c == ' ';
        let pad = if text.starts_with(edge) || text.ends_with(edge) { " " } else { "" };
        format!("{fence}{pad}{}{pad}{fence}", self.dialect.verbatim(text))
    }

    fn escaped(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        let slack = self.dialect == Dialect::Slack;
        let text = if slack { super::slack::unmentioned(text) } else { text.into() };
        for c in text.chars() {
            // Where code has no form, a line may begin with a space of it, which would count as one of Markdown's.
            if c == ' ' && self.at == At::Start {
                out.push('\u{a0}');
                continue;
            }
            let entity = match c {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                _ => "",
            };
            if slack && !entity.is_empty() {
                out.push_str(entity);
                self.at = At::Inside;
                continue;
            }
            let active = match c {
                // Inlines of CommonMark, GFM, and the extensions for maths, sub- and superscript, and attributes.
                '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '~' | '|' | '#' | '{' | '}' => true,
                '^' | '$' => !slack,
                // Bullets, underlines of headings, rules, metadata, definitions.
                '-' | '+' | '=' | ':' => self.at == At::Start,
                '.' | ')' => self.at == At::Number,
                _ => false,
            };
            if active {
                out.push('\\');
            }
            out.push(c);
            self.at = match self.at {
                At::Start | At::Number if c.is_ascii_digit() => At::Number,
                _ => At::Inside,
            };
        }
        out
    }

    fn finish(mut self) -> String {
        // A mark that is left out changes what stands beside others; when it does not settle, none is written.
        for _ in 0..4 {
            let impossible = self.impossible();
            if impossible.is_empty() {
                return self.text();
            }
            for number in impossible {
                self.written[number] = false;
            }
        }
        self.written.fill(false);
        self.text()
    }

    fn text(&self) -> String {
        self.shown().map(|(text, _)| text).collect()
    }

    /// What is written: each token's text, and the emphasis that it is a mark of.
    fn shown(&self) -> impl Iterator<Item = (&str, Option<&Token>)> {
        self.tokens.iter().filter_map(|token| match token {
            Token::Text(text) => Some((text.as_str(), None)),
            Token::Open(mark, number) | Token::Close(mark, number) => {
                self.written[*number].then_some((*mark, Some(token)))
            }
        })
    }

    /// The emphases whose marks would be taken for text where they stand, by CommonMark's rules of flanking. Where
    /// these ask for Unicode's punctuation, less is taken for certain than they would allow.
    fn impossible(&self) -> Vec<usize> {
        let shown: Vec<_> = self.shown().filter(|(text, _)| !text.is_empty()).collect();
        let mut impossible = Vec::new();
        for (index, (_, token)) in shown.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|index| shown.get(index));
            let after = shown.get(index + 1);
            let last = before.and_then(|(text, _)| text.chars().next_back());
            let first = after.and_then(|(text, _)| text.chars().next());
            let (mark, number, inside, outside, neighbour) = match token {
                Some(Token::Open(mark, number)) => (*mark, *number, first, last, before),
                Some(Token::Close(mark, number)) => (*mark, *number, last, first, after),
                Some(Token::Text(_)) | None => continue,
            };
            // Where strong changed between two emphases and is not written, their marks would be one run.
            let run_together = neighbour.is_some_and(|(text, token)| token.is_some() && *text == mark);
            let beside_text = inside.is_some_and(|c| !c.is_whitespace());
            let at_edge = outside.is_none_or(|c| c == ' ' || c == '\n' || c.is_ascii_punctuation());
            let between_words = mark == STRONG && inside.is_some_and(is_letter);
            if run_together || !(beside_text && (at_edge || between_words)) {
                impossible.push(number);
            }
        }
        impossible
    }
}

/// Surely no punctuation. (Enclosed letters are symbols, and letters too.)
fn is_letter(c: char) -> bool {
    c.is_alphanumeric() && !matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f189}')
}
