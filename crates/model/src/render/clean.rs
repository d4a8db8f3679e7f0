//! Which characters show.

/// For text in one line: what breaks lines is a space, what does not show is left out.
pub(super) fn in_line(c: char) -> Option<char> {
    match c {
        '\t'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        _ => (!is_hidden(c)).then_some(c),
    }
}

/// A text in one line of characters that show.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().filter_map(in_line).collect()
}

/// For lines of code, each trimmed at its end.
pub(super) fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split('\n') {
        for c in line.chars() {
            match (c, in_line(c)) {
                ('\t', _) => out.push_str("    "),
                (_, Some(c)) => out.push(c),
                (_, None) => {}
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out.trim_matches('\n').to_owned()
}

/// Whether the character shows nothing itself, but misleads about what is shown: it controls, turns the direction,
/// hides inside a word, or carries text that only machines see.
///
/// The joiners U+200C and U+200D and the variation selectors U+FE00 to U+FE0F are not among them: Persian, the
/// scripts of India and emoji are written with them.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
