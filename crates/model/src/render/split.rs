//! Splits a document for targets that take only so much at once.
//!
//! The document is taken apart into units: first each paragraph, heading and block of code with where it stands.
//! Parts are put together of as many units as fit, and a unit that is too large for a part of its own is cut finer.

use super::{Block, CodeText, Document, Inline, Span, Style, clean};
use std::ops::Range;
use std::rc::Rc;
use unicode_segmentation::UnicodeSegmentation;

/// Splits into documents, none of them empty unless the whole is, of which `measure` says at most `max`: how long
/// the target's writer makes one, in the target's unit.
///
/// All of the text is in them, in its order; only spaces and line breaks where a paragraph or a block of code is cut
/// are left out. Cuts are between blocks if they can be, the outermost first, then between the lines of a block, then
/// its words, then its graphemes, then its characters. A single character that does not fit even so loses the spaces
/// around it; if that is not enough, it is, with what it stands in, a part that measures more. A part does not end with
/// a heading, unless nothing fits below one. Numbered lists go on with their numbers; an item that is cut has its number
/// on each part.
///
/// `measure` is called with about each part a few times, and should grow with the text.
pub fn split(document: Document, max: usize, measure: impl Fn(&Document) -> usize) -> Vec<Document> {
    split_off(document, max, usize::MAX, measure)
}

/// The first `most` of these documents; what would be in others is not looked at.
pub fn split_off(
    document: Document,
    max: usize,
    most: usize,
    measure: impl Fn(&Document) -> usize,
) -> Vec<Document> {
    if measure(&document) <= max {
        return vec![document];
    }
    let empty = measure(&Document::default());
    let mut splitter =
        Splitter { waiting: Vec::new(), window: Vec::new(), max, empty, measure, per_weight: 1.0 };
    take_apart(document.blocks, &mut Vec::new(), &mut 0, &mut splitter.waiting);
    splitter.waiting.reverse();
    let parts: Vec<Document> = std::iter::from_fn(|| splitter.next_part()).take(most).collect();
    if parts.is_empty() { vec![Document::default()] } else { parts }
}

/// A piece of the document that is not cut, for now.
struct Unit {
    /// From the outermost.
    within: Rc<[Step]>,
    /// The number of the paragraph, heading or block of code that it is, or is a piece of.
    leaf: usize,
    content: Content,
    /// How finely it was cut off from what stands before it.
    cut: Cut,
    /// About how much there is to write.
    weight: usize,
}

/// What a unit stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Step {
    /// The quote's or list's own number.
    id: usize,
    kind: StepKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StepKind {
    Quote,
    Item { start: Option<u64>, index: usize },
}

enum Content {
    Paragraph(Vec<Inline>),
    Heading(u8, Vec<Inline>),
    /// Lines; a line feed at the end says that another one follows.
    Code(String),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Block,
    Line,
    /// Some words together.
    Phrase,
    Word,
    /// Some graphemes together.
    Stretch,
    Grapheme,
    Char,
}

impl Cut {
    fn finer(self) -> Option<Self> {
        match self {
            Self::Block => Some(Self::Line),
            Self::Line => Some(Self::Phrase),
            Self::Phrase => Some(Self::Word),
            Self::Word => Some(Self::Stretch),
            Self::Stretch => Some(Self::Grapheme),
            Self::Grapheme => Some(Self::Char),
            Self::Char => None,
        }
    }

    /// Where the text may be cut, the end included.
    fn of(self, text: &str) -> Vec<Range<usize>> {
        let pieces: Vec<&str> = match self {
            Self::Block => vec![text],
            Self::Line => text.split_inclusive('\n').collect(),
            Self::Phrase | Self::Word => text.split_inclusive([' ', '\n']).collect(),
            Self::Stretch | Self::Grapheme => text.graphemes(true).collect(),
            Self::Char => text.split_inclusive(|_| true).collect(),
        };
        let mut end = 0;
        let ranges = pieces.iter().map(|piece| {
            let start = end;
            end += piece.len();
            start..end
        });
        ranges.collect()
    }

    /// How many bytes a piece has at least: a long text is not cut into all of its words or graphemes at once.
    fn least(self) -> usize {
        match self {
            Self::Phrase | Self::Stretch => 256,
            _ => 1,
        }
    }
}

fn take_apart(blocks: Vec<Block>, within: &mut Vec<Step>, ids: &mut usize, units: &mut Vec<Unit>) {
    let path: Rc<[Step]> = within.as_slice().into();
    for block in blocks {
        *ids += 1;
        let id = *ids;
        let content = match block {
            Block::Paragraph(text) => Content::Paragraph(text),
            Block::Heading { level, text } => Content::Heading(level, text),
            Block::Code(CodeText(code)) => Content::Code(code),
            Block::Quote(blocks) => {
                within.push(Step { id, kind: StepKind::Quote });
                take_apart(blocks, within, ids, units);
                within.pop();
                continue;
            }
            Block::List { start, items } => {
                for (index, item) in items.into_iter().enumerate() {
                    within.push(Step { id, kind: StepKind::Item { start, index } });
                    take_apart(item, within, ids, units);
                    within.pop();
                }
                continue;
            }
        };
        units.push(Unit::new(&path, id, content, Cut::Block));
    }
}

struct Splitter<M> {
    /// The last one is next.
    waiting: Vec<Unit>,
    /// The units that the next part may be of, from its start.
    window: Vec<Unit>,
    max: usize,
    /// What an empty document measures.
    empty: usize,
    measure: M,
    /// What a unit's weight came to measure, of late.
    per_weight: f64,
}

impl<M: Fn(&Document) -> usize> Splitter<M> {
    fn next_part(&mut self) -> Option<Document> {
        loop {
            if self.fill(1) == 0 {
                return None;
            }
            let count = self.fitting();
            if count == 0 {
                if self.cut(0) {
                    continue;
                }
                return Some(self.take(1));
            }
            if self.fill(count + 1) == count {
                return Some(self.take(count));
            }
            return match self.end(count) {
                Some(end) if end == count || self.measured(end) <= self.max => Some(self.take(end)),
                // Nothing but headings: what stands below them begins here, if a piece of it can.
                None if !self.window.get(count).is_some_and(Unit::is_heading) && self.cut(count) => continue,
                _ => Some(self.take(count)),
            };
        }
    }

    /// Has this many units in the window if there are so many left, and says how many there are up to this number.
    fn fill(&mut self, count: usize) -> usize {
        while self.window.len() < count {
            match self.waiting.pop() {
                Some(unit) => self.window.push(unit),
                None => break,
            }
        }
        count.min(self.window.len())
    }

    /// How many units fit, or nearly so many. It measures a few guesses, the first by what was measured before.
    fn fitting(&mut self) -> usize {
        let (mut fits, mut over) = (0, usize::MAX);
        for round in 0.. {
            let guess = match round {
                0..4 => self.guess(),
                _ if over == usize::MAX => fits * 2,
                _ => fits + (over - fits) / 2,
            };
            let wanted = guess.clamp(fits + 1, over - 1);
            let count = self.fill(wanted);
            if count <= fits {
                break;
            }
            let size = self.measured(count);
            let weight: usize = self.window.iter().take(count).map(|unit| unit.weight).sum();
            self.per_weight = (size.saturating_sub(self.empty) as f64 / weight.max(1) as f64).max(0.01);
            if size <= self.max {
                fits = count;
                let full = size.saturating_mul(8) >= self.max.saturating_mul(7);
                if full || count < wanted || round > 8 {
                    break;
                }
            } else {
                over = count;
            }
            if fits + 1 >= over {
                break;
            }
        }
        fits
    }

    /// How many units should come to measure a little less than `max`.
    fn guess(&mut self) -> usize {
        let room = 0.97 * self.max.saturating_sub(self.empty) as f64 / self.per_weight;
        let (mut count, mut weight) = (0, 0.0);
        while weight <= room && self.fill(count + 1) > count {
            weight += self.window.get(count).map_or(0.0, |unit| unit.weight as f64);
            count += 1;
        }
        if weight > room { count - 1 } else { count }
    }

    fn measured(&self, count: usize) -> usize {
        (self.measure)(&self.document(count))
    }

    fn document(&self, count: usize) -> Document {
        let units: Vec<&Unit> = self.window.iter().take(count).collect();
        Document { blocks: put_together(&units, 0) }
    }

    fn take(&mut self, count: usize) -> Document {
        let part = self.document(count);
        self.window.drain(..count);
        part
    }

    /// Where a part of at most this many units is best ended: not behind a heading; not before half of it, if it can
    /// be helped; where least is cut through; and late. None if there are only headings.
    fn end(&self, count: usize) -> Option<usize> {
        let all: usize = self.window.iter().take(count).map(|unit| unit.weight).sum();
        let (mut weight, mut best) = (0, None);
        for (at, pair) in self.window.windows(2).take(count).enumerate() {
            let [last, next] = pair else { continue };
            weight += last.weight;
            if last.is_heading() {
                continue;
            }
            let cost = (weight * 2 < all, last.binding(next));
            if best.is_none_or(|(least, _)| cost <= least) {
                best = Some((cost, at + 1));
            }
        }
        best.map(|(_, end)| end)
    }

    /// Makes the unit smaller, by cutting it finer if it can be; says whether it could.
    fn cut(&mut self, at: usize) -> bool {
        let Some(unit) = self.window.get(at) else { return false };
        let mut by = unit.cut;
        while let Some(finer) = by.finer() {
            let pieces = unit.pieces(finer);
            if pieces.len() > 1 {
                // What stands behind the pieces has to wait, so that the window stays as small as a part.
                self.waiting.extend(self.window.drain(at + 1..).rev());
                self.window.pop();
                self.waiting.extend(pieces.into_iter().rev());
                return true;
            }
            by = finer;
        }
        // What does not fit may be the spaces around a character, or nothing but spaces.
        let trimmed = unit.trimmed();
        if trimmed.weight == unit.weight {
            return false;
        }
        let shown = trimmed.shows().then_some(trimmed);
        self.window.splice(at..=at, shown);
        true
    }
}

impl Unit {
    fn new(within: &Rc<[Step]>, leaf: usize, content: Content, cut: Cut) -> Self {
        // Markup counts too.
        let weight = 8 + match &content {
            Content::Paragraph(text) | Content::Heading(_, text) => text.iter().map(weight).sum(),
            Content::Code(code) => code.len(),
        };
        Self { within: Rc::clone(within), leaf, content, cut, weight }
    }

    fn is_heading(&self) -> bool {
        matches!(self.content, Content::Heading(..))
    }

    fn shows(&self) -> bool {
        match &self.content {
            Content::Paragraph(text) | Content::Heading(_, text) => !text.is_empty(),
            Content::Code(code) => !code.is_empty(),
        }
    }

    /// Without the spaces at its ends.
    fn trimmed(&self) -> Self {
        let trimmed = |text: &[Inline]| {
            let mut text = text.to_vec();
            trim(&mut text);
            text
        };
        let content = match &self.content {
            Content::Paragraph(text) => Content::Paragraph(trimmed(text)),
            Content::Heading(level, text) => Content::Heading(*level, trimmed(text)),
            Content::Code(code) => Content::Code(code.trim().to_owned()),
        };
        Self::new(&self.within, self.leaf, content, self.cut)
    }

    /// How much is cut through between the two: lists, items and quotes that both stand in, and the finest cut last.
    fn binding(&self, next: &Self) -> (usize, Cut) {
        if self.leaf == next.leaf {
            return (usize::MAX, next.cut);
        }
        let mut common = 0;
        for (a, b) in self.within.iter().zip(next.within.iter()) {
            if a.id != b.id {
                break;
            }
            common += 1;
            if a != b {
                break;
            }
            common += 1;
        }
        (common, Cut::Block)
    }

    fn pieces(&self, cut: Cut) -> Vec<Self> {
        let contents: Vec<Content> = match &self.content {
            Content::Paragraph(text) => cut_line(text, cut).into_iter().map(Content::Paragraph).collect(),
            Content::Heading(level, text) => {
                cut_line(text, cut).into_iter().map(|text| Content::Heading(*level, text)).collect()
            }
            Content::Code(code) => cut_code(code, cut).into_iter().map(Content::Code).collect(),
        };
        let pieces = contents.into_iter().enumerate().map(|(index, content)| {
            // The first one is bound to what stands before it as this was; no piece is a whole block.
            let cut = if index == 0 && self.cut != Cut::Block { self.cut } else { cut };
            Self::new(&self.within, self.leaf, content, cut)
        });
        pieces.collect()
    }
}

fn weight(inline: &Inline) -> usize {
    match inline {
        Inline::Text(span) => span.text.len() + 2,
        Inline::Link { url, text } => {
            4 + url.as_str().len() + text.iter().map(|span| span.text.len()).sum::<usize>()
        }
        Inline::Break => 2,
    }
}

/// Pieces that each show something: what does not is a part of the next one, or of the last.
fn cut_line(text: &[Inline], cut: Cut) -> Vec<Vec<Inline>> {
    let (mut pieces, mut piece, mut shown) = (Vec::new(), Vec::new(), 0);
    for inline in text {
        let span = match inline {
            Inline::Break => {
                piece.push(Inline::Break);
                if shown > 0 && cut <= Cut::Line {
                    pieces.push(std::mem::take(&mut piece));
                    shown = 0;
                }
                continue;
            }
            Inline::Text(span) => std::slice::from_ref(span),
            Inline::Link { text, .. } => text.as_slice(),
        };
        for span in span {
            let ranges = if cut <= Cut::Line { Cut::Block.of(&span.text) } else { cut.of(&span.text) };
            for range in ranges {
                let text = span.text.get(range).unwrap_or_default();
                shown += text.trim().len();
                let ends = match cut {
                    Cut::Block | Cut::Line => false,
                    Cut::Phrase | Cut::Word => text.ends_with(' '),
                    Cut::Stretch | Cut::Grapheme | Cut::Char => true,
                };
                let part = Span { text: text.to_owned(), style: span.style };
                add(&mut piece, inline, part);
                if ends && shown >= cut.least() {
                    pieces.push(std::mem::take(&mut piece));
                    shown = 0;
                }
            }
        }
    }
    match pieces.last_mut() {
        Some(last) if shown == 0 => last.append(&mut piece),
        _ if piece.is_empty() => {}
        _ => pieces.push(piece),
    }
    pieces
}

/// Adds a part of the inline, to the part before it if they are of the same.
fn add(line: &mut Vec<Inline>, of: &Inline, part: Span) {
    match (line.last_mut(), of) {
        (Some(Inline::Text(last)), Inline::Text(_)) if last.style == part.style => last.text += &part.text,
        (Some(Inline::Link { url, text }), Inline::Link { url: same, .. }) if url == same => {
            match text.last_mut() {
                Some(last) if last.style == part.style => last.text += &part.text,
                _ => text.push(part),
            }
        }
        (_, Inline::Link { url, .. }) => line.push(Inline::Link { url: url.clone(), text: vec![part] }),
        _ => line.push(Inline::Text(part)),
    }
}

fn cut_code(code: &str, cut: Cut) -> Vec<String> {
    let (mut pieces, mut piece, mut shown) = (Vec::<String>::new(), String::new(), 0);
    for range in cut.of(code) {
        let text = code.get(range).unwrap_or_default();
        piece.push_str(text);
        shown += text.trim().len();
        if shown >= cut.least() {
            pieces.push(std::mem::take(&mut piece));
            shown = 0;
        }
    }
    match pieces.last_mut() {
        Some(last) if shown == 0 => last.push_str(&piece),
        _ if piece.is_empty() => {}
        _ => pieces.push(piece),
    }
    pieces
}

/// The blocks that the units are of, which stand in the same down to this depth. It calls itself as deep as they do.
fn put_together(units: &[&Unit], depth: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let id = |unit: &Unit| unit.within.get(depth).map_or(unit.leaf, |step| step.id);
    for same in units.chunk_by(|a, b| id(a) == id(b)) {
        let Some(first) = same.first() else { continue };
        match first.within.get(depth).map(|step| step.kind) {
            None => blocks.extend(leaf(same)),
            Some(StepKind::Quote) => blocks.push(Block::Quote(put_together(same, depth + 1))),
            Some(StepKind::Item { start, index }) => {
                let start = start.map(|start| start.saturating_add(index as u64));
                let item = |a: &&Unit, b: &&Unit| a.within.get(depth) == b.within.get(depth);
                let items = same.chunk_by(item).map(|units| put_together(units, depth + 1)).collect();
                blocks.push(Block::List { start, items });
            }
        }
    }
    blocks
}

/// Of the pieces of one; none if nothing shows.
fn leaf(pieces: &[&Unit]) -> Option<Block> {
    let whole = matches!(pieces, [unit] if unit.cut == Cut::Block);
    let mut text = Vec::new();
    let mut lines = String::new();
    let mut level = None;
    for unit in pieces {
        match &unit.content {
            Content::Code(code) => lines.push_str(code),
            Content::Paragraph(piece) if whole => return Some(Block::Paragraph(piece.clone())),
            Content::Heading(level, piece) if whole => {
                return Some(Block::Heading { level: *level, text: piece.clone() });
            }
            Content::Paragraph(piece) => join(&mut text, piece),
            Content::Heading(of, piece) => {
                level = Some(*of);
                join(&mut text, piece);
            }
        }
    }
    if !lines.is_empty() {
        let lines = clean::lines(&lines);
        return (!lines.is_empty()).then_some(Block::Code(CodeText(lines)));
    }
    trim(&mut text);
    match level {
        _ if text.is_empty() => None,
        Some(level) => Some(Block::Heading { level, text }),
        None => Some(Block::Paragraph(text)),
    }
}

fn join(line: &mut Vec<Inline>, piece: &[Inline]) {
    for inline in piece {
        match inline {
            Inline::Text(span) => add(line, inline, span.clone()),
            Inline::Link { text, .. } => text.iter().for_each(|span| add(line, inline, span.clone())),
            Inline::Break => line.push(Inline::Break),
        }
    }
}

/// A line begins and ends with what shows, and so does what has a style: see [`super::Line`].
fn trim(line: &mut Vec<Inline>) {
    while let Some(first) = line.first_mut() {
        let blank = match first {
            Inline::Text(span) => span.trim(str::trim_start),
            Inline::Link { text, .. } => trim_spans(text, 0, str::trim_start),
            Inline::Break => true,
        };
        if !blank {
            break;
        }
        line.remove(0);
    }
    while let Some(last) = line.last_mut() {
        let blank = match last {
            Inline::Text(span) => span.trim(str::trim_end),
            Inline::Link { text, .. } => trim_spans(text, text.len().saturating_sub(1), str::trim_end),
            Inline::Break => true,
        };
        if !blank {
            break;
        }
        line.pop();
    }
    // What is left of a piece of code may be nothing but spaces, between others that show.
    for inline in line {
        if let Inline::Text(span) = inline
            && span.text.trim().is_empty()
        {
            span.style = Style { code: false, ..span.style };
        }
    }
}

fn trim_spans(spans: &mut Vec<Span>, at: usize, trim: fn(&str) -> &str) -> bool {
    let mut at = at;
    while let Some(span) = spans.get_mut(at) {
        if !span.trim(trim) {
            return false;
        }
        spans.remove(at);
        at = at.min(spans.len()).saturating_sub(usize::from(at > 0));
    }
    true
}

impl Span {
    /// Says whether nothing is left.
    fn trim(&mut self, trim: fn(&str) -> &str) -> bool {
        let trimmed = trim(&self.text);
        if trimmed.len() < self.text.len() {
            self.text = trimmed.to_owned();
        }
        self.text.is_empty()
    }
}
